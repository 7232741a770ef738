import { Buffer } from "node:buffer";
import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { type Codec, lengthPrefixed, lines, MORE } from "../../codecs/mod.ts";
import { SessionEndedError } from "../../errors.ts";
import { prepare, Session } from "../../session.ts";
import { memoryPair } from "../../transport/memory.ts";
import { testEach } from "../_transports.ts";

const MIB = 1024 * 1024;

testEach("prepare() makes a message that many sessions send", async (open) => {
  const text = prepare("grüß dich, ");
  const bytes = prepare(new TextEncoder().encode("wörld"));
  assertEquals([text.byteLength, bytes.byteLength], [13, 6]);
  const all = await Promise.all(Array.from({ length: 5 }, () => open()));
  for (const { session } of all) {
    session.send(text);
    session.send(bytes);
    session.closeWrite();
  }
  for (const opened of all) {
    assertEquals(await opened.peer.textToEnd(), "grüß dich, wörld");
    assertEquals(opened.session.bytesWritten, 19);
    await opened[Symbol.asyncDispose]();
  }
});

testEach("prepare() costs a write of its own only where nothing else is to go", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  const message = prepare("0123456789");
  for (let i = 0; i < 100; i++) session.send(message);
  assertEquals(await peer.text(1000), "0123456789".repeat(100));
  assertEquals(opened.writes(), 2); // the first was not copied
  session.send("before");
  session.send(message);
  assertEquals(await peer.text(16), "before0123456789");
  assertEquals(opened.writes(), 3);
  session.send(prepare(""));
  session.send("after");
  assertEquals(await peer.text(5), "after");
  assertEquals(opened.writes(), 4);
});

testEach("prepare() takes a copy, of large bytes too", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  const given = Buffer.alloc(200_000, 1); // whose slice() would be no copy
  const message = prepare(given);
  given.fill(2);
  session.send(message);
  assert((await peer.bytes(given.length)).every((byte) => byte === 1));
});

testEach("prepare() counts for the session that does not read, and for no other", async (open) => {
  await using slow = await open({ maxBufferedOutput: 100_000, highWaterMark: 50_000 });
  await using quick = await open({ maxBufferedOutput: 100_000, highWaterMark: 50_000 });
  const filler = 20 * MIB;
  slow.session.send(new Uint8Array(filler));
  const message = prepare(new Uint8Array(30_000));
  let taken = 0;
  while (!slow.session.signal.aborted) {
    const sent = slow.session.send(message);
    if (slow.session.signal.aborted) await assertRejects(() => sent, SessionEndedError);
    await quick.session.send(message);
    await quick.peer.bytes(30_000);
    assert(++taken < 5, "the limit holds");
  }
  assertEquals((await slow.session.closed).reason, "limit");
  assertEquals(quick.session.bytesWritten, taken * 30_000);
  await quick.session.send("on");
  assertEquals(await quick.peer.text(2), "on");
});

Deno.test("Session.send() of a prepared message waits for the peer from highWaterMark on", async () => {
  const [near, far] = memoryPair();
  const session = new Session(near, { highWaterMark: 20_000 });
  const message = prepare("x".repeat(20_000));
  let isDone = false;
  const sent = Promise.all(Array.from({ length: 20 }, () => session.send(message)))
    .then(() => isDone = true);
  await new Promise<void>((resolve) => setTimeout(resolve));
  assertEquals(isDone, false);
  const buffer = new Uint8Array(MIB);
  for (let have = 0; have < 400_000;) have += (await far.read(buffer))!;
  await sent;
  session.abort();
  far.close();
  await session.closed;
});

Deno.test("prepare() encodes once, whatever the codec writes", async () => {
  let encoded = 0;
  const parts: Codec<never, string[]> = {
    decoder: () => ({ maxBuffered: 1, decode: () => MORE }),
    encode(message, out): void {
      encoded++;
      out.uint(message.length, 2);
      for (const part of message) {
        out.text(part);
        out.bytes(new TextEncoder().encode(part));
      }
    },
  };
  const message = prepare(["a", "b".repeat(40_000)], parts);
  assertEquals(message.byteLength, 2 + 2 + 80_000);
  for (let i = 0; i < 3; i++) {
    const [near, far] = memoryPair();
    const [session, peer] = [new Session(near), new Session(far)];
    const received = peer.readExactly(message.byteLength);
    session.send(message);
    const bytes = await received;
    assertEquals([...bytes.subarray(0, 4)], [0, 2, 97, 97]);
    assert(bytes.subarray(4).every((byte) => byte === 98));
    await Promise.all([session.close(), peer.close()]);
  }
  assertEquals(encoded, 1);
});

Deno.test("prepare() frames as frames.send() does", async () => {
  const [near, far] = memoryPair();
  const [session, peer] = [new Session(near), new Session(far)];
  session.send(prepare("one", lines()));
  session.send(prepare("two\r\n"));
  assertEquals(await peer.readLine(), "one");
  assertEquals(await peer.readLine(), "two");
  session.send(prepare(new Uint8Array([1, 2, 3]), lengthPrefixed()));
  assertEquals(await peer.frames(lengthPrefixed()).read(), new Uint8Array([1, 2, 3]));
  session.send(prepare(""));
  session.send(prepare("x"));
  assertEquals(await peer.readExactly(1), new Uint8Array([120]));
  assertEquals(session.bytesBuffered, 0);
  await Promise.all([session.close(), peer.close()]);
});

Deno.test("prepare() refuses what cannot be sent, and what a codec refuses", () => {
  assertThrows(() => prepare(42 as unknown as string), TypeError, "got a number");
  assertThrows(() => prepare("x", "lines" as never), TypeError, "codec must be an object");
  assertThrows(() => prepare("two\nlines", lines()), TypeError);
  const failure = new Error("will not");
  const failing = {
    encode(): never {
      throw failure;
    },
  };
  assertStrictEquals(assertThrows(() => prepare("x", failing)), failure);
});
