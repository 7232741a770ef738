// Chunks that are lent. Connections of one thread may read into memory that they share; no client may ever see, through
// a chunk that a handler keeps, or in what a session decodes, what another client has sent.

import { Buffer } from "node:buffer";
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Decoder } from "../../codecs/codec.ts";
import { delimited } from "../../codecs/delimited.ts";
import { lengthPrefixed } from "../../codecs/length_prefixed.ts";
import { Session } from "../../session.ts";
import { memoryPair } from "../../transport/mod.ts";
import { testEach } from "../_transports.ts";

const OURS = "a".charCodeAt(0);
const LATER = "c".charCodeAt(0);
/** What other sessions get is made of this, which no ciphertext will hold by chance. */
const OTHERS = "b".repeat(8);
const SIZES = [8, 64, 255, 256, 257, 1024, 5000, 20_000, 70_000];

for (const size of [1, 64, 1024]) {
  testEach(
    `A chunk of ${size} bytes that is lent shows nothing of another session`,
    async (open) => {
      await using ours = await open({ writeTimeout: 40 }); // which paces the sweep
      await using other = await open();
      await ours.peer.send("a".repeat(size));
      const chunks = ours.session.bytes({ borrow: true });
      const chunk = (await chunks.next()).value!;
      const kept = [chunk, new Uint8Array(chunk.buffer)]; // and what stands around it
      const hasOthers = (): boolean =>
        kept.some((bytes) => new TextDecoder("latin1").decode(bytes).includes(OTHERS));
      const others = other.session.bytes({ borrow: true });
      const pass = async (text: string): Promise<void> => {
        const sent = other.peer.send(text);
        for (let got = 0; got < text.length;) got += (await others.next()).value!.length;
        await sent;
      };
      for (const length of SIZES) {
        await pass("b".repeat(length));
        assert(chunk.length === size && chunk.every((byte) => byte === OURS));
        assert(!hasOthers());
      }

      // It was lent until here. Whoever keeps it longer sees later input of the same session at most.
      const next = chunks.next();
      for (let sweep = 0; sweep < 4; sweep++) {
        await new Promise((resolve) => setTimeout(resolve, 10));
        await pass(OTHERS.repeat(size));
        assert(!hasOthers());
      }
      await ours.peer.send("c".repeat(size));
      assertEquals((await next).value!.length, size);
      assert(chunk.every((byte) => byte === OURS || byte === LATER));
      assert(!hasOthers());
    },
  );
}

testEach(
  "A chunk that is lent and transferred takes no other session's memory along",
  async (open) => {
    await using ours = await open();
    await using other = await open();
    const chunks = ours.session.bytes({ borrow: true });
    const others = other.session.bytes({ borrow: true });
    for (let round = 0; round < 3; round++) {
      await ours.peer.send("a".repeat(100));
      const chunk = (await chunks.next()).value!;
      await other.peer.send("b".repeat(100));
      structuredClone(chunk, { transfer: [chunk.buffer as ArrayBuffer] });
      const { value } = await others.next();
      assert(value!.length > 0 && value!.every((byte) => byte === "b".charCodeAt(0)));
    }
  },
);

testEach(
  "A decoder that returns a view by mistake sees nothing of another session",
  async (open) => {
    await using ours = await open();
    await using other = await open();
    const careless: Decoder<Uint8Array> & { copies: boolean } = {
      maxBuffered: Infinity,
      copies: true, // means nothing
      decode(input): Uint8Array {
        const view = input.buffer.subarray(input.start, input.end);
        input.consume(view.length);
        return view;
      },
    };
    const frames = ours.session.frames({ decoder: () => careless, encode: () => {} });
    const others = other.session.text();
    for (let round = 0; round < 3; round++) {
      const first = frames.next(); // it waits when the input comes
      await ours.peer.send("a".repeat(100));
      const view = (await first).value!;
      const text = others.next();
      await other.peer.send(OTHERS.repeat(12));
      assert(OTHERS.repeat(12).startsWith((await text).value!));
      assert(view.every((byte) => byte === OURS));
      assert(!textOf(new Uint8Array(view.buffer)).includes(OTHERS));
    }
  },
);

testEach(
  "A reading that begins while another one decodes sees nothing of another session",
  async (open) => {
    const stop = new AbortController();
    let chunk: Promise<IteratorResult<Uint8Array, undefined>> | undefined;
    const isAnswer = (): boolean => {
      if (stop.signal.aborted) return true; // for the chunk
      stop.abort();
      chunk = ours.session.bytes({ borrow: true }).next();
      return true;
    };
    const heartbeat = { interval: 60_000, message: "still here", isAnswer };
    await using ours = await open({ heartbeat });
    await using other = await open();
    const line = ours.session.lines({ signal: stop.signal }).next();
    await ours.peer.send(`a line\n${"a".repeat(100)}`);
    await assertRejects(() => line);
    const view = (await chunk!).value!;
    const text = other.session.text().next();
    await other.peer.send(OTHERS.repeat(30));
    await text;
    assert(view.every((byte) => byte === OURS), textOf(view));
    assert(!textOf(new Uint8Array(view.buffer)).includes(OTHERS));
  },
);

Deno.test(
  "A frame of memory that is lent is a copy, even after memory that was given was transferred",
  { permissions: "none" },
  async () => {
    const lent = new Uint8Array(8).fill(OURS);
    const session = lentTo([new Uint8Array(8), true], [lent, false]);
    const { value: chunk } = await session.bytes({ borrow: true }).next();
    structuredClone(chunk, { transfer: [chunk!.buffer as ArrayBuffer] });
    const frame = await session.readExactly(8);
    lent.fill(LATER);
    assert(frame.every((byte) => byte === OURS));
    session.abort();
    await session.closed;
  },
);

for (const isGiven of [false, true]) {
  Deno.test(
    `A frame is a Uint8Array of its own, even if a Buffer is ${isGiven ? "given" : "lent"}`,
    { permissions: "none" },
    async () => {
      for (const size of [8, 1024, 1025, 15_000]) {
        const bytes = Buffer.alloc(size + 8, OURS);
        const session = lentTo([bytes, isGiven]);
        const frames = [await session.readExactly(size), await session.readExactly(8)];
        bytes.fill(LATER);
        assertEquals(frames, [new Uint8Array(size).fill(OURS), new Uint8Array(8).fill(OURS)]);
        session.abort();
        await session.closed;
      }
    },
  );
}

testEach("What a session decodes shows nothing of another session", async (open) => {
  await using ours = await open();
  await using other = await open();
  const { session } = ours;
  const others = other.session.text();
  const readings = [
    session.bytes(),
    session.text(),
    session.lines(),
    session.lines({ strict: true }),
    session.frames(delimited("\n")),
    session.frames(lengthPrefixed({ width: 1 })),
  ];
  const message = `c${"a".repeat(98)}\n`; // as a length, its first byte is 99
  for (const reading of readings) {
    const got: (string | Uint8Array)[] = [];
    const text = (): string => got.map(textOf).join("").replaceAll(/[c\n]/g, "");
    const all = (async (): Promise<void> => {
      while (text().length < 2 * 98) got.push((await reading.next()).value!);
    })();
    // What is left of the first part has to be kept until the second one comes.
    for (const part of [message + message.slice(0, 40), message.slice(40)]) {
      await ours.peer.send(part);
      const passed = others.next();
      await other.peer.send(OTHERS.repeat(30));
      await passed;
    }
    await all;
    assertEquals(text(), "a".repeat(2 * 98));
    for (const value of got) {
      if (typeof value !== "string") assert(!textOf(new Uint8Array(value.buffer)).includes(OTHERS));
    }
  }
});

/** A session that gets its input by `readLent()`: each with whether the memory is given. */
function lentTo(...input: [Uint8Array, boolean][]): Session {
  const [{ localAddr, remoteAddr }] = memoryPair();
  return new Session({
    localAddr,
    remoteAddr,
    read: () => Promise.reject(new Error("not called")),
    readLent(_size, borrower): void {
      const next = input.shift();
      if (next !== undefined) setTimeout(() => borrower.onInput(...next));
    },
    write: (data) => Promise.resolve(data.length),
    closeWrite: () => Promise.resolve(),
    close: () => {},
  }, { chunkSize: 16_000 });
}

function textOf(value: string | Uint8Array): string {
  return typeof value === "string" ? value : new TextDecoder("latin1").decode(value);
}

Deno.test(
  "Reads grow to 128 KiB while chunks are lent, and to 64 KiB for other readings",
  { permissions: "none" },
  async () => {
    const [near, far] = memoryPair();
    const sizes: number[] = [];
    const session = new Session({
      localAddr: near.localAddr,
      remoteAddr: near.remoteAddr,
      read: (buffer) => {
        sizes.push(buffer.length);
        return near.read(buffer);
      },
      write: (data) => near.write(data),
      closeWrite: () => near.closeWrite(),
      close: () => near.close(),
    });
    const peer = new Session(far);
    const data = new Uint8Array(1_000_000).map((_, i) => i * 31);
    for (const [borrow, largest] of [[false, 64], [true, 128], [false, 64]] as const) {
      sizes.length = 0;
      const sent = peer.send(data);
      let at = 0;
      for await (const chunk of session.bytes({ borrow })) {
        assert(chunk.every((byte, i) => byte === data[at + i]));
        at += chunk.length;
        if (at === data.length) break;
      }
      await sent;
      assertEquals(Math.max(...sizes), largest * 1024);
    }
    await Promise.all([session.close(), peer.close()]);
  },
);
