import { assertEquals, assertRejects } from "@std/assert";
import { RelayInput } from "../../cli/client/relay_input.ts";

/** A source of these chunks, that counts how many were read. */
function sourceOf(...chunks: (string | Error)[]): {
  reads: number;
  read(buffer: Uint8Array): Promise<number | null>;
} {
  return {
    reads: 0,
    read(buffer): Promise<number | null> {
      const chunk = chunks[this.reads++];
      if (chunk instanceof Error) return Promise.reject(chunk);
      if (chunk === undefined) return Promise.resolve(null);
      return Promise.resolve(new TextEncoder().encodeInto(chunk, buffer).written);
    },
  };
}

async function textOf(input: RelayInput): Promise<string | undefined> {
  const bytes = await input.next();
  return bytes && new TextDecoder().decode(bytes);
}

/** All that an input gives. */
async function all(input: RelayInput): Promise<string> {
  let text = "";
  for (let bytes; (bytes = await input.next()) !== undefined; input.consume(bytes.length)) {
    text += new TextDecoder().decode(bytes);
  }
  return text;
}

Deno.test("RelayInput gives the same until it is sent, and reads one chunk ahead", async () => {
  const source = sourceOf("rose", "think", "babala");
  const input = new RelayInput(source, { crlf: false });
  assertEquals(source.reads, 0);
  assertEquals([await textOf(input), await textOf(input)], ["rose", "rose"]);
  assertEquals(source.reads, 2);
  input.consume(0);
  assertEquals(await textOf(input), "rose");
  input.consume(1);
  assertEquals(await textOf(input), "ose");
  assertEquals(source.reads, 2);
  input.consume(3);
  assertEquals(await textOf(input), "think");
  assertEquals(source.reads, 3);
  input.consume(5);
  assertEquals([await textOf(input), input.isDone], ["babala", false]);
  input.consume(6);
  assertEquals([await textOf(input), input.isDone], [undefined, true]);
  input.consume(6);
  assertEquals([await textOf(input), input.isDone], [undefined, true]);
});

Deno.test("RelayInput makes CRLF of LF, however the input is cut", async () => {
  const text = "\na\r\n\n\r\r\nb\n\r";
  const expected = "\r\na\r\n\r\n\r\r\nb\r\n\r";
  for (let cut = 0; cut <= text.length; cut++) {
    const chunks = [text.slice(0, cut), text.slice(cut)].filter((chunk) => chunk !== "");
    assertEquals(await all(new RelayInput(sourceOf(...chunks), { crlf: true })), expected);
  }
  const bytes = new RelayInput(sourceOf(...text), { crlf: true });
  assertEquals(await all(bytes), expected);
  assertEquals(await all(new RelayInput(sourceOf(text), { crlf: false })), text);
});

Deno.test("RelayInput reports that the input cannot be read, in its turn", async () => {
  const input = new RelayInput(sourceOf("rose", new Error("Is a directory")), { crlf: false });
  assertEquals(await textOf(input), "rose");
  input.consume(4);
  await assertRejects(() => input.next(), Error, "cannot read standard input: Is a directory");
});
