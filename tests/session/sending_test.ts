import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { type Codec, MORE } from "../../codecs/codec.ts";
import { OutputLimitError, SessionEndedError } from "../../errors.ts";
import { prepare, Session } from "../../session.ts";
import { memoryPair } from "../../transport/memory.ts";
import { isPending, type Opened, testEach, testEachReset, until } from "../_transports.ts";

const MIB = 1024 * 1024;

/** Fills what lies between the two ends, so that the next write of the session waits. */
async function fillUp({ session }: Opened): Promise<number> {
  const filler = new Uint8Array(20 * MIB);
  session.send(filler);
  let before = -1;
  while (session.bytesWritten > before) {
    before = session.bytesWritten;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return filler.length;
}

testEach("Session.send() of a hundred awaited messages makes a handful of writes", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  const loop = (async () => {
    for await (const line of session.lines()) await session.send(`${line}!\n`);
  })();
  const lines = Array.from({ length: 100 }, (_, i) => `line ${i}`);
  await peer.send(lines.map((line) => `${line}\n`).join(""));
  await peer.closeWrite();
  const expected = lines.map((line) => `${line}!\n`).join("");
  assertEquals(await peer.text(expected.length), expected);
  await loop;
  assert(opened.writes() <= 4, `${opened.writes()} writes`);
});

testEach("Session.send() of a hundred messages without a reading makes one write", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  for (let i = 0; i < 100; i++) await session.send("0123456789");
  await peer.bytes(1000);
  assertEquals(opened.writes(), 1);
});

testEach("Session.send() from outside a waiting loop goes out in the same turn", async (open) => {
  await using opened = await open();
  const { session } = opened;
  const loop = session.lines().next();
  session.send("one ");
  session.send("two ");
  await session.send("three");
  assertEquals(opened.writes(), 0);
  await new Promise<void>((resolve) => process.nextTick(resolve));
  assertEquals(opened.writes(), 1); // no timer, no input, no other turn was needed
  assertEquals(await opened.peer.text(13), "one two three");
  await opened.peer.closeWrite();
  await loop;
});

testEach(
  "Session.send() is on the wire while its handler waits for something else",
  async (open) => {
    await using opened = await open();
    const { session, peer } = opened;
    const elsewhere = Promise.withResolvers<void>();
    const handler = (async () => {
      for await (const text of session) {
        await session.send(`working on ${text}`);
        await elsewhere.promise;
        await session.send("done");
      }
    })();
    await peer.send("it");
    assertEquals(await peer.text(13), "working on it");
    elsewhere.resolve();
    assertEquals(await peer.text(4), "done");
    peer.close();
    await handler.catch(() => {});
  },
);

testEach(
  "Session.send() keeps the order of calls, large and small, text, bytes and prepared",
  async (open) => {
    await using opened = await open({ maxBufferedOutput: 64 * MIB });
    const { session, peer } = opened;
    const sent: string[] = [];
    for (let i = 0; i < 60; i++) {
      const text = `<${i}:${"ä".repeat((i * 7919) % 40_000)}>`;
      sent.push(text);
      session.send([text, new TextEncoder().encode(text), prepare(text)][i % 3]!);
      if (i % 20 === 0) session.flush();
    }
    session.close();
    assert(await peer.textToEnd() === sent.join(""));
  },
);

testEach(
  "Session.send() copies small bytes and writes large ones from the caller's memory",
  async (open) => {
    await using opened = await open();
    const { session, peer } = opened;
    const small = new Uint8Array(16 * 1024 - 1).fill(1);
    const sending = session.send(small);
    small.fill(2);
    await sending;
    assert((await peer.bytes(small.length)).every((byte) => byte === 1));
    const large = new Uint8Array(MIB).fill(3);
    const written = session.send(large);
    const received = peer.bytes(large.length);
    await written;
    large.fill(4); // wholly written: it may be used again
    assert((await received).every((byte) => byte === 3));
    assertEquals(session.bytesBuffered, 0);
  },
);

testEach(
  "Session.send() resolves at once below highWaterMark and waits from there on",
  async (open) => {
    await using opened = await open({ highWaterMark: 100, maxBufferedOutput: 30 * MIB });
    const { session, peer } = opened;
    const filler = await fillUp(opened);
    const waiting = session.send("x".repeat(50));
    assert(await isPending(waiting));
    await peer.bytes(filler);
    await waiting;
    assertEquals(await peer.text(50), "x".repeat(50));
    await session.send("y".repeat(99));
    const over = session.send("z");
    await peer.bytes(100);
    await over;
  },
);

testEach(
  "Session.send() past maxBufferedOutput ends the session, whether awaited or not",
  async (open) => {
    await using opened = await open({ maxBufferedOutput: 100_000 });
    const { session } = opened;
    await fillUp(opened); // one larger send is let through: its sender waits
    for (let i = 0; i < 100; i++) session.send("x".repeat(1000)); // nobody awaits these
    assertEquals(session.signal.aborted, false);
    const over = session.send("x");
    const error = await assertRejects(() => over, SessionEndedError);
    assertEquals(error.reason, "limit");
    assertInstanceOf(error.cause, OutputLimitError);
    assertEquals([error.cause.limit, error.cause.received], [100_000, 100_001]);
    const end = await session.closed;
    assertEquals([end.reason, end.cause], ["limit", error.cause]);
  },
);

testEach("Session.send() counts texts before a send that is not large exactly", async (open) => {
  await using opened = await open({ highWaterMark: 4096, maxBufferedOutput: 8192 });
  const { session } = opened;
  session.send(new Uint8Array(1));
  const text = "漢".repeat(400);
  session.send(text); // 1200 bytes each
  session.send(text);
  const over = session.send(new Uint8Array(15_500)); // a large one has 16 KiB, and would be let through
  const { cause } = await assertRejects(() => over, SessionEndedError);
  assertInstanceOf(cause, OutputLimitError);
  assertEquals(cause.received, 1 + 2 * 1200 + 15_500);
});

testEach("Session.send() counts a second large send towards maxBufferedOutput", async (open) => {
  await using opened = await open({ maxBufferedOutput: 100_000 });
  const { session } = opened;
  await fillUp(opened);
  session.send(new Uint8Array(60_000));
  await assertRejects(
    () => session.send(new Uint8Array(60_000)),
    SessionEndedError,
    "120000 bytes",
  );
});

testEach(
  "Session.send() rejects once the session is closed, and nobody has to look",
  async (open) => {
    await using opened = await open();
    const { session, peer } = opened;
    peer.close();
    await session.close();
    session.send("unheeded");
    const error = await assertRejects(() => session.send("late"), SessionEndedError);
    assertEquals(error.reason, "local");
    assertStrictEquals(session.signal.reason, error);
  },
);

testEach("Session.send() rejects what is no text and no bytes, and sends nothing", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  await assertRejects(() => session.send(42 as unknown as string), TypeError, "got a number");
  await assertRejects(() => session.send([1] as unknown as string), TypeError, "class Array");
  await session.send("");
  await session.send(new Uint8Array(0));
  session.send("fine");
  session.closeWrite();
  assertEquals(await peer.textToEnd(), "fine");
});

testEachReset("Session.send() tells of a peer that is gone", async (open) => {
  await using opened = await open();
  const { session } = opened;
  await opened.reset();
  const error = await assertRejects(async () => {
    for (;;) { // the first writes may still be taken by the system
      await session.send("hello?");
      await session.flush();
    }
  }, SessionEndedError);
  assertEquals(error.reason, "peer");
  assertEquals((await session.closed).reason, "peer");
});

testEach("Session.flush() resolves once all that was sent is taken", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  await session.flush();
  session.send("a".repeat(1000));
  await session.flush();
  assertEquals([session.bytesWritten, session.bytesBuffered], [1000, 0]);
  assertEquals(opened.writes(), 1);
  await peer.bytes(1000);
  const filler = await fillUp(opened);
  const flushed = session.flush();
  assert(await isPending(flushed));
  await peer.bytes(filler);
  await flushed;
  assertEquals(session.bytesWritten, 1000 + filler);
});

testEach("Session.flush() rejects if the session ends before", async (open) => {
  await using opened = await open();
  await fillUp(opened);
  const flushed = opened.session.flush();
  opened.session.abort(new Error("enough"));
  const error = await assertRejects(() => flushed, SessionEndedError);
  assertEquals((error.cause as Error).message, "enough");
});

testEach("Session.closeWrite() flushes and half-closes; reading goes on", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  session.send("question");
  const first = session.closeWrite();
  assertStrictEquals(session.closeWrite(), first);
  assertEquals(await peer.textToEnd(), "question");
  await first;
  await assertRejects(() => session.send("more"), TypeError, "after closeWrite()");
  await peer.send("answer\n");
  assertEquals(await session.readLine(), "answer");
});

const bracketed: Codec<never, string> = {
  decoder: () => {
    throw new Error("not used");
  },
  encode: (message, out) => {
    out.text("[");
    if (message.length > 100_000) out.bytes(new TextEncoder().encode(message));
    else out.text(message);
    if (message.includes("!")) throw new TypeError("no shouting");
    out.uint(message.length, 4);
    out.text("]");
  },
};

testEach("Frames.send() that fails midway leaves nothing behind", async (open) => {
  await using opened = await open({ maxBufferedOutput: 10 * MIB });
  const { session, peer } = opened;
  const codec: Codec<string, string> = {
    ...bracketed,
    decoder: () => ({ maxBuffered: 1, decode: (i) => String(i.take(1)) }),
  };
  const frames = session.frames(codec);
  await session.send("before ");
  await assertRejects(() => frames.send("no!"), TypeError, "no shouting");
  for (const size of [600, 20_000, 70_000, 150_000]) {
    await assertRejects(() => frames.send("x".repeat(size) + "!"), TypeError, "no shouting");
  }
  frames.send("yes");
  const long = "x".repeat(150_000);
  frames.send(long);
  frames.send("so!"); // nobody awaits the rejection
  session.closeWrite();
  const expected = new TextEncoder().encode("before [yes");
  assertEquals(await peer.bytes(expected.length), expected);
  assertEquals(await peer.bytes(5), new Uint8Array([0, 0, 0, 3, 0x5d]));
  const rest = await peer.bytes(1 + long.length + 5);
  assertEquals(rest.subarray(-5), new Uint8Array([0, 2, 0x49, 0xf0, 0x5d]));
  assertEquals(await peer.countToEnd(), 0);
});

testEach(
  "FrameWriter.uint() writes 1 to 8 bytes in either order and refuses the rest",
  async (open) => {
    await using opened = await open();
    const { session, peer } = opened;
    const cases: [number | bigint, number, boolean | undefined, number[]][] = [
      [0, 1, undefined, [0]],
      [255, 1, true, [255]],
      [0x1234, 2, undefined, [0x12, 0x34]],
      [0x1234, 2, true, [0x34, 0x12]],
      [0x123456, 3, undefined, [0x12, 0x34, 0x56]],
      [0xffff_ffff, 4, true, [255, 255, 255, 255]],
      [0x12_8765_4321, 5, undefined, [0x12, 0x87, 0x65, 0x43, 0x21]],
      [0x12_8765_4321, 7, true, [0x21, 0x43, 0x65, 0x87, 0x12, 0, 0]],
      [Number.MAX_SAFE_INTEGER, 8, undefined, [0, 0x1f, 255, 255, 255, 255, 255, 255]],
      [2n ** 64n - 1n, 8, true, Array(8).fill(255)],
      [2n ** 63n, 8, undefined, [128, 0, 0, 0, 0, 0, 0, 0]],
    ];
    const numbers: Codec<number, typeof cases[number]> = {
      decoder: () => ({ maxBuffered: 1, decode: (input) => input.take(1)[0]! }),
      encode: ([value, width, littleEndian], out) => out.uint(value, width, littleEndian),
    };
    const frames = session.frames(numbers);
    for (const item of cases) {
      await frames.send(item);
      assertEquals([...await peer.bytes(item[3].length)], item[3]);
    }
    const bad: [number | bigint, number, string][] = [
      [256, 1, "1 bytes cannot hold 256"],
      [-1, 4, "cannot hold -1"],
      [1.5, 4, "cannot hold 1.5"],
      [2n ** 64n, 8, "cannot hold 18446744073709551616"],
      [1, 0, "width must be an integer from 1 to 8, got 0"],
      [1, 9, "got 9"],
      [NaN, 2, "cannot hold NaN"],
    ];
    for (const [value, width, message] of bad) {
      await assertRejects(() => frames.send([value, width, undefined, []]), RangeError, message);
    }
    assertEquals(session.bytesBuffered, 0);
  },
);

Deno.test("A loop that has just sent reads on at once while its peer takes nothing", async () => {
  const [left, right] = memoryPair({ capacity: 8 });
  let reads = 0;
  const read = left.read.bind(left);
  left.read = (buffer) => {
    reads++;
    return read(buffer);
  };
  const session = new Session(left);
  const lines = session.lines();
  await right.write(new Uint8Array([0x61, 0x0a]));
  assertEquals((await lines.next()).value, "a");
  await session.send("much more than the connection holds\n");
  const next = lines.next();
  await new Promise((resolve) => setTimeout(resolve)); // the turn ends
  assertEquals([reads, session.bytesWritten], [2, 8]);
  await right.write(new Uint8Array([0x62, 0x0a]));
  assertEquals((await next).value, "b");
  session.abort();
  right.close();
});

testEach("A reader never waits for a writer", async (open) => {
  await using opened = await open({ maxBufferedOutput: 64 * MIB });
  const { session, peer } = opened;
  const loop = (async () => {
    for await (const line of session.lines()) session.send(line.repeat(100_000));
  })();
  for (let i = 0; i < 50; i++) await peer.sendApart(session, ["0123456789\n"]); // and reads nothing
  await peer.closeWrite();
  await loop;
  await until(() => session.bytesRead === 550);
  assertEquals((await peer.bytes(50_000_000)).length, 50_000_000);
});

testEach(
  "Frames.send() of one frame in many parts may pass maxBufferedOutput, as a send may",
  async (open) => {
    await using opened = await open({ maxBufferedOutput: 100_000 });
    const { session, peer } = opened;
    const frames = session.frames<never, number>({
      decoder: () => ({ maxBuffered: 1, decode: () => MORE }),
      encode: (count, out) => {
        for (let i = 0; i < count; i++) out.text("0123456789");
      },
    });
    const sent = frames.send(100_000);
    assertEquals((await peer.bytes(1_000_000)).length, 1_000_000);
    await sent;
    await fillUp(opened);
    await assertRejects(() => frames.send(100_000), SessionEndedError, "limit");
  },
);

testEach(
  "Session.send() of one large message after another is never over the limit",
  async (open) => {
    await using opened = await open({ maxBufferedOutput: 100_000 });
    const { session, peer } = opened;
    session.send(new Uint8Array(20_000)); // leaves the one exemption to the larger that follows
    const sending = session.send(new Uint8Array(3_000_000));
    const received = peer.bytes(3_020_000);
    await sending;
    await session.send("h".repeat(90_000));
    assertEquals((await received).length, 3_020_000);
  },
);

testEach("Session.closeWrite() rejects with the end of the session", async (open) => {
  await using opened = await open();
  const closing = opened.session.closeWrite();
  opened.session.abort();
  await assertRejects(() => closing, SessionEndedError);
});

/** A codec of text whose encoder does something else in between. */
function meddling(run: () => unknown): Codec<never, string> {
  return {
    decoder: () => ({ maxBuffered: 1, decode: () => MORE }),
    encode(message, out): void {
      out.text(message.slice(0, 4));
      run();
      out.text(message.slice(4));
    },
  };
}

function fails(): never {
  throw new Error("not encoded");
}

testEach("Frames.send() lets nothing out of a frame that is not encoded whole", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  const flushes: Promise<void>[] = [];
  const flush = () => void flushes.push(session.flush());
  const broken = session.frames(meddling(() => {
    flush();
    fails();
  }));
  session.send("one ");
  await assertRejects(() => broken.send("half whole"), Error, "not encoded");
  await flushes[0];
  session.send("two ");
  session.frames(meddling(flush)).send("three four ");
  await session.flush();
  await flushes[1];
  const expected = "one two three four ";
  assertEquals(await peer.text(expected.length), expected);
  assertEquals([session.bytesWritten, session.bytesBuffered], [expected.length, 0]);
});

testEach("Frames.send() refuses what encode() sends beside it", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  const sends: Promise<void>[] = [];
  const sending = meddling(() => {
    sends.push(session.send("beside"), session.send(new Uint8Array(100_000)));
    sends.push(session.frames(meddling(() => {})).send("a frame in a frame"));
  });
  await session.frames(sending).send("one two");
  for (const send of sends) await assertRejects(() => send, TypeError, "encode() cannot send");
  const closed = session.close();
  assertEquals(await peer.text(7), "one two");
  assertEquals(await peer.countToEnd(), 0);
  peer.close();
  await closed;
});

testEach("Frames.send() rejects where encode() ends the session", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  session.send("one ");
  const closed = session.frames(meddling(() => session.close())).send("half whole");
  await assertRejects(() => closed, SessionEndedError);
  assertEquals(await peer.text(4), "one ");
  assertEquals(await peer.countToEnd(), 0);
  peer.close();
  assertEquals((await session.closed).reason, "local");
  await using other = await open();
  const aborted = other.session.frames(meddling(() => other.session.abort())).send("half whole");
  await assertRejects(() => aborted, SessionEndedError);
});
