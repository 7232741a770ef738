import { Buffer } from "node:buffer";
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import fc from "fast-check";
import type { Codec } from "../../codecs/codec.ts";
import { delimited } from "../../codecs/delimited.ts";
import { fixed } from "../../codecs/fixed.ts";
import { jsonLines } from "../../codecs/json_lines.ts";
import { lengthPrefixed } from "../../codecs/length_prefixed.ts";
import { lines } from "../../codecs/lines.ts";
import { headerPrefixed } from "../../codecs/header_prefixed.ts";
import { netstring } from "../../codecs/netstring.ts";
import { octetCounted } from "../../codecs/octet_counted.ts";
import { FrameTooLargeError, MalformedFrameError, TruncatedFrameError } from "../../errors.ts";
import { concat, decode, encode, threeWays, toBytes } from "../_codecs.ts";
import { fuzzOnce, Random, TARGETS } from "../fuzz.ts";

type Bytes = string | readonly number[];
type Failure = [
  kind: typeof Error | (new (...args: never[]) => Error),
  fields: Record<string, unknown>,
];

interface Case {
  name: string;
  codec: Codec<unknown, never>;
  input: Bytes;
  /** The frames that come of it; text stands for its bytes. */
  frames: unknown[];
  /** What comes after them, if not the end of input. */
  error?: Failure;
  /** Input that makes one more frame, to be glued on. */
  next?: [input: Bytes, frame: unknown];
}

const tooLarge = (
  limit: number,
  received: number,
): Failure => [FrameTooLargeError, { limit, received }];
const malformed = (offset: number): Failure => [MalformedFrameError, { offset }];
const truncated = (
  received: number,
  expected?: number,
): Failure => [TruncatedFrameError, { received, expected }];

const mqtt = lengthPrefixed({ width: "varint", maxWidth: 4, offset: 1, keepHeader: true });
const largeMqtt = lengthPrefixed({
  width: "varint",
  maxWidth: 4,
  offset: 1,
  keepHeader: true,
  maxLength: 2 ** 28 + 4,
});
const long = "x".repeat(100_000);

const CASES: Case[] = [
  {
    name: "delimited() by one byte",
    codec: delimited("\0"),
    input: "a\0\0bc\0",
    frames: ["a", "", "bc"],
    next: ["d\0", "d"],
  },
  {
    name: "delimited() by several bytes",
    codec: delimited("\r\n\r\n"),
    input: "a\r\nb\r\n\r\n\r\n\r\n",
    frames: ["a\r\nb", ""],
    next: ["\r\r\n\r\n", "\r"],
  },
  {
    name: "delimited() by bytes that repeat",
    codec: delimited("aab"),
    input: "aaab",
    frames: ["a"],
    next: ["aab", ""],
  },
  {
    name: "delimited() cut off",
    codec: delimited("|"),
    input: "a|bc",
    frames: ["a"],
    error: truncated(2),
  },
  {
    name: "delimited() at maxLength",
    codec: delimited("||", { maxLength: 3 }),
    input: "abc||",
    frames: ["abc"],
    next: ["d||", "d"],
  },
  {
    name: "delimited() over maxLength",
    codec: delimited("||", { maxLength: 3 }),
    input: "a||abcd||",
    frames: ["a"],
    error: tooLarge(3, 4),
  },
  {
    name: "delimited() over maxLength without an end",
    codec: delimited("||", { maxLength: 3 }),
    input: "abcde",
    frames: [],
    error: tooLarge(3, 4),
  },
  {
    name: "delimited() long",
    codec: delimited("|", { maxLength: 100_000 }),
    input: `${long}|`,
    frames: [long],
    next: ["|", ""],
  },

  {
    name: "fixed()",
    codec: fixed(3),
    input: "abcdef",
    frames: ["abc", "def"],
    next: ["ghi", "ghi"],
  },
  {
    name: "fixed() cut off",
    codec: fixed(3),
    input: "abcde",
    frames: ["abc"],
    error: truncated(2, 3),
  },
  { name: "fixed() long", codec: fixed(100_000), input: long, frames: [long] },

  {
    name: "netstring()",
    codec: netstring(),
    input: "5:hello,0:,3:a,b,",
    frames: ["hello", "", "a,b"],
    next: ["1:x,", "x"],
  },
  {
    name: "netstring() of two digits",
    codec: netstring(),
    input: "10:0123456789,",
    frames: ["0123456789"],
    next: ["1:x,", "x"],
  },
  {
    name: "netstring() cut off",
    codec: netstring(),
    input: "1:a,5:hel",
    frames: ["a"],
    error: truncated(5, 8),
  },
  {
    name: "netstring() cut off in its length",
    codec: netstring(),
    input: "12",
    frames: [],
    error: truncated(2),
  },
  {
    name: "netstring() without a comma",
    codec: netstring(),
    input: "1:a,2:bcd",
    frames: ["a"],
    error: malformed(4),
  },
  {
    name: "netstring() with a letter for a digit",
    codec: netstring(),
    input: "1x:a,",
    frames: [],
    error: malformed(1),
  },
  {
    name: "netstring() with a minus",
    codec: netstring(),
    input: "-1:a,",
    frames: [],
    error: malformed(0),
  },
  {
    name: "netstring() with a zero in front",
    codec: netstring(),
    input: "01:a,",
    frames: [],
    error: malformed(0),
  },
  {
    name: "netstring() without a length",
    codec: netstring(),
    input: ":a,",
    frames: [],
    error: malformed(0),
  },
  {
    name: "netstring() at maxLength",
    codec: netstring({ maxLength: 3 }),
    input: "3:abc,",
    frames: ["abc"],
    next: ["0:,", ""],
  },
  {
    name: "netstring() over maxLength",
    codec: netstring({ maxLength: 3 }),
    input: "1:a,4:",
    frames: ["a"],
    error: tooLarge(3, 4),
  },
  {
    name: "netstring() with endless digits",
    codec: netstring(),
    input: "9".repeat(50),
    frames: [],
    error: tooLarge(8388608, 9999999),
  },

  {
    name: "octetCounted()",
    codec: octetCounted(),
    input: "5 hello3 a b",
    frames: ["hello", "a b"],
    next: ["10 0123456789", "0123456789"],
  },
  {
    name: "octetCounted() cut off",
    codec: octetCounted(),
    input: "1 a5 hel",
    frames: ["a"],
    error: truncated(5, 7),
  },
  {
    name: "octetCounted() of no bytes",
    codec: octetCounted(),
    input: "1 a0 ",
    frames: ["a"],
    error: malformed(0),
  },
  {
    name: "octetCounted() of a message with a line feed behind it",
    codec: octetCounted(),
    input: "1 a\n1 b",
    frames: ["a"],
    error: malformed(0),
  },
  {
    name: "octetCounted() of a message that is framed by lines",
    codec: octetCounted(),
    input: "<34>1 - - -\n",
    frames: [],
    error: malformed(0),
  },
  {
    name: "octetCounted() over maxLength",
    codec: octetCounted({ maxLength: 3 }),
    input: "3 abc4 ",
    frames: ["abc"],
    error: tooLarge(3, 4),
  },

  {
    name: "jsonLines()",
    codec: jsonLines(),
    input: '{"a":[1,null]}\n"ä"\r\n7\n',
    frames: [{ a: [1, null] }, "=ä", 7],
    next: ["null\n", null],
  },
  {
    name: "jsonLines() with blank lines",
    codec: jsonLines(),
    input: "\n \n1\n\n",
    frames: [1],
    next: ["2\n", 2],
  },
  { name: "jsonLines() without a last end", codec: jsonLines(), input: "1\n[2]", frames: [1, [2]] },
  {
    name: "jsonLines() with white space at the end",
    codec: jsonLines(),
    input: "1\n  ",
    frames: [1],
    error: truncated(0),
  },
  {
    name: "jsonLines() of what is no JSON",
    codec: jsonLines(),
    input: '1\n{"ä":1,x}\n',
    frames: [1],
    error: malformed(8),
  },
  {
    name: "jsonLines() of what ends early",
    codec: jsonLines(),
    input: "[1,\n",
    frames: [],
    error: malformed(0),
  },
  {
    name: "jsonLines() of bad UTF-8",
    codec: jsonLines(),
    input: [0x22, 0xff, 0x22, 0x0a],
    frames: [],
    error: malformed(1),
  },
  {
    name: "jsonLines() over maxLength",
    codec: jsonLines({ maxLength: 3 }),
    input: "123\n1234\n",
    frames: [123],
    error: tooLarge(3, 4),
  },

  {
    name: "lengthPrefixed()",
    codec: lengthPrefixed(),
    input: [0, 0, 0, 2, 7, 8, 0, 0, 0, 0],
    frames: [[7, 8], []],
    next: [[0, 0, 0, 1, 9], [9]],
  },
  {
    name: "lengthPrefixed() of 1 byte",
    codec: lengthPrefixed({ width: 1 }),
    input: [2, 7, 8],
    frames: [[7, 8]],
    next: [[0], []],
  },
  {
    name: "lengthPrefixed() of 2 bytes, little-endian",
    codec: lengthPrefixed({ width: 2, littleEndian: true }),
    input: [2, 0, 7, 8],
    frames: [[7, 8]],
    next: [[1, 0, 1], [1]],
  },
  {
    name: "lengthPrefixed() of 3 bytes",
    codec: lengthPrefixed({ width: 3 }),
    input: [0, 0, 1, 7],
    frames: [[7]],
  },
  {
    name: "lengthPrefixed() of 8 bytes",
    codec: lengthPrefixed({ width: 8 }),
    input: [0, 0, 0, 0, 0, 0, 0, 1, 7],
    frames: [[7]],
  },
  {
    name: "lengthPrefixed() of 8 bytes, little-endian",
    codec: lengthPrefixed({ width: 8, littleEndian: true }),
    input: [1, 0, 0, 0, 0, 0, 0, 0, 7],
    frames: [[7]],
  },
  {
    name: "lengthPrefixed() of 2^63",
    codec: lengthPrefixed({ width: 8 }),
    input: [0x80, 0, 0, 0, 0, 0, 0, 0],
    frames: [],
    error: tooLarge(8388608, 2 ** 63),
  },
  {
    name: "lengthPrefixed() of a varint",
    codec: lengthPrefixed({ width: "varint" }),
    input: [1, 7, 0x82, 0, 8, 9],
    frames: [[7], [8, 9]],
    next: [[0], []],
  },
  {
    name: "lengthPrefixed() of a varint without an end",
    codec: lengthPrefixed({ width: "varint" }),
    input: [1, 7, ...Array(10).fill(0x80)],
    frames: [[7]],
    error: malformed(0),
  },
  {
    name: "lengthPrefixed() of a large varint",
    codec: lengthPrefixed({ width: "varint" }),
    input: [...Array(9).fill(0xff), 1],
    frames: [],
    error: tooLarge(8388608, 2 ** 64),
  },
  {
    name: "lengthPrefixed() with the header counted",
    codec: lengthPrefixed({ width: 2, includesHeader: true }),
    input: [0, 4, 7, 8, 0, 2],
    frames: [[7, 8], []],
    next: [[0, 3, 1], [1]],
  },
  {
    name: "lengthPrefixed() with a length less than its header",
    codec: lengthPrefixed({ width: 2, includesHeader: true }),
    input: [0, 3, 7, 0, 1],
    frames: [[7]],
    error: malformed(0),
  },
  {
    name: "lengthPrefixed() with an offset",
    codec: lengthPrefixed({ width: 1, offset: 2 }),
    input: [9, 9, 1, 7],
    frames: [[7]],
    next: [[9, 9, 0], []],
  },
  {
    name: "lengthPrefixed() with an offset, whole",
    codec: lengthPrefixed({ width: 1, offset: 2, keepHeader: true }),
    input: [8, 9, 1, 7],
    frames: [[8, 9, 1, 7]],
    next: [[8, 9, 0], [8, 9, 0]],
  },
  {
    name: "lengthPrefixed() with the rest of a header behind the length",
    codec: lengthPrefixed({ width: 1, adjustment: 2 }),
    input: [1, 5, 5, 7],
    frames: [[5, 5, 7]],
    next: [[0, 5, 5], [5, 5]],
  },
  {
    name: "lengthPrefixed() with a length that counts too much",
    codec: lengthPrefixed({ width: 1, adjustment: -2 }),
    input: [3, 7, 1],
    frames: [[7]],
    error: malformed(0),
  },
  {
    name: "lengthPrefixed() as MQTT has it",
    codec: mqtt,
    input: [0x30, 3, 1, 2, 3],
    frames: [[0x30, 3, 1, 2, 3]],
    next: [[0xc0, 0], [0xc0, 0]],
  },
  {
    name: "lengthPrefixed() as MQTT has it, of 128 bytes",
    codec: mqtt,
    input: [0x30, 0x80, 1, ...Array(128).fill(7)],
    frames: [[0x30, 0x80, 1, ...Array(128).fill(7)]],
    next: [[0x30, 0x81, 0x80, 0x80, 0, 9], [0x30, 0x81, 0x80, 0x80, 0, 9]],
  },
  {
    name: "lengthPrefixed() of a varint of more bytes than MQTT has, with a value of 0",
    codec: mqtt,
    input: [0xc0, 0, 0x30, 0x80, 0x80, 0x80, 0x80, 0],
    frames: [[0xc0, 0]],
    error: malformed(1),
  },
  {
    name: "lengthPrefixed() of a varint of more bytes than MQTT has",
    codec: mqtt,
    input: [0xc0, 0, 0x10, 0xff, 0xff, 0xff, 0xff, 1],
    frames: [[0xc0, 0]],
    error: malformed(1),
  },
  {
    name: "lengthPrefixed() of a varint that has as many bytes as MQTT has and goes on",
    codec: mqtt,
    input: [0xc0, 0, 0x10, 0xff, 0xff, 0xff, 0xff],
    frames: [[0xc0, 0]],
    error: malformed(1),
  },
  {
    name: "lengthPrefixed() of the largest varint that MQTT has",
    codec: mqtt,
    input: [0x10, 0xff, 0xff, 0xff, 0x7f],
    frames: [],
    error: tooLarge(8388608, 2 ** 28 - 1 + 5),
  },
  {
    name: "lengthPrefixed() of the largest varint that MQTT has, cut off",
    codec: largeMqtt,
    input: [0x10, 0xff, 0xff, 0xff, 0x7f, 1],
    frames: [],
    error: truncated(6, 2 ** 28 - 1 + 5),
  },
  {
    name: "lengthPrefixed() cut off",
    codec: lengthPrefixed({ width: 1 }),
    input: [1, 7, 3, 1, 2],
    frames: [[7]],
    error: truncated(3, 4),
  },
  {
    name: "lengthPrefixed() cut off in its length",
    codec: lengthPrefixed(),
    input: [0, 0],
    frames: [],
    error: truncated(2, 4),
  },
  {
    name: "lengthPrefixed() at maxLength",
    codec: lengthPrefixed({ width: 1, maxLength: 2 }),
    input: [2, 7, 8],
    frames: [[7, 8]],
  },
  {
    name: "lengthPrefixed() over maxLength",
    codec: lengthPrefixed({ width: 1, maxLength: 2 }),
    input: [1, 7, 3],
    frames: [[7]],
    error: tooLarge(2, 3),
  },
];

/** Frames as they are written in the table: text or numbers for bytes, `=` in front of a text that is meant as such. */
function toFrame(written: unknown, codec: Codec<unknown, never>): unknown {
  if (CASES.some((item) => item.codec === codec && item.name.startsWith("jsonLines"))) {
    return typeof written === "string" ? written.slice(1) : written;
  }
  return toBytes(written as string);
}

for (const { name, codec, input, frames, error, next } of CASES) {
  const expected = frames.map((frame) => toFrame(frame, codec));
  const ways = threeWays(toBytes(input));
  for (const [way, pieces] of ways) {
    Deno.test(`${name}, ${way}`, { permissions: "none" }, async () => {
      const decoded = await decode(codec, pieces);
      assertEquals(decoded.frames, expected);
      if (error === undefined || (error[0] === TruncatedFrameError && error[1]["received"] === 0)) {
        return assertEquals(decoded.error, undefined);
      }
      assertInstanceOf(decoded.error, error[0] as typeof Error);
      const got = decoded.error as unknown as Record<string, unknown>;
      for (const [field, value] of Object.entries(error[1])) assertEquals(got[field], value, field);
    });
  }
  if (next === undefined) continue;
  Deno.test(`${name}, glued to what follows`, { permissions: "none" }, async () => {
    const glued = concat([toBytes(input), toBytes(next[0]), toBytes(next[0])]);
    const frame = toFrame(next[1], codec);
    assertEquals((await decode(codec, [glued])).frames, [...expected, frame, frame]);
  });
}

const bytes = fc.uint8Array({ maxLength: 300 });
const json = fc.jsonValue({ noUnicodeString: false }).map((value) =>
  JSON.parse(JSON.stringify(value))
);

interface Property {
  codec: Codec<unknown, unknown>;
  message: fc.Arbitrary<unknown>;
}

const without = (delimiter: string) =>
  bytes.filter((value) => {
    const all = concat([value, toBytes(delimiter)]);
    return new TextDecoder("latin1").decode(all).indexOf(delimiter) === value.length;
  });
const whole = bytes.map((value) =>
  concat([Uint8Array.of(1, 2, value.length >> 8, value.length & 255), value])
);

const PROPERTIES: Record<string, Property> = {
  "delimited() by one byte": {
    codec: delimited("\n") as Property["codec"],
    message: without("\n"),
  },
  "delimited() by several": {
    codec: delimited("aba") as Property["codec"],
    message: without("aba"),
  },
  "fixed()": {
    codec: fixed(7) as Property["codec"],
    message: fc.uint8Array({ minLength: 7, maxLength: 7 }),
  },
  "netstring()": { codec: netstring() as Property["codec"], message: bytes },
  "octetCounted()": {
    codec: octetCounted() as Property["codec"],
    message: fc.uint8Array({ minLength: 1, maxLength: 300 }),
  },
  "jsonLines()": { codec: jsonLines() as Property["codec"], message: json },
  "lengthPrefixed()": { codec: lengthPrefixed() as Property["codec"], message: bytes },
  "lengthPrefixed() of 2 bytes that count themselves": {
    codec: lengthPrefixed({
      width: 2,
      littleEndian: true,
      includesHeader: true,
    }) as Property["codec"],
    message: bytes,
  },
  "lengthPrefixed() of a varint": {
    codec: lengthPrefixed({ width: "varint" }) as Property["codec"],
    message: bytes,
  },
  "lengthPrefixed() whole": {
    codec: lengthPrefixed({ width: 2, offset: 2, keepHeader: true }) as Property["codec"],
    message: whole,
  },
};

for (const [name, { codec, message }] of Object.entries(PROPERTIES)) {
  Deno.test(
    `${name} gives back what was sent, chopped anyhow`,
    { permissions: "none" },
    async () => {
      await fc.assert(fc.asyncProperty(
        fc.array(message, { maxLength: 20 }),
        fc.array(fc.nat({ max: 40 }), { maxLength: 60 }),
        async (messages, cuts) => {
          const all = await encode(codec, messages);
          const { frames, error } = await decode(codec as Codec<unknown, never>, chop(all, cuts));
          assertEquals([frames, error], [messages, undefined]);
        },
      ));
    },
  );
}

function chop(all: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const pieces = [];
  let at = 0;
  for (const cut of cuts) pieces.push(all.subarray(at, at += cut));
  pieces.push(all.subarray(at));
  return pieces;
}

/** Codecs with a small cap, for what must hold whatever comes. */
const CAPPED: Record<string, Codec<unknown, never>> = {
  "delimited()": delimited("ab", { maxLength: 2000 }),
  "fixed()": fixed(2000),
  "jsonLines()": jsonLines({ maxLength: 2000 }),
  "lengthPrefixed()": lengthPrefixed({ width: 2, maxLength: 2000 }),
  "lengthPrefixed() of a varint": lengthPrefixed({
    width: "varint",
    maxLength: 2000,
    adjustment: -3,
  }),
  "lines()": lines({ maxLength: 2000, fatal: true }),
  "lines() that is strict": lines({ maxLength: 2000, ending: "\r\n", strict: true }),
  "netstring()": netstring({ maxLength: 2000 }),
  "octetCounted()": octetCounted({ maxLength: 2000 }),
  "headerPrefixed()": headerPrefixed({ maxLength: 1000, maxHeaderLength: 1000 }),
};

for (const [name, codec] of Object.entries(CAPPED)) {
  Deno.test(`${name} throws nothing but its errors and stays small, whatever comes`, {
    permissions: "none",
  }, async () => {
    const byte = fc.oneof(
      fc.constantFrom(0, 1, 10, 13, 0x2c, 0x31, 0x3a, 0x61, 0x62, 0x7b, 0xff),
      fc.nat({ max: 255 }),
    );
    const piece = fc.oneof(
      fc.array(byte, { maxLength: 100 }).map((values) => Uint8Array.from(values)),
      fc.record({ value: byte, length: fc.nat({ max: 5000 }) }).map(({ value, length }) =>
        new Uint8Array(length).fill(value)
      ),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 20 }), async (pieces) => {
        const { error, memory } = await decode(codec, pieces);
        if (error !== undefined) {
          const documented = [FrameTooLargeError, MalformedFrameError, TruncatedFrameError];
          assert(documented.some((kind) => error instanceof kind), `${error}`);
        }
        assert(memory <= 2000 + 66 * 1024, `${memory} bytes`);
      }),
      { numRuns: 300 },
    );
  });
}

for (const [name, target] of Object.entries(TARGETS)) {
  Deno.test(
    `${name} stands a little of what deno task fuzz does`,
    { permissions: "none" },
    async () => {
      const random = new Random(7);
      for (let round = 0; round < 100; round++) await fuzzOnce(target, random);
    },
  );
}

Deno.test(
  "jsonLines() makes of white space anywhere what lines() and JSON.parse() make of it",
  { permissions: "none" },
  async () => {
    const text = lines({ maxLength: 6, fatal: true });
    await fc.assert(fc.asyncProperty(
      fc.array(fc.constantFrom(" ", "\t", "\r", "\n", "\n", "\r\n", "1", "x"), { maxLength: 40 }),
      fc.array(fc.nat({ max: 10 }), { maxLength: 20 }),
      async (parts, cuts) => {
        const input = toBytes(parts.join(""));
        const read = await decode(text, [input]);
        const wanted: unknown[] = [];
        let fault = read.error?.constructor ?? TruncatedFrameError; // which white space at the end is
        for (const line of read.frames) {
          if (line.trim() === "") continue;
          try {
            wanted.push(JSON.parse(line));
          } catch {
            fault = MalformedFrameError;
            break;
          }
        }
        const { frames, error } = await decode(jsonLines({ maxLength: 6 }), chop(input, cuts));
        assertEquals(frames, wanted);
        if (error !== undefined || fault !== TruncatedFrameError) {
          assertStrictEquals(error?.constructor, fault);
        }
      },
    ));
  },
);

Deno.test("jsonLines() gives values their type by a check", { permissions: "none" }, async () => {
  const parse = (value: unknown): number => {
    if (typeof value === "number") return value;
    throw new TypeError("no number");
  };
  const { frames, error } = await decode(jsonLines({ parse }), [toBytes('1\n2\n"3"\n4\n')]);
  assertEquals(frames, [1, 2]);
  assertInstanceOf(error, MalformedFrameError);
  assertEquals((error.cause as Error).message, "no number");
});

Deno.test("Codecs refuse what they could not read again", { permissions: "none" }, async () => {
  const text = "no bytes" as unknown as Uint8Array;
  const wrong: [Codec<unknown, never>, unknown, new (...args: never[]) => Error, string][] = [
    [delimited("\n"), text, TypeError, "got a string"],
    [delimited("\n"), toBytes("a\nb"), TypeError, "must not contain the delimiter"],
    [delimited("aba"), toBytes("xab"), TypeError, "must not contain the delimiter"],
    [delimited("aba"), toBytes("aba"), TypeError, "must not contain the delimiter"],
    [delimited("\n", { maxLength: 3 }), toBytes("abcd"), FrameTooLargeError, "limit of 3"],
    [fixed(3), toBytes("ab"), RangeError, "must have 3 bytes, got 2"],
    [fixed(3), text, TypeError, "got a string"],
    [netstring({ maxLength: 3 }), toBytes("abcd"), FrameTooLargeError, "limit of 3"],
    [netstring(), text, TypeError, "got a string"],
    [octetCounted(), text, TypeError, "got a string"],
    [octetCounted(), new Uint8Array(0), RangeError, "must not have 0 bytes"],
    [octetCounted({ maxLength: 3 }), toBytes("abcd"), FrameTooLargeError, "limit of 3"],
    [jsonLines(), undefined, TypeError, "JSON cannot represent undefined"],
    [jsonLines({ maxLength: 3 }), "abc", FrameTooLargeError, "limit of 3"],
    [lengthPrefixed({ maxLength: 3 }), toBytes("abcd"), FrameTooLargeError, "limit of 3"],
    [lengthPrefixed({ width: 1 }), new Uint8Array(256), RangeError, "cannot hold 256"],
    [lengthPrefixed({ width: 1, adjustment: 2 }), toBytes("a"), RangeError, "cannot hold -1"],
    [
      lengthPrefixed({ width: "varint", adjustment: 2 }),
      toBytes("a"),
      RangeError,
      "cannot hold -1",
    ],
    [lengthPrefixed({ offset: 1 }), toBytes("a"), TypeError, "set keepHeader"],
    [mqtt, toBytes([0x30, 4, 1, 2]), TypeError, "4 bytes, but says 6"],
    [mqtt, toBytes([0x30]), TypeError, "1 bytes, but says 0"],
    [mqtt, toBytes([0x30, 0x80, 0x80, 0x80, 0x80, 0]), TypeError, "6 bytes, but says 0"],
    [
      lengthPrefixed({ width: "varint", maxWidth: 1 }),
      new Uint8Array(128),
      RangeError,
      "a varint of 1 bytes cannot hold 128",
    ],
    [lengthPrefixed(), text, TypeError, "got a string"],
  ];
  for (const [codec, message, kind, words] of wrong) {
    await assertRejects(() => encode(codec as Codec<unknown, unknown>, [message]), kind, words);
  }
});

Deno.test("delimited() copies its delimiter, even a Buffer", { permissions: "none" }, async () => {
  for (const delimiter of [Buffer.from("|"), new Uint8Array(toBytes("|"))]) {
    const codec = delimited(delimiter);
    delimiter.fill(0x61);
    assertEquals(await encode(codec, [toBytes("rose")]), toBytes("rose|"));
    assertEquals((await decode(codec, [toBytes("ja|")])).frames, [toBytes("ja")]);
  }
});

Deno.test("Codecs check their options", { permissions: "none" }, () => {
  const wrong: [() => unknown, new (...args: never[]) => Error, string][] = [
    [
      () => delimited(""),
      RangeError,
      "the delimiter's length must be an integer from 1 to 256, got 0",
    ],
    [() => delimited(7 as unknown as string), TypeError, "got a number"],
    [() => delimited("x", { maxLength: 0 }), RangeError, "maxLength"],
    [() => fixed(0), RangeError, "length must be an integer from 1 to"],
    [() => netstring({ maxLength: -1 }), RangeError, "maxLength"],
    [() => jsonLines({ maxLength: 1.5 }), RangeError, "maxLength"],
    [() => octetCounted({ maxLength: 0 }), RangeError, "maxLength"],
    [
      () => lengthPrefixed({ width: 9 as 8 }),
      RangeError,
      "width must be an integer from 1 to 8, got 9",
    ],
    [
      () => lengthPrefixed({ width: "wide" as "varint" }),
      TypeError,
      "width must be a number, got a string",
    ],
    [() => lengthPrefixed({ offset: -1 }), RangeError, "offset"],
    [() => lengthPrefixed({ adjustment: 0.5 }), RangeError, "adjustment"],
    [() => lengthPrefixed({ maxLength: 0 }), RangeError, "maxLength"],
    [() => lengthPrefixed({ width: "varint", includesHeader: true }), TypeError, "varint"],
    [() => lengthPrefixed({ width: "varint", maxWidth: 11 }), RangeError, "maxWidth"],
    [() => lengthPrefixed({ maxWidth: 4 }), TypeError, "maxWidth is for varints, but width is 4"],
  ];
  for (const [make, kind, words] of wrong) assertThrows(make, kind, words);
});
