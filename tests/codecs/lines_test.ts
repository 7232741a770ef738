import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { lines, type LinesOptions } from "../../codecs/lines.ts";
import { FrameTooLargeError, MalformedFrameError } from "../../errors.ts";
import { prepare } from "../../session.ts";
import { concat, decode, encode, threeWays, toBytes } from "../_codecs.ts";

type Input = string | readonly number[];

/** What is read, and the lines that must come of it. */
const CASES: [name: string, input: Input, lines: string[], options?: LinesOptions][] = [
  ["nothing", "", []],
  ["one line", "rose\n", ["rose"]],
  ["CRLF", "rose\r\nthink\r\n", ["rose", "think"]],
  ["LF and CRLF mixed", "a\r\nb\nc\r\n", ["a", "b", "c"]],
  ["empty lines", "\n\r\n\n", ["", "", ""]],
  ["a carriage return within a line", "a\rb\n", ["a\rb"]],
  ["two carriage returns", "a\r\r\n", ["a\r"]],
  ["no end on the last line", "rose\nthink", ["rose", "think"]],
  ["a carriage return at the end of input", "rose\r", ["rose\r"]],
  ["more than ASCII", "ä€🌹\n", ["ä€🌹"]],
  ["a byte order mark", "\uFEFFrose\n", ["\uFEFFrose"]],
  ["bad UTF-8", [0x61, 0xff, 0x0a], ["a\uFFFD"]],
  ["a NUL", "a\0b\n", ["a\0b"]],
  ["a long line", "x".repeat(5000) + "\n", ["x".repeat(5000)]],
  ["exactly maxLength", "12345\n12345\r\n12345", ["12345", "12345", "12345"], { maxLength: 5 }],
  ["maxLength in characters of two bytes", "ää\n", ["ää"], { maxLength: 4 }],
];

for (const [name, input, expected, options] of CASES) {
  for (const [way, pieces] of threeWays(toBytes(input))) {
    Deno.test(`lines() reads ${name}, ${way}`, { permissions: "none" }, async () => {
      assertEquals((await decode(lines(options), pieces)).frames, expected);
    });
  }
  if (!toBytes(input).includes(10) || input.at(-1) !== "\n") continue;
  Deno.test(`lines() reads ${name}, glued to what follows`, { permissions: "none" }, async () => {
    const glued = concat([toBytes(input), toBytes("next\nlast")]);
    const codec = lines({ maxLength: 6000 });
    assertEquals((await decode(codec, [glued])).frames, [...expected, "next", "last"]);
  });
}

const TOO_LONG: [name: string, input: string][] = [
  ["ended by LF", "123456\n"],
  ["ended by CRLF", "123456\r\n"],
  ["without an end", "123456"],
  ["that goes on", "1234567890".repeat(10_000)],
  ["of carriage returns", "\r\r\r\r\r\r\r\r\n"],
];

for (const [name, input] of TOO_LONG) {
  for (const [way, pieces] of threeWays(toBytes(`ok\n${input}`))) {
    Deno.test(
      `lines() refuses a line over maxLength ${name}, ${way}`,
      { permissions: "none" },
      async () => {
        const { frames, error } = await decode(lines({ maxLength: 5 }), pieces);
        assertEquals(frames, ["ok"]);
        assertInstanceOf(error, FrameTooLargeError);
        assertEquals(error.limit, 5);
        assert(error.received > 5);
      },
    );
  }
}

for (const [way, pieces] of threeWays(toBytes([0x6f, 0x6b, 0x0a, 0x61, 0x62, 0xff, 0x0a]))) {
  Deno.test(
    `lines() with fatal refuses bad UTF-8 with its offset, ${way}`,
    { permissions: "none" },
    async () => {
      const { frames, error } = await decode(lines({ fatal: true }), pieces);
      assertEquals(frames, ["ok"]);
      assertInstanceOf(error, MalformedFrameError);
      assertEquals(error.offset, 2);
    },
  );
}

Deno.test("lines() sends either end", { permissions: "none" }, async () => {
  assertEquals(await encode(lines(), ["rose", "", "ä"]), toBytes("rose\n\nä\n"));
  assertEquals(await encode(lines({ ending: "\r\n" }), ["rose", ""]), toBytes("rose\r\n\r\n"));
});

Deno.test(
  "lines() refuses to send what others take for the end of a line",
  { permissions: "none" },
  async () => {
    const ends = { "\n": "a line feed", "\r": "a carriage return", "\0": "a NUL character" };
    for (const [end, name] of Object.entries(ends)) {
      for (const line of [end, `a${end}`, `${end}a`, `a${end}b`, `${"x".repeat(20_000)}${end}b`]) {
        for (const ending of ["\n", "\r\n"] as const) {
          const codec = lines({ ending });
          const words = `a line must not contain ${name}`;
          await assertRejects(() => encode(codec, [line]), TypeError, words);
          assertThrows(() => prepare(line, codec), TypeError, words);
        }
      }
    }
  },
);

Deno.test("lines() refuses to send what would not come back", { permissions: "none" }, async () => {
  const codec = lines({ maxLength: 5 });
  await assertRejects(() => encode(codec, [1 as unknown as string]), TypeError, "number");
  await assertRejects(() => encode(codec, ["123456"]), FrameTooLargeError, "limit of 5");
  await assertRejects(
    () => encode(codec, ["ä€"]).then(() => encode(codec, ["€€"])),
    FrameTooLargeError,
  );
});

Deno.test("lines() checks its options", { permissions: "none" }, () => {
  assertThrows(() => lines({ maxLength: 0 }), RangeError, "maxLength must be an integer from 1 to");
  assertThrows(() => lines({ ending: "\r" as "\n" }), RangeError, 'got "\\r"');
});

Deno.test(
  "lines() gives back what was sent, however it is cut",
  { permissions: "none" },
  async () => {
    const line = fc.string({ unit: "binary" }).filter((text) =>
      !/[\n\r\0]/.test(text) && text.isWellFormed()
    );
    await fc.assert(fc.asyncProperty(
      fc.array(line),
      fc.constantFrom<"\n" | "\r\n">("\n", "\r\n"),
      fc.array(fc.nat({ max: 20 })),
      async (messages, ending, cuts) => {
        const bytes = await encode(lines({ ending }), messages);
        const pieces = [];
        let at = 0;
        for (const cut of cuts) pieces.push(bytes.subarray(at, at += cut));
        pieces.push(bytes.subarray(at));
        const { frames, error } = await decode(lines({ fatal: true }), pieces);
        assertEquals([frames, error], [messages, undefined]);
      },
    ));
  },
);
