import { assert, assertEquals } from "@std/assert";
import { TextQueue } from "../../cli/standard_error.ts";
import { bounded, settle } from "../_serving.ts";

const MIB = 1024 * 1024;
const LINE = `${"x".repeat(1023)}\n`;

/** Takes what is written when the test lets it. */
class Pipe {
  text = "";
  writes = 0;
  isOpen = true;
  failure: Error | undefined;
  /** The most that one write takes. */
  room = Infinity;
  #news: PromiseWithResolvers<void> = Promise.withResolvers();

  async write(bytes: Uint8Array): Promise<number> {
    this.writes++;
    while (!this.isOpen) await this.#news.promise;
    if (this.failure !== undefined) throw this.failure;
    const taken = bytes.subarray(0, this.room);
    this.text += new TextDecoder().decode(taken);
    return taken.length;
  }

  open(): void {
    this.isOpen = true;
    this.#news.resolve();
  }
}

Deno.test("TextQueue writes all in its order, few at a time", bounded, async () => {
  const pipe = new Pipe();
  const queue = new TextQueue(pipe);
  const lines = Array.from({ length: 1000 }, (_, i) => `line ${i} żółw\n`);
  for (const line of lines) queue.push(line);
  assertEquals(pipe.text, ""); // nobody waits for it
  await queue.finish();
  assertEquals(pipe.text, lines.join(""));
  assert(pipe.writes <= 5, `${pipe.writes} writes`);
  await queue.finish();
});

Deno.test("TextQueue continues after short writes", bounded, async () => {
  const pipe = new Pipe();
  pipe.room = 3;
  const queue = new TextQueue(pipe);
  queue.push("rose\n");
  queue.push("think\n");
  await queue.finish();
  assertEquals(pipe.text, "rose\nthink\n");
});

Deno.test(
  "TextQueue keeps 1 MiB for whoever does not read, and says how much is missing",
  bounded,
  async () => {
    const pipe = new Pipe();
    pipe.isOpen = false;
    const queue = new TextQueue(pipe);
    for (let i = 0; i < 3000; i++) queue.push(LINE);
    queue.push("short\n"); // there would be room, but not for what came before
    await settle();
    assertEquals(pipe.writes, 1);
    pipe.open();
    await queue.finish();
    assertEquals(pipe.text, `${LINE.repeat(1024)}1977 lines were omitted\n`);
    queue.push("again\n");
    await queue.finish();
    assert(pipe.text.endsWith("omitted\nagain\n"));
  },
);

Deno.test("TextQueue reports omissions through onOmission", bounded, async () => {
  const pipe = new Pipe();
  const queue = new TextQueue(pipe);
  queue.onOmission = (count) => queue.push(`[${count}]`);
  queue.push("x".repeat(MIB + 1)); // longer than everything together may be
  await queue.finish();
  assertEquals(pipe.text, "[1]");
});

Deno.test("TextQueue.finish() gives up if the reader takes nothing", bounded, async () => {
  const pipe = new Pipe();
  pipe.isOpen = false;
  const queue = new TextQueue(pipe);
  queue.push("rose\n");
  await queue.finish();
  assertEquals(pipe.text, "");
  pipe.open();
  await queue.finish();
  assertEquals(pipe.text, "rose\n");
});

Deno.test(
  "TextQueue drops what nobody reads any more, and tries again where it may help",
  bounded,
  async () => {
    const pipe = new Pipe();
    const queue = new TextQueue(pipe);
    pipe.failure = new Deno.errors.BrokenPipe("nobody reads");
    queue.push("gone\n");
    await queue.finish();
    pipe.failure = new Deno.errors.WouldBlock("full");
    queue.push("rose\n");
    await settle();
    pipe.failure = undefined;
    await queue.finish();
    assertEquals(pipe.text, "rose\n");
  },
);
