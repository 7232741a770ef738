import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { type Codec, MORE } from "../../codecs/codec.ts";
import { delimited } from "../../codecs/delimited.ts";
import { lines } from "../../codecs/lines.ts";
import {
  FrameTooLargeError,
  MalformedFrameError,
  SessionEndedError,
  TruncatedFrameError,
} from "../../errors.ts";
import { prepare } from "../../session.ts";
import { codecOf, DECODER_BUGS, FINISHING_BUG } from "../_decoder_bugs.ts";
import { collect, isPending, testEach, testEachReset, until } from "../_transports.ts";

const bytes = (...values: number[]): Uint8Array => new Uint8Array(values);
const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

testEach("Session yields what each read brought as text", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  const replies: string[] = [];
  const loop = (async () => {
    for await (const text of session) replies.push(text);
  })();
  await peer.sendApart(session, ["rose", "think", "babala"]);
  await peer.closeWrite();
  await loop;
  assertEquals(replies, ["rose", "think", "babala"]);
  assertEquals(session.bytesRead, 15);
});

testEach("Session yields at most chunkSize bytes of text at a time", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  await peer.send("x".repeat(5000));
  await peer.closeWrite();
  const chunks = await collect(session);
  assert(chunks.every((chunk) => chunk.length <= 1024));
  assertEquals(chunks.join("").length, 5000);
});

testEach("Session cuts what an earlier reading left unread to chunkSize as well", async (open) => {
  await using opened = await open({ chunkSize: 4 });
  const { session, peer } = opened;
  session.unread(ascii("a€bcdefghi"));
  await peer.closeWrite();
  assertEquals(await collect(session), ["a€", "bcde", "fghi"]);
});

testEach("Session.text() yields whole characters even if chunkSize is 1", async (open) => {
  await using opened = await open({ chunkSize: 1 });
  const { session, peer } = opened;
  await peer.send("a€🌹");
  await peer.closeWrite();
  assertEquals(await collect(session.text()), ["a", "€", "🌹"]);
});

testEach("Session joins a character that is split over reads anywhere", async (open) => {
  const whole = ascii("ä€🌹!");
  for (let at = 1; at < whole.length; at++) {
    await using opened = await open();
    const { session, peer } = opened;
    const loop = collect(session);
    await peer.sendApart(session, [whole.subarray(0, at), whole.subarray(at)]);
    await peer.closeWrite();
    const chunks = await loop;
    assertEquals(chunks.join(""), "ä€🌹!");
    assert(chunks.every((chunk) => chunk !== ""));
  }
});

testEach("Session keeps a byte order mark", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  await peer.send("\uFEFFrose");
  await peer.closeWrite();
  assertEquals((await collect(session)).join(""), "\uFEFFrose");
});

testEach("Session replaces bytes that are no UTF-8", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  await peer.send(bytes(0x61, 0xff, 0x62, 0xc3));
  await peer.closeWrite();
  assertEquals((await collect(session)).join(""), "a\uFFFDb\uFFFD");
});

testEach("Session.text() does not hold back what can never become a character", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  const chunks = session.text();
  await peer.send(bytes(0xe0, 0x80)); // an overlong form: invalid at its second byte
  assertEquals((await chunks.next()).value, "\uFFFD\uFFFD");
});

testEach(
  "Session.text() with fatal rejects bad bytes and cut off tails, with their offset",
  async (open) => {
    for (const input of [bytes(0x61, 0xff), bytes(0x61, 0xe2, 0x82)]) {
      await using opened = await open({ fatal: true });
      const { session, peer } = opened;
      await peer.send(input);
      await peer.closeWrite();
      const error = await assertRejects(() => collect(session), MalformedFrameError);
      assertEquals(error.offset, input.length === 2 ? 1 : 0);
      const end = await session.close();
      assertEquals(end.reason, "error");
      assertStrictEquals(end.cause, error);
    }
  },
);

testEach("Session.bytes() yields bytes that belong to the caller", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  const chunks: Uint8Array[] = [];
  const loop = (async () => {
    for await (const chunk of session.bytes()) chunks.push(chunk);
  })();
  for (let i = 0; i < 20; i++) await peer.sendApart(session, [new Uint8Array(100).fill(i)]);
  await peer.closeWrite();
  await loop;
  assertEquals(chunks, Array.from({ length: 20 }, (_, i) => new Uint8Array(100).fill(i)));
});

testEach(
  "Session.bytes() reads large input in chunks that grow, and loses none of it",
  async (open) => {
    await using opened = await open();
    const { session, peer } = opened;
    const input = new Uint8Array(1_000_000).map((_, i) => i * 31);
    const sent = peer.send(input).then(() => peer.closeWrite());
    const output = new Uint8Array(input.length);
    let at = 0;
    let largest = 0;
    for await (const chunk of session.bytes()) {
      output.set(chunk, at);
      at += chunk.length;
      largest = Math.max(largest, chunk.length);
    }
    await sent;
    assertEquals(at, input.length);
    assert(output.every((byte, i) => byte === input[i]));
    assert(largest > 1024, `the largest chunk had ${largest} bytes`);
    assert(largest <= 64 * 1024);
  },
);

testEach(
  "Session.readExactly() goes on after a caller has transferred what it got",
  async (open) => {
    await using opened = await open();
    const { session, peer } = opened;
    await peer.send("abcd");
    const first = await session.readExactly(2);
    structuredClone(first, { transfer: [first.buffer as ArrayBuffer] });
    assertEquals(await session.readExactly(2), new Uint8Array([0x63, 0x64]));
  },
);

testEach("Session.bytes() with borrow lends chunks until the next step", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  const input = new Uint8Array(300_000).map((_, i) => i * 7);
  const sent = peer.send(input).then(() => peer.closeWrite());
  const output = new Uint8Array(input.length);
  const memory = new Set<ArrayBufferLike>();
  let at = 0;
  for await (const chunk of session.bytes({ borrow: true })) {
    output.set(chunk, at);
    at += chunk.length;
    memory.add(chunk.buffer);
  }
  await sent;
  assertEquals(at, input.length);
  assert(output.every((byte, i) => byte === input[i]));
  assert(memory.size <= 5, `${memory.size} buffers were used`); // 1, 4, 16 and 64 KiB
});

testEach("Session.lines() yields lines however they are cut", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  const loop = collect(session.lines());
  await peer.sendApart(session, ["ro", "se\nthi", "nk\r", "\n\nbab", "ala"]);
  await peer.closeWrite();
  assertEquals(await loop, ["rose", "think", "", "babala"]);
});

testEach("Session.readLine() takes a line and gives undefined at the end", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  await peer.send("one\r\ntwo\n");
  await peer.closeWrite();
  assertEquals(await session.readLine(), "one");
  assertEquals(await session.readLine(), "two");
  assertEquals(await session.readLine(), undefined);
  assertEquals(await session.readLine(), undefined);
});

testEach("Session.readLine() refuses a line that is too long", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  await peer.send("x".repeat(100));
  const error = await assertRejects(() => session.readLine({ maxLength: 99 }), FrameTooLargeError);
  assertEquals([error.limit, error.received], [99, 100]);
  await assertRejects(() => session.readLine(), FrameTooLargeError); // there is no way to find the next
  await session.send("line too long\n");
  const end = session.close();
  assertEquals(await peer.textToEnd(), "line too long\n");
  peer.close();
  assertEquals((await end).reason, "limit");
});

testEach("Session.readExactly() takes so many bytes and leaves the rest", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  const taken = session.readExactly(5);
  await peer.sendApart(session, ["ab", "cd"]);
  assert(await isPending(taken));
  await peer.send("efgh");
  assertEquals(await taken, ascii("abcde"));
  assertEquals(await session.readExactly(0), bytes());
  assertEquals(await session.readExactly(2), ascii("fg"));
  await peer.closeWrite();
  assertEquals(await session.readExactly(1), ascii("h"));
});

testEach("Session.readExactly() of large bodies gives each its own memory", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  const sent = peer.send(new Uint8Array(3 * 200_000).map((_, i) => Math.floor(i / 200_000)));
  const bodies = [];
  for (let i = 0; i < 3; i++) bodies.push(await session.readExactly(200_000));
  await sent;
  bodies.forEach((body, i) => assert(body.length === 200_000 && body.every((byte) => byte === i)));
});

testEach(
  "Session.readExactly() at an early end tells how much came, and leaves it unread",
  async (open) => {
    await using opened = await open();
    const { session, peer } = opened;
    await peer.send("abc");
    await peer.closeWrite();
    const error = await assertRejects(() => session.readExactly(5), TruncatedFrameError);
    assertEquals([error.received, error.expected], [3, 5]);
    assertEquals(await session.readExactly(3), ascii("abc"));
    const none = await assertRejects(() => session.readExactly(5), TruncatedFrameError);
    assertEquals([none.received, none.expected], [0, 5]);
  },
);

testEach(
  "Session.readExactly() refuses more than maxLength, which is what peers claim",
  async (open) => {
    await using opened = await open();
    const { session } = opened;
    const error = await assertRejects(
      () => session.readExactly(8 * 1024 * 1024 + 1),
      FrameTooLargeError,
    );
    assertEquals([error.limit, error.received], [8 * 1024 * 1024, 8 * 1024 * 1024 + 1]);
    assertEquals((await Promise.all([session.close(), opened.peer.close()]))[0].reason, "limit");
  },
);

testEach("Session.unread() puts bytes in front of what is unread", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  await peer.send("cdef\n");
  assertEquals(await session.readExactly(3), ascii("cde"));
  session.unread(ascii("cde"));
  session.unread(ascii("ab"));
  session.unread(bytes());
  assertEquals(await session.readLine(), "abcdef");
  const waiting = session.readLine();
  assert(await isPending(waiting));
  session.unread(ascii("handed back\n"));
  assertEquals(await waiting, "handed back");
});

testEach("Session.unread() takes back a part of what was lent", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  await peer.send("head|body");
  for await (const chunk of session.bytes({ borrow: true })) {
    const at = chunk.indexOf("|".charCodeAt(0));
    session.unread(chunk.subarray(at + 1));
    break;
  }
  assertEquals(await session.readExactly(4), ascii("body"));
});

testEach("Session goes from lines to bytes to lines without losing any", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  const got: string[] = [];
  const loop = (async () => {
    for await (const line of session.lines()) {
      got.push(line);
      got.push(new TextDecoder().decode(await session.readExactly(Number(line))));
    }
  })();
  await peer.send("5\nhello3\n\n\n\n11\nhello w");
  await peer.send("orld0\n");
  await peer.closeWrite();
  await loop;
  assertEquals(got, ["5", "hello", "3", "\n\n\n", "11", "hello world", "0", ""]);
});

testEach(
  "Leaving a loop by break or throw leaves the session open and its input unread",
  async (open) => {
    await using opened = await open();
    const { session, peer } = opened;
    await peer.send("a\nb\nc\nd\n");
    const lines = session.lines();
    for await (const line of lines) {
      assertEquals(line, "a");
      break;
    }
    const thrown = await assertRejects(async () => {
      for await (const line of session.lines()) throw new Error(line);
    });
    assertEquals((thrown as Error).message, "b");
    for await (const line of lines) { // a reading can be taken up again
      assertEquals(line, "c");
      break;
    }
    assertEquals((await session.bytes().next()).value, ascii("d\n"));
  },
);

testEach(
  "A reading's return() settles a waiting next() as done, and the next reading gets its bytes",
  async (open) => {
    await using opened = await open();
    const { session, peer } = opened;
    const lines = session.lines();
    const waiting = lines.next();
    assert(await isPending(waiting));
    await lines.return();
    assertEquals(await waiting, { done: true, value: undefined });
    await peer.send("rose\n");
    assertEquals(await session.readLine(), "rose");
  },
);

testEach(
  "A reading that is aborted rejects with the signal's reason and loses nothing",
  async (open) => {
    await using opened = await open();
    const { session, peer } = opened;
    const abortion = new AbortController();
    const { signal } = abortion;
    await peer.send("ro");
    const reason = new Error("enough");
    const waits: (() => Promise<unknown>)[] = [
      () => session.readLine({ signal }),
      () => session.readExactly(9, { signal }),
      () => session.frames(pairs).read({ signal }),
    ];
    const first = waits[0]!();
    await until(() => session.bytesRead === 2);
    abortion.abort(reason);
    assertStrictEquals(await assertRejects(() => first), reason);
    for (const wait of waits) assertStrictEquals(await assertRejects(wait), reason);
    const loops: AsyncIterable<unknown>[] = [
      session.text({ signal }),
      session.bytes({ signal }),
      session.lines({ signal }),
    ];
    for (const loop of loops) {
      assertStrictEquals(await assertRejects(() => collect(loop)), reason);
    }
    await peer.send("se\n");
    assertEquals(await session.readLine(), "rose");
  },
);

testEach("A reading leaves no listener on its signal", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  const abortion = new AbortController();
  let listeners = 0;
  const { signal } = abortion;
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
    listeners++;
    addEventListener.apply(signal, args);
  };
  signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => {
    listeners--;
    removeEventListener.apply(signal, args);
  };
  const line = session.readLine({ signal });
  assert(await isPending(line));
  assertEquals(listeners, 1);
  await peer.send("rose\n");
  assertEquals(await line, "rose");
  assertEquals(listeners, 0);
  const lost = session.readLine({ signal });
  assert(await isPending(lost));
  session.abort();
  await assertRejects(() => lost, SessionEndedError);
  assertEquals(listeners, 0);
});

testEach("Two readings that wait at once are a TypeError, and the first goes on", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  const lines = session.lines();
  const first = lines.next();
  await assertRejects(() => lines.next(), TypeError, "another reading");
  await assertRejects(() => session.readExactly(1), TypeError, "another reading");
  await assertRejects(() => session.text().next(), TypeError, "another reading");
  await peer.send("rose\n");
  assertEquals(await first, { done: false, value: "rose" });
  assertEquals(await isPending(lines.next()), true);
});

testEach("A dropped iterator locks nothing", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  session.lines();
  session.bytes();
  await peer.send("rose\n");
  assertEquals(await session.readLine(), "rose");
});

/** Frames of two bytes, the second the first plus one. */
const pairs: Codec<number> = {
  decoder: () => ({
    maxBuffered: 2,
    decode: (input) => {
      if (input.end - input.start < 2) return MORE;
      const [first, second] = input.take(2) as unknown as [number, number];
      if (second !== first + 1) throw new MalformedFrameError("not a pair", 1);
      return first;
    },
  }),
  encode: (message, out) => {
    out.uint(message, 1);
    out.uint(message + 1, 1);
  },
};

testEach("Session.frames() reads and sends by its codec", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  const frames = session.frames(pairs);
  await frames.send(7);
  assertEquals(await peer.bytes(2), bytes(7, 8));
  await peer.send(bytes(1, 2, 3));
  assertEquals(await frames.read(), 1);
  const second = frames.read();
  assert(await isPending(second));
  await peer.send(bytes(4));
  assertEquals(await second, 3);
  await peer.closeWrite();
  assertEquals(await frames.read(), undefined);
  assertEquals(await frames.next(), { done: true, value: undefined });
});

testEach(
  "Session.frames() ends the input at a malformed frame, after those before it",
  async (open) => {
    await using opened = await open();
    const { session, peer } = opened;
    await peer.send(bytes(1, 2, 5, 5, 7, 8));
    const frames = session.frames(pairs);
    const got: number[] = [];
    const error = await assertRejects(async () => {
      for await (const frame of frames) got.push(frame);
    }, MalformedFrameError);
    assertEquals(got, [1]);
    assertStrictEquals(await assertRejects(() => session.bytes().next()), error);
  },
);

testEach(
  "Session.frames() tells of a frame that the end of input cuts off, and leaves its bytes",
  async (open) => {
    await using opened = await open();
    const { session, peer } = opened;
    await peer.send(bytes(1, 2, 3));
    await peer.closeWrite();
    const frames = session.frames(pairs);
    assertEquals(await frames.read(), 1);
    const error = await assertRejects(() => frames.read(), TruncatedFrameError);
    assertEquals(error.received, 1);
    assertEquals((await session.bytes().next()).value, bytes(3));
  },
);

testEach("Session.frames() enforces maxBuffered for a decoder that forgets to", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  const greedy: Codec<string> = {
    decoder: () => ({ maxBuffered: 10, decode: () => MORE }),
    encode: () => {},
  };
  const reading = session.frames(greedy).read();
  await peer.send("x".repeat(10));
  assert(await isPending(reading));
  await peer.send("x");
  const error = await assertRejects(() => reading, FrameTooLargeError);
  assertEquals([error.limit, error.received], [10, 11]);
});

testEach(
  "Session.frames() checks need() against the cap, and does not call before it is met",
  async (open) => {
    await using opened = await open();
    const { session, peer } = opened;
    let calls = 0;
    const sized: Codec<number> = {
      decoder: () => ({
        maxBuffered: 101,
        decode: (input) => {
          calls++;
          const total = 1 + input.buffer[input.start]!;
          if (input.end - input.start < total) {
            input.need(total);
            return MORE;
          }
          return input.take(total).length;
        },
      }),
      encode: () => {},
    };
    const frames = session.frames(sized);
    const read = frames.read();
    await peer.sendApart(session, [bytes(50), ...Array.from({ length: 49 }, () => bytes(0))]);
    assertEquals(calls, 1);
    await peer.send(bytes(0, 101));
    assertEquals(await read, 51);
    assertEquals(calls, 2);
    const error = await assertRejects(() => frames.read(), FrameTooLargeError);
    assertEquals([error.limit, error.received], [101, 102]);
  },
);

for (const [bug, { decode, kind, words }] of Object.entries(DECODER_BUGS)) {
  testEach(`Session.frames() gives the error of a decoder with a bug: ${bug}`, async (open) => {
    await using opened = await open();
    const { session, peer } = opened;
    await peer.send("rose");
    const error = await assertRejects(() => session.frames(codecOf(decode)).read(), kind, words);
    assertStrictEquals(await assertRejects(() => session.readLine()), error);
  });
}

testEach("Session.frames() gives the error of a decoder whose finish() has a bug", async (open) => {
  await using opened = await open();
  await opened.peer.send("rose");
  await opened.peer.closeWrite();
  const frames = opened.session.frames(FINISHING_BUG);
  await assertRejects(() => frames.read(), TypeError, "the decoder returned undefined");
});

testEach("Session.frames() refuses what is no codec", async (open) => {
  await using opened = await open();
  const { session } = opened;
  const wrong: [codec: unknown, words: string][] = [
    [undefined, "codec must be an object, got undefined"],
    [null, "codec must be an object, got null"],
    [lines, "codec must be an object, got a function"],
    [{}, "decoder of codec must be a function, got undefined"],
    [{ decoder: () => ({}), encode: "no" }, "encode of codec must be a function, got a string"],
    [{ decoder: () => {}, encode: () => {} }, "the decoder must be an object, got undefined"],
    [{ decoder: () => ({}), encode: () => {} }, "decode of the decoder must be a function"],
    [
      { decoder: () => ({ decode: () => MORE }), encode: () => {} },
      "maxBuffered of the decoder must be a number of bytes, got undefined",
    ],
    [
      { decoder: () => ({ decode: () => MORE, maxBuffered: NaN }), encode: () => {} },
      "maxBuffered of the decoder must be a number of bytes, got NaN",
    ],
  ];
  for (const [codec, words] of wrong) {
    assertThrows(() => session.frames(codec as Codec<unknown>), TypeError, words);
  }
  assertThrows(() => prepare("rose", {} as Codec<string>), TypeError, "encode of codec must be");
});

testEach(
  "Session.frames() gives a decoder that consumes or takes too much a RangeError",
  async (open) => {
    for (const method of ["consume", "take"] as const) {
      await using opened = await open();
      const { session, peer } = opened;
      const over: Codec<string> = {
        decoder: () => ({
          maxBuffered: 10,
          decode: (input) => String(input[method](input.end - input.start + 1)),
        }),
        encode: () => {},
      };
      await peer.send("x");
      await assertRejects(() => session.frames(over).read(), RangeError, "1 are unread");
    }
  },
);

testEachReset("Session reads what came before a reset, then tells of it", async (open) => {
  await using opened = await open();
  const { session } = opened;
  await opened.send("last\nwords");
  assertEquals(await session.readLine(), "last");
  const rest = session.readExactly(100);
  await opened.reset();
  const error = await assertRejects(() => rest, SessionEndedError);
  assertEquals(error.reason, "peer");
  assertInstanceOf(error.cause, Deno.errors.ConnectionReset);
  assertEquals(await session.readExactly(5), ascii("words"));
  assertStrictEquals(await assertRejects(() => session.readExactly(1)), error);
  const end = await session.closed;
  assertEquals([end.reason, end.cause], ["peer", error.cause]);
});

testEach("Session readings refuse wrong arguments by name and value", async (open) => {
  await using opened = await open();
  const { session } = opened;
  await assertRejects(
    () => session.readExactly(-1),
    RangeError,
    "count must be an integer from 0 to",
  );
  await assertRejects(() => session.readExactly(1.5), RangeError, "got 1.5");
  await assertRejects(() => session.readExactly(1, { maxLength: 0 }), RangeError, "maxLength");
  assertThrows(() => session.unread("abc" as unknown as Uint8Array), TypeError, "got a string");
  assertThrows(() => session.lines({ maxLength: 0 }), RangeError, "maxLength");
});

testEach(
  "A reading that was left within a frame begins it anew, whoever read or put back meanwhile",
  async (open) => {
    for (const codec of [lines(), delimited("\n")] as Codec<string | Uint8Array>[]) {
      await using opened = await open();
      const { session, peer } = opened;
      const abortion = new AbortController();
      const frames = session.frames(codec);
      const text = async (): Promise<string> => {
        const frame = (await frames.read())!;
        return typeof frame === "string" ? frame : new TextDecoder().decode(frame);
      };
      const left = frames.read({ signal: abortion.signal });
      await peer.sendApart(session, ["x".repeat(100)]);
      abortion.abort();
      await assertRejects(() => left);
      await session.readExactly(100);
      await peer.send(`one\ntwo\n${"y".repeat(100)}\n`);
      assertEquals([await text(), await text(), await text()], ["one", "two", "y".repeat(100)]);
      const waiting = text();
      await peer.sendApart(session, ["abc"]);
      session.unread(ascii("x\n"));
      assertEquals(await waiting, "x");
      await peer.send("def\n");
      assertEquals(await text(), "abcdef");
    }
  },
);

testEach(
  "Bytes that are given away are not the memory of the read that is outstanding",
  async (open) => {
    await using opened = await open();
    const { session, peer } = opened;
    const abortion = new AbortController();
    const body = session.readExactly(200_000, { signal: abortion.signal });
    const sent = peer.send(new Uint8Array(120_000).fill(1));
    await until(() => session.bytesRead === 120_000);
    await sent;
    abortion.abort();
    await assertRejects(() => body);
    const chunks = session.bytes();
    const { value } = await chunks.next();
    structuredClone(value, { transfer: [value!.buffer as ArrayBuffer] });
    await peer.send("tail");
    assertEquals((await chunks.next()).value, ascii("tail"));
  },
);

testEach("Session.unread() leaves a chunk alone that is lent", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  await peer.send("HELLO WORLD");
  const chunk = (await session.bytes({ borrow: true }).next()).value!;
  session.unread(ascii("xyz"));
  assertEquals(chunk, ascii("HELLO WORLD"));
  assertEquals(await session.readExactly(3), ascii("xyz"));
});

testEach(
  "A chunk that is lent stays as it is while the session watches for a reset",
  async (open) => {
    await using opened = await open({ writeTimeout: 40 }); // which paces the sweep
    const { session, peer } = opened;
    await peer.send("x".repeat(600));
    const chunk = (await session.bytes({ borrow: true }).next()).value!;
    const expected = chunk.slice();
    for (let more = 1; more <= 3; more++) {
      const before = session.bytesRead;
      await peer.send("z".repeat(300));
      if (more === 1) await until(() => session.bytesRead > before); // nobody reads, yet it has come
      assertEquals(chunk, expected);
    }
    assertEquals(await session.readExactly(900), ascii("z".repeat(900)));
  },
);
