import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { lines, type LinesOptions } from "../../codecs/lines.ts";
import { FrameTooLargeError, MalformedFrameError, TruncatedFrameError } from "../../errors.ts";
import { prepare } from "../../session.ts";
import { concat, decode, encode, threeWays, toBytes } from "../_codecs.ts";
import { testEach } from "../_transports.ts";

const pure = { permissions: "none" } as const;
const STRICT = { ending: "\r\n", strict: true } as const;

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
  ["CRLF where CRLF is sent", "a\r\nb\n", ["a", "b"], { ending: "\r\n" }],
  ["CR", "a\rbc\r\rd", ["a", "bc", "", "d"], { ending: "\r" }],
  ["a line feed between CRs", "a\nb\r\nc\r", ["a\nb", "\nc"], { ending: "\r" }],
  ["exactly maxLength up to CR", "12345\r\r12345\r", ["12345", "", "12345"], {
    ending: "\r",
    maxLength: 5,
  }],
  ["strictly CRLF", "a\r\n\r\n bc\r\n", ["a", "", " bc"], STRICT],
  ["strictly CRLF, long", `${"x".repeat(5000)}\r\n\r\n`, ["x".repeat(5000), ""], STRICT],
  ["exactly maxLength and CRLF", "12345\r\n\r\n12345\r\n", ["12345", "", "12345"], {
    ...STRICT,
    maxLength: 5,
  }],
  ["strictly LF", "a\n\nb\n", ["a", "", "b"], { strict: true }],
  ["strictly CR", "a\r\rb\r", ["a", "", "b"], { ending: "\r", strict: true }],
];

/** What breaks the rule, where the bad byte stands in its line, and the line before it. */
const BARE: [name: string, input: string, offset: number, options?: LinesOptions][] = [
  ["LF", "body\r\nX\n.\r\n", 1],
  ["LF at the beginning", "body\r\n\n.\r\n", 0],
  ["LF far away", `body\r\n${"x".repeat(5000)}\n.\r\n`, 5000],
  ["CR", "body\r\nX\r.\r\n", 1],
  ["CR before CRLF", "body\r\nX\r\r\n.\r\n", 1],
  ["LF before CR", "body\r\nX\n\r.\r\n", 1],
  ["CR far away", `body\r\n${"x".repeat(5000)}\r.\r\n`, 5000],
  ["LF as late as it may be", "body\r\n12345\n", 5, { maxLength: 5 }],
  ["CR where LF ends lines", "body\nX\r\n", 1, { ending: "\n" }],
  ["LF where CR ends lines", "body\r\nX\r", 0, { ending: "\r" }],
];

for (const [name, input, offset, options] of BARE) {
  for (const [way, pieces] of threeWays(toBytes(input))) {
    Deno.test(`lines() that is strict refuses ${name}, ${way}`, pure, async () => {
      const { frames, error } = await decode(lines({ ...STRICT, ...options }), pieces);
      assertEquals(frames, ["body"]);
      assertInstanceOf(error, MalformedFrameError);
      assertEquals(error.offset, offset);
    });
  }
}

for (const rest of ["QUIT", "QUIT\r", "\r"]) {
  for (const [way, pieces] of threeWays(toBytes(`NOOP\r\n${rest}`))) {
    Deno.test(
      `lines() that is strict gives no line that is cut off, as ${JSON.stringify(rest)}, ${way}`,
      pure,
      async () => {
        const { frames, error } = await decode(lines(STRICT), pieces);
        assertEquals(frames, ["NOOP"]);
        assertInstanceOf(error, TruncatedFrameError);
        assertEquals(error.received, rest.length);
      },
    );
  }
}

/** Ends of a message that some servers take and others do not (CVE-2023-51764 and its like). */
const SMUGGLED = ["X\n.\r\n", "X\n.\n", "X\r\n.\n", "X\r.\r", "X\r\n.\r", "X\r.\r\n", "X\n\n.\r\n"];

for (const end of SMUGGLED) {
  testEach(
    `lines() that is strict sees no end of a mail in ${JSON.stringify(end)}`,
    async (open) => {
      await using opened = await open();
      const { session, peer } = opened;
      await peer.send(`body\r\n${end}MAIL FROM:<admin@example.com>\r\n`);
      const seen: string[] = [];
      await assertRejects(async () => {
        for await (const line of session.lines(STRICT)) seen.push(line);
      }, MalformedFrameError);
      assert(!seen.includes("."), "the mail was taken to end");
      assert(!seen.some((line) => line.startsWith("MAIL")), "a mail was smuggled in");
    },
  );
}

for (const [name, input, expected, options] of CASES) {
  for (const [way, pieces] of threeWays(toBytes(input))) {
    Deno.test(`lines() reads ${name}, ${way}`, { permissions: "none" }, async () => {
      assertEquals((await decode(lines(options), pieces)).frames, expected);
    });
  }
  const { ending = "\n" } = options ?? {};
  if (!toBytes(input).includes(10) && ending !== "\r" || input.at(-1) !== ending.at(-1)) continue;
  Deno.test(`lines() reads ${name}, glued to what follows`, pure, async () => {
    const glued = concat([toBytes(input), toBytes(`next${ending}last${ending}`)]);
    const codec = lines({ ...options, maxLength: 6000 });
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

Deno.test("lines() sends each end", { permissions: "none" }, async () => {
  assertEquals(await encode(lines(), ["rose", "", "ä"]), toBytes("rose\n\nä\n"));
  assertEquals(await encode(lines({ ending: "\r\n" }), ["rose", ""]), toBytes("rose\r\n\r\n"));
  assertEquals(await encode(lines({ ending: "\r" }), ["rose", ""]), toBytes("rose\r\r"));
});

Deno.test(
  "lines() refuses to send what others take for the end of a line",
  { permissions: "none" },
  async () => {
    const ends = { "\n": "a line feed", "\r": "a carriage return", "\0": "a NUL character" };
    for (const [end, name] of Object.entries(ends)) {
      for (const line of [end, `a${end}`, `${end}a`, `a${end}b`, `${"x".repeat(20_000)}${end}b`]) {
        for (const ending of ["\n", "\r\n", "\r"] as const) {
          const codec = lines({ ending });
          const words = `a line must not contain ${name}`;
          await assertRejects(() => encode(codec, [line]), TypeError, words);
          assertThrows(() => prepare(line, codec), TypeError, words);
        }
      }
    }
  },
);

Deno.test("lines() refuses what it could not read again", { permissions: "none" }, async () => {
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
  assertThrows(() => lines({ ending: "\n\r" as "\n" }), RangeError, 'got "\\n\\r"');
  assertThrows(() => lines({ strict: "no" as unknown as boolean }), TypeError, "got a string");
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
      fc.constantFrom("\n", "\r\n", "\r"),
      fc.boolean(),
      fc.array(fc.nat({ max: 20 })),
      async (messages, ending, strict, cuts) => {
        const codec = lines({ ending: ending as "\n", strict, fatal: true });
        const bytes = await encode(codec, messages);
        const pieces = [];
        let at = 0;
        for (const cut of cuts) pieces.push(bytes.subarray(at, at += cut));
        pieces.push(bytes.subarray(at));
        const { frames, error } = await decode(codec, pieces);
        assertEquals([frames, error], [messages, undefined]);
      },
    ));
  },
);
