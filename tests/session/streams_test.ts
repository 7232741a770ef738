import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { SessionEndedError } from "../../errors.ts";
import { collect, isPending, testEach, until } from "../_transports.ts";

const text = (parts: Uint8Array[]): string => {
  const decoder = new TextDecoder();
  return parts.map((part) => decoder.decode(part, { stream: true })).join("") + decoder.decode();
};

testEach("Session.readable gives all input and ends with it; output goes on", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  assertStrictEquals(session.readable, session.readable);
  const sent = peer.send("x".repeat(200_000)).then(() => peer.closeWrite());
  const parts = await collect(session.readable);
  await sent;
  assertEquals(text(parts).length, 200_000);
  await session.send("still here");
  assertEquals(await peer.text(10), "still here");
});

testEach(
  "Session.readable reads nothing that is not asked for, and cancel() leaves the rest",
  async (open) => {
    await using opened = await open();
    const { session, peer } = opened;
    const reader = session.readable.getReader();
    await peer.send("head\n");
    assertEquals(text([(await reader.read()).value!]), "head\n");
    const waiting = reader.read();
    assert(await isPending(waiting));
    await reader.cancel();
    assertEquals((await waiting).done, true);
    await peer.send("tail\n");
    assertEquals(await session.readLine(), "tail");
    assertEquals(session.signal.aborted, false);
  },
);

testEach(
  "Session.readable errors when the session ends otherwise than by the peer",
  async (open) => {
    await using opened = await open();
    const { session } = opened;
    const reading = collect(session.readable);
    session.abort(new Error("enough"));
    await assertRejects(() => reading, SessionEndedError, "enough");
  },
);

testEach(
  "Session.writable sends, with back-pressure, and half-closes when it is closed",
  async (open) => {
    await using opened = await open({ highWaterMark: 1000 });
    const { session, peer } = opened;
    const writer = session.writable.getWriter();
    await writer.write("text and ");
    await writer.write(new TextEncoder().encode("bytes"));
    assertEquals(await peer.text(14), "text and bytes");
    let written = 0;
    const filler = (async () => {
      for (let i = 0; i < 400; i++) {
        await writer.write(new Uint8Array(50_000));
        written++;
      }
      await writer.close();
    })();
    let before = -1;
    while (written > before) {
      before = written;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert(written < 400, "nothing held the writer back");
    assertEquals(await peer.countToEnd(), 400 * 50_000);
    await filler;
    await peer.send("answer\n");
    assertEquals(await session.readLine(), "answer");
  },
);

testEach(
  "Session.writable: abort() aborts the session, whose end errors the stream",
  async (open) => {
    {
      await using opened = await open();
      const reason = new Error("enough");
      await opened.session.writable.abort(reason);
      const end = await opened.session.closed;
      assertEquals([end.reason, end.cause], ["local", reason]);
    }
    await using opened = await open();
    const writer = opened.session.writable.getWriter();
    const closed = assertRejects(() => writer.closed, SessionEndedError);
    opened.session.abort();
    await closed;
    await assertRejects(() => writer.write("late"), SessionEndedError);
  },
);

testEach("Session.writable joins a character that is split over chunks of text", async (open) => {
  const texts = [
    "a\ud83d",
    "\ude00b",
    "\ud83d",
    "",
    "\ude00",
    "\ude00c\ud83d",
    "\ud83d\ude00",
    "\ud83d",
  ];
  const expected = await new Response(
    ReadableStream.from(texts).pipeThrough(new TextEncoderStream()),
  ).bytes();
  {
    await using opened = await open();
    const received = opened.peer.bytes(expected.length);
    await ReadableStream.from(texts).pipeTo(opened.session.writable);
    assertEquals(await received, expected);
    assertEquals(await opened.peer.countToEnd(), 0);
  }
  await using opened = await open();
  const writer = opened.session.writable.getWriter();
  for (const chunk of ["a\ud83d", new TextEncoder().encode("b"), "\ude00"]) writer.write(chunk);
  writer.close();
  assertEquals(await opened.peer.textToEnd(), "a\ufffdb\ufffd");
});

testEach("Session streams go through transforms, both ways", async (open) => {
  await using left = await open();
  const input = "rose ".repeat(50_000);
  const compressed = new Blob([input]).stream().pipeThrough(new CompressionStream("gzip"));
  const sent = compressed.pipeTo(left.session.writable);
  const received = [];
  const buffer = new Uint8Array(64 * 1024);
  for (;;) {
    const count = await left.peer.connection.read(buffer);
    if (count === null) break;
    received.push(buffer.slice(0, count));
  }
  await sent;

  await using right = await open();
  const echoed = (async () => {
    for (const part of received) await right.peer.send(part);
    await right.peer.closeWrite();
  })();
  const stream = right.session.readable
    .pipeThrough(new DecompressionStream("gzip"))
    .pipeThrough(new TextDecoderStream());
  assertEquals((await collect(stream)).join(""), input);
  await echoed;
  await until(() => right.session.bytesRead > 0);
});

testEach("Session.writable of a session that has ended is in error", async (open) => {
  await using opened = await open();
  opened.session.abort();
  await assertRejects(() => opened.session.writable.getWriter().closed, SessionEndedError);
});
