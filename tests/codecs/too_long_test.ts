import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import fc from "fast-check";
import type { Codec } from "../../codecs/codec.ts";
import {
  delimited,
  type DelimitedOptions,
  jsonLines,
  lengthPrefixed,
  lines,
  netstring,
  octetCounted,
} from "../../codecs/mod.ts";
import { FrameTooLargeError, MalformedFrameError, TruncatedFrameError } from "../../errors.ts";
import { concat, decode, encode, threeWays, toBytes } from "../_codecs.ts";
import { testEach } from "../_transports.ts";

const pure = { permissions: "none" } as const;
const MAX = 5;

type OnTooLong = (length: number) => void;
type Make = (onTooLong?: OnTooLong, maxLength?: number) => Codec<unknown, never>;

const make =
  <Options>(codec: (options: Options) => Codec<unknown, never>, more: object = {}): Make =>
  (onTooLong, maxLength = MAX) =>
    codec({ maxLength, ...(onTooLong && { onTooLong }), ...more } as Options);

const LINES = make(lines);
const CRLF = make(lines, { ending: "\r\n" });
const STRICT = make(lines, { ending: "\r\n", strict: true });
const CR = make(lines, { ending: "\r" });
const JSON_LINES = make(jsonLines);
const ZEROS = make((options: DelimitedOptions) => delimited("\0", options));
const BARS = make((options: DelimitedOptions) => delimited("||", options));
const ABA = make((options: DelimitedOptions) => delimited("aba", options));
const PREFIXED = make(lengthPrefixed, { width: 1 });
const WHOLE = make(lengthPrefixed, { width: 1, offset: 1, keepHeader: true });
const VARINT = make(lengthPrefixed, { width: "varint" });
const NETSTRING = make(netstring);
const OCTETS = make(octetCounted);

/** What comes in, and what is given out and told of it: a number is the length of a frame that was dropped. */
const CASES: [name: string, make: Make, input: string | readonly number[], events: unknown[]][] = [
  ["lines()", LINES, "ok\n123456\n12345\n", ["ok", 6, "12345"]],
  ["lines() with CRLF", LINES, "ok\r\n123456\r\n12345\r\n", ["ok", 6, "12345"]],
  ["lines(), two in a row", LINES, "1234567\n123456\r\nok\n", [7, 6, "ok"]],
  ["lines(), long", LINES, `${"x".repeat(100_000)}\r\nok\n`, [100_000, "ok"]],
  ["lines() with a CR at the cap", LINES, "12345\r\r\n12345\r\n", [6, "12345"]],
  ["lines() of CRs", LINES, "\r\r\r\r\r\r\r\r\nok\n", [7, "ok"]],
  ["lines(), the last one without an end", LINES, "ok\n1234567", ["ok", 7]],
  ["lines() that sends CRLF", CRLF, "123456\r\nok\r\n", [6, "ok"]],
  ["lines() by CR", CR, "123456\rok\r1234567\r", [6, "ok", 7]],
  ["lines() that is strict", STRICT, "ok\r\n123456\r\n12345\r\n", ["ok", 6, "12345"]],
  ["lines() that is strict, in a row", STRICT, "123456\r\n1234567\r\nok\r\n", [6, 7, "ok"]],
  ["lines() that is strict, long", STRICT, `${"x".repeat(100_000)}\r\nok\r\n`, [100_000, "ok"]],
  ["jsonLines()", JSON_LINES, "1\n[1,2,3]\n\n  \n[2]\n", [1, 7, [2]]],
  ["jsonLines() of white space", JSON_LINES, `1\n${" ".repeat(9)}\n2\n`, [1, 9, 2]],
  ["delimited() by one byte", ZEROS, "ok\x00123456\x0012345\0", ["ok", 6, "12345"]],
  ["delimited() by two", BARS, "ok||12|4|6||12345||", ["ok", 6, "12345"]],
  ["delimited() by bytes that repeat", ABA, "xxxxxxabaxaba", [6, "x"]],
  ["delimited() by bytes that repeat at the cap", ABA, "xxxxxababxaba", ["xxxxx", "bx"]],
  ["delimited(), long", ZEROS, `${"x".repeat(100_000)}\0ok\0`, [100_000, "ok"]],
  ["lengthPrefixed()", PREFIXED, [1, 7, 6, 1, 2, 3, 4, 5, 6, 1, 8], [[7], 6, [8]]],
  ["lengthPrefixed(), two in a row", PREFIXED, [6, ...Array(6), 7, ...Array(7), 1, 8], [6, 7, [8]]],
  ["lengthPrefixed() whole", WHOLE, [9, 4, ...Array(4), 9, 3, 1, 2, 3], [6, [9, 3, 1, 2, 3]]],
  ["lengthPrefixed() by varint", VARINT, [0x80, 2, ...Array(256), 1, 7], [256, [7]]],
  ["netstring()", NETSTRING, "2:ok,6:123456,5:12345,", ["ok", 6, "12345"]],
  ["netstring(), two in a row", NETSTRING, "6:123456,7:1234567,2:ok,", [6, 7, "ok"]],
  ["octetCounted()", OCTETS, "2 ok6 1234567 12345675 12345", ["ok", 6, 7, "12345"]],
  ["netstring(), long", NETSTRING, `100000:${"x".repeat(100_000)},2:ok,`, [100_000, "ok"]],
];

/** Text and lists of numbers stand for the bytes of frames of bytes. */
function toEvent(written: unknown, codec: Make): unknown {
  const isText = [LINES, CRLF, STRICT, CR, JSON_LINES].includes(codec);
  return isText || typeof written === "number" ? written : toBytes(written as string);
}

/** Decodes, with frames and what was told in the order in which they came. */
async function follow(
  make: Make,
  pieces: Uint8Array[],
): Promise<{ events: unknown[]; error: Error | undefined; memory: number }> {
  const events: unknown[] = [];
  const codec = make((length) => events.push(length));
  const { decoder } = codec;
  const watched: Codec<unknown, never> = {
    ...codec,
    decoder: () => {
      const inner = decoder.call(codec);
      const keep = (frame: unknown) => {
        if (typeof frame !== "symbol") events.push(frame);
        return frame;
      };
      return {
        maxBuffered: inner.maxBuffered,
        decode: (input) => keep(inner.decode(input)),
        finish: (input) => keep(inner.finish!(input)),
      };
    },
  };
  const { error, memory } = await decode(watched, pieces);
  return { events, error, memory };
}

for (const [name, make, input, expected] of CASES) {
  const events = expected.map((event) => toEvent(event, make));
  const bytes = toBytes(input);
  const ways: [string, Uint8Array[]][] = bytes.length < 1000
    ? threeWays(bytes)
    : [["in one chunk", [bytes]], ["in pieces of 7", inPieces(bytes, 7)]];
  for (const [way, pieces] of ways) {
    Deno.test(`${name} drops what is too long and goes on, ${way}`, pure, async () => {
      const { error, memory, ...rest } = await follow(make, pieces);
      assertEquals(rest.events, events);
      assertEquals(error, undefined);
      assert(memory <= 130 * 1024, `${memory} bytes`);
    });
  }
  if (name.includes("without an end")) continue;
  Deno.test(`${name} drops what is too long and goes on, glued to what follows`, pure, async () => {
    assertEquals((await follow(make, [concat([bytes, bytes])])).events, [...events, ...events]);
  });
}

function inPieces(bytes: Uint8Array, size: number): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.subarray(at, at + size));
  return pieces;
}

type Kind = new (...args: never[]) => Error;

/** What ends the input all the same. */
const ENDS: [
  name: string,
  make: Make,
  input: string | readonly number[],
  kind: Kind,
  fields: object,
][] = [
  ["lines() that is strict, cut off", STRICT, "1234567", TruncatedFrameError, { received: 7 }],
  ["lines() that is strict, cut at CR", STRICT, "123456\r", TruncatedFrameError, { received: 7 }],
  ["lines() with a bare LF", STRICT, "1234567\nxx\r\n", MalformedFrameError, { offset: 7 }],
  ["lines() with a bare CR", STRICT, "1234567\rxx\r\n", MalformedFrameError, { offset: 7 }],
  ["delimited(), cut off", BARS, "1234567|", TruncatedFrameError, { received: 8 }],
  ["lengthPrefixed(), cut off", PREFIXED, [9, 1, 2, 3], TruncatedFrameError, {
    received: 4,
    expected: 10,
  }],
  ["netstring(), cut off", NETSTRING, "9:1234", TruncatedFrameError, { received: 6, expected: 12 }],
  ["netstring() without a comma", NETSTRING, "6:123456x", MalformedFrameError, { offset: 8 }],
  ["netstring() of endless digits", NETSTRING, "9".repeat(20), FrameTooLargeError, {}],
];

for (const [name, make, input, kind, fields] of ENDS) {
  for (const [way, pieces] of threeWays(toBytes(input))) {
    Deno.test(`${name}, ends the input while it is dropped, ${way}`, pure, async () => {
      const { error } = await follow(make, pieces);
      assertInstanceOf(error, kind);
      const got = error as unknown as Record<string, unknown>;
      for (const [field, value] of Object.entries(fields)) assertEquals(got[field], value, field);
    });
  }
}

const MAKERS: Record<string, Make> = {
  "lines()": LINES,
  "lines() that is strict": STRICT,
  "delimited()": ABA,
  "lengthPrefixed()": PREFIXED,
  "netstring()": NETSTRING,
  "octetCounted()": OCTETS,
};

for (const [name, make] of Object.entries(MAKERS)) {
  Deno.test(
    `${name} drops no more and no less than what is too long, chopped anyhow`,
    pure,
    async () => {
      const isText = name.startsWith("lines");
      await fc.assert(fc.asyncProperty(
        fc.array(fc.integer({ min: name.startsWith("octet") ? 1 : 0, max: 12 })),
        fc.array(fc.nat({ max: 9 }), { maxLength: 40 }),
        async (lengths, cuts) => {
          const texts = lengths.map((length, i) => String(i % 10).repeat(length));
          const frames = isText ? texts : texts.map((text) => toBytes(text));
          const all = await encode(make(undefined, 100) as Codec<unknown, unknown>, frames);
          const pieces = [];
          let at = 0;
          for (const cut of cuts) pieces.push(all.subarray(at, at += cut));
          const { events, error } = await follow(make, [...pieces, all.subarray(at)]);
          const expected = frames.map((frame) => frame.length > MAX ? frame.length : frame);
          assertEquals([events, error], [expected, undefined]);
        },
      ));
    },
  );
  Deno.test(`${name} ends the input with what onTooLong throws`, pure, async () => {
    const codec = make((length) => {
      throw new FrameTooLargeError(MAX, length);
    });
    const isText = name.startsWith("lines");
    const frame = isText ? "x".repeat(9) : new Uint8Array(9);
    const bytes = await encode(make(undefined, 100) as Codec<unknown, unknown>, [frame, frame]);
    const { frames, error } = await decode(codec, [bytes]);
    assertEquals(frames, []);
    assertInstanceOf(error, FrameTooLargeError);
    assertEquals(error.received, 9);
  });
  Deno.test(`${name} checks onTooLong`, pure, () => {
    assertThrows(
      () => make("log" as unknown as OnTooLong),
      TypeError,
      "onTooLong must be a function",
    );
  });
}

testEach("session.lines() answers a line that is too long and goes on", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  const served = (async () => {
    const lines = session.lines({
      ending: "\r\n",
      maxLength: 510,
      onTooLong: (length) => void session.send(`417 ${length}\r\n`),
    });
    for await (const line of lines) await lines.send(line);
  })();
  await peer.send(`PING a\r\n${"x".repeat(300_000)}\r\nPING b\r\n${"x".repeat(511)}\r\nPING c\r\n`);
  const expected = toBytes("PING a\r\n417 300000\r\nPING b\r\n417 511\r\nPING c\r\n");
  assertEquals(await peer.bytes(expected.length), expected);
  session.abort();
  await served.catch(() => {});
});

testEach("A line that is dropped and does not end is a frame that is stalled", async (open) => {
  await using opened = await open({ frameTimeout: 50 });
  const { session, peer } = opened;
  const told: number[] = [];
  const line = session.readLine({ maxLength: 5, onTooLong: (length) => told.push(length) });
  line.catch(() => {});
  await peer.send("x".repeat(10_000));
  assertEquals((await session.closed).reason, "frame-stalled");
  assertEquals(told, []);
});
