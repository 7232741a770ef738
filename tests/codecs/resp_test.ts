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
import {
  RESP_NULL_ARRAY,
  respClient,
  type RespClientOptions,
  type RespCommand,
  RespError,
  RespProtocolError,
  RespPush,
  respServer,
  type RespServerOptions,
  respStatus,
  type RespValue,
  RespVerbatim,
} from "../../codecs/mod.ts";
import { FrameTooLargeError, TruncatedFrameError } from "../../errors.ts";
import { MORE } from "../../codecs/codec.ts";
import { concat, decode, encode, InputBuffer, threeWays } from "../_codecs.ts";
import { connect } from "../../connect/connect.ts";
import { canUnix } from "../_permissions.ts";
import { command, fromBytes, hasRedisServer, startRedis, toBytes } from "../_redis.ts";
import { testEach } from "../_transports.ts";

const pure = { permissions: "none" } as const;
const BINARY = { encoding: "binary" } as const;
const OK = respStatus("OK");

const ALL_BYTES = String.fromCharCode(...Array(256).keys());

/** What is read, and the commands that must come of it. */
const CASES: [name: string, input: string, commands: string[][]][] = [
  ["a command", "*1\r\n$4\r\nPING\r\n", [["PING"]]],
  ["a command with arguments", command(["SET", "a", "b c"]), [["SET", "a", "b c"]]],
  ["two commands", command(["GET", "a"]) + command(["GET", "b"]), [["GET", "a"], ["GET", "b"]]],
  ["empty arguments", command(["", ""]), [["", ""]]],
  ["line ends in an argument", command(["ECHO", "\r\n$4\r\n"]), [["ECHO", "\r\n$4\r\n"]]],
  ["all bytes", command(["ECHO", ALL_BYTES]), [["ECHO", ALL_BYTES]]],
  ["a long argument", command(["ECHO", "x".repeat(5000)]), [["ECHO", "x".repeat(5000)]]],
  ["arguments of 7, 8 and 9 bytes", command(["1234567", "12345678", "123456789"]), [
    ["1234567", "12345678", "123456789"],
  ]],
  ["many arguments", command(Array(3000).fill("ab")), [Array(3000).fill("ab")]],
  ["commands of no words", "*0\r\n*-1\r\n\r\n\n", [[], [], [], []]],
  ["a line", "PING\r\n", [["PING"]]],
  ["a line ended by LF", "SET a b\n", [["SET", "a", "b"]]],
  ["a line with much space", " \t GET \v\f  a\r \r\n", [["GET", "a"]]],
  ["a long line", "ECHO " + "x".repeat(5000) + "\r\n", [["ECHO", "x".repeat(5000)]]],
  ["a line and a command", "PING\r\n" + command(["PING"]), [["PING"], ["PING"]]],
  ["double quotes", 'a "b \\" c" "\\x41\\xfF\\xg\\n\\r\\t\\b\\a\\z" d"e f"\r\n', [
    ["a", 'b " c', "A\xffxg\n\r\t\b\x07z", "de f"],
  ]],
  ["single quotes", `'a \\' b' '"\\n\\x' '' c'd'\r\n`, [["a ' b", '"\\n\\x', "", "cd"]]],
  ["bytes over ASCII in a line", "ECHO \xa0\x85\xff\r\n", [["ECHO", "\xa0\x85\xff"]]],
];

/** What breaks the protocol, after a command that does not. */
const BROKEN: [name: string, input: string, problem: string, limits?: RespServerOptions][] = [
  ["a count that is no number", "*x\r\n", "invalid multibulk length"],
  ["a count with a sign", "*+1\r\n", "invalid multibulk length"],
  ["a count with a leading zero", "*01\r\n", "invalid multibulk length"],
  ["a count of minus nothing", "*-\r\n", "invalid multibulk length"],
  ["a count of minus zero", "*-0\r\n", "invalid multibulk length"],
  ["no count", "*\r\n", "invalid multibulk length"],
  ["a count without a line feed", "*1\rx", "invalid multibulk length"],
  ["a count that never ends", `*${"1".repeat(100)}`, "invalid multibulk length"],
  ["a count over maxArguments", "*4\r\n", "invalid multibulk length", { maxArguments: 3 }],
  ["a count that no number holds", "*99999999999999999999\r\n", "invalid multibulk length"],
  ["a length that is no number", "*1\r\n$x\r\n", "invalid bulk length"],
  ["a negative length", "*1\r\n$-1\r\n", "invalid bulk length"],
  ["no length", "*1\r\n$\r\n", "invalid bulk length"],
  ["a length over maxBulkLength", "*1\r\n$5\r\n", "invalid bulk length", { maxBulkLength: 4 }],
  ["a length over 8 MiB", "*1\r\n$8388609\r\n", "invalid bulk length"],
  ["something else than a length", "*1\r\n:1\r\n", "expected '$', got ':'"],
  ["a line over 64 KiB", "x".repeat(64 * 1024 + 1) + "\n", "too big inline request"],
  ["a line over 64 KiB that goes on", "x".repeat(64 * 1024 + 1), "too big inline request"],
  ["a quote that is not closed", '"a\r\n', "unbalanced quotes in request"],
  ["a single quote that is not closed", "'a\\'\r\n", "unbalanced quotes in request"],
  ["a single quote after two backslashes", "'a\\\\'\r\n", "unbalanced quotes in request"],
  ["a quote that goes on", '"a"b\r\n', "unbalanced quotes in request"],
];

for (const [name, input, expected] of CASES) {
  for (const [way, pieces] of threeWays(toBytes(input))) {
    Deno.test(`respServer() reads ${name}, ${way}`, pure, async () => {
      const { frames, error } = await decode(respServer(BINARY), pieces);
      assertEquals([frames, error], [expected, undefined]);
    });
  }
  Deno.test(`respServer() reads ${name}, glued to what follows`, pure, async () => {
    const { frames } = await decode(respServer(BINARY), [
      toBytes(input + command(["PING"]) + "PING\n"),
    ]);
    assertEquals(frames, [...expected, ["PING"], ["PING"]]);
  });
}

for (const [name, input, problem, limits] of BROKEN) {
  for (const [way, pieces] of threeWays(toBytes(command(["PING"]) + input))) {
    Deno.test(`respServer() refuses ${name}, ${way}`, pure, async () => {
      const { frames, error } = await decode(respServer({ ...BINARY, ...limits }), pieces);
      assertEquals(frames, [["PING"]]);
      assertInstanceOf(error, RespProtocolError);
      assertEquals(error.problem, problem);
    });
  }
}

for (
  const cut of ["*", "*1", "*1\r\n", "*1\r\n$4", "*1\r\n$4\r\nPIN", "*1\r\n$4\r\nPING\r", "PING"]
) {
  for (const [way, pieces] of threeWays(toBytes(cut))) {
    Deno.test(
      `respServer() tells of input that ends in ${JSON.stringify(cut)}, ${way}`,
      pure,
      async () => {
        const { frames, error } = await decode(respServer(BINARY), pieces);
        assertEquals(frames, []);
        assertInstanceOf(error, TruncatedFrameError);
      },
    );
  }
}

Deno.test("respServer() refuses a command over maxCommandLength", pure, async () => {
  const limits = { maxCommandLength: 1000 };
  const long = toBytes(command(["MGET", ...Array(30).fill("x".repeat(50))]));
  const pieces = Array.from(long, (_, i) => long.subarray(i, i + 1));
  const { frames, error } = await decode(respServer({ ...BINARY, ...limits }), pieces);
  assertEquals(frames, []);
  assertInstanceOf(error, FrameTooLargeError);
  assertEquals(error.limit, 1000);
});

Deno.test(
  "respServer() takes a command in pieces at a cost in proportion to its length",
  pure,
  () => {
    const bytes = toBytes(command(Array(20_000).fill("word")));
    let looks = 0;
    const input = new InputBuffer(1024);
    input.buffer = new Proxy(bytes, {
      get(target, key): unknown {
        if (typeof key === "string" && /^\d+$/.test(key)) looks++;
        const value = Reflect.get(target, key);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    const decoder = respServer(BINARY).decoder();
    let calls = 0;
    let frame;
    for (let end = 47; end < bytes.length; end += 47) {
      input.end = end;
      if (end < input.needed) continue;
      frame = decoder.decode(input);
      assertStrictEquals(frame, MORE);
      calls++;
    }
    assert(calls > 1000);
    // Each byte once, those of the word that was cut a few times more.
    assert(looks < bytes.length + calls * 20, `${looks} looks at ${bytes.length} bytes`);
  },
);

Deno.test("respServer() asks for all of a long argument at once", pure, () => {
  const input = new InputBuffer(1024);
  input.buffer = toBytes("*2\r\n$4\r\nECHO\r\n$100000\r\nabc");
  input.end = input.buffer.length;
  assertStrictEquals(respServer(BINARY).decoder().decode(input), MORE);
  assertEquals(input.needed, "*2\r\n$4\r\nECHO\r\n$100000\r\n".length + 100_000 + 2);
  assertEquals(input.start, 0);
});

const REPLIES: [name: string, reply: RespValue, version2: string, version3?: string][] = [
  ["a status", OK, "+OK\r\n"],
  ["another status", respStatus("none"), "+none\r\n"],
  ["a string", "rose", "$4\r\nrose\r\n"],
  ["an empty string", "", "$0\r\n\r\n"],
  ["bytes", "\0\r\n\xff", "$4\r\n\0\r\n\xff\r\n"],
  ["many bytes", "\x80".repeat(40_000), `$40000\r\n${"\x80".repeat(40_000)}\r\n`],
  ["a long string", "x".repeat(40_000), `$40000\r\n${"x".repeat(40_000)}\r\n`],
  ["nothing", null, "$-1\r\n", "_\r\n"],
  ["no array", RESP_NULL_ARRAY, "*-1\r\n", "_\r\n"],
  ["zero", 0, ":0\r\n"],
  ["one", 1, ":1\r\n"],
  ["a number", -17, ":-17\r\n"],
  ["a fraction", 1.5, "$3\r\n1.5\r\n", ",1.5\r\n"],
  ["no number", NaN, "$3\r\nnan\r\n", ",nan\r\n"],
  ["infinity", -Infinity, "$4\r\n-inf\r\n", ",-inf\r\n"],
  ["true", true, ":1\r\n", "#t\r\n"],
  ["false", false, ":0\r\n", "#f\r\n"],
  [
    "a number over 64 bits",
    2n ** 64n,
    "$20\r\n18446744073709551616\r\n",
    "(18446744073709551616\r\n",
  ],
  ["a large number", 9223372036854775807n, ":9223372036854775807\r\n"],
  ["an error", new RespError("ERR no\r\nway"), "-ERR no  way\r\n"],
  [
    "an array",
    ["a", 2, null, OK, []],
    "*5\r\n$1\r\na\r\n:2\r\n$-1\r\n+OK\r\n*0\r\n",
    "*5\r\n$1\r\na\r\n:2\r\n_\r\n+OK\r\n*0\r\n",
  ],
  [
    "a map",
    new Map<string, RespValue>([["a", 1], ["b", ["c"]]]),
    "*4\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n*1\r\n$1\r\nc\r\n",
    "%2\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n*1\r\n$1\r\nc\r\n",
  ],
  ["a set", new Set(["a", "b"]), "*2\r\n$1\r\na\r\n$1\r\nb\r\n", "~2\r\n$1\r\na\r\n$1\r\nb\r\n"],
  [
    "a push",
    new RespPush(["message", "a", "b"]),
    "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n",
    ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n",
  ],
  ["text for people", new RespVerbatim("a:1\r\n"), "$5\r\na:1\r\n\r\n", "=9\r\ntxt:a:1\r\n\r\n"],
];

for (const [name, reply, version2, version3 = version2] of REPLIES) {
  for (const [version, expected] of [[2, version2], [3, version3]] as const) {
    Deno.test(`respServer() sends ${name} in version ${version}`, pure, async () => {
      const codec = respServer(BINARY);
      codec.version = version;
      assertEquals(fromBytes(await encode(codec, [reply])), expected);
      assertEquals(fromBytes(await encode(codec, [[reply]])), `*1\r\n${expected}`);
    });
  }
}

const bytes = fc.uint8Array({ maxLength: 40 }).map(fromBytes);

function cut(all: Uint8Array, cuts: number[]): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  let at = 0;
  for (const length of cuts) pieces.push(all.subarray(at, at += length));
  return [...pieces, all.subarray(at)];
}

Deno.test(
  "respServer() gives back the commands that were sent, however they are cut",
  pure,
  async () => {
    await fc.assert(fc.asyncProperty(
      fc.array(fc.array(bytes)),
      fc.array(fc.nat({ max: 20 })),
      async (commands, cuts) => {
        const all = toBytes(commands.map(command).join(""));
        const { frames, error } = await decode(respServer(BINARY), cut(all, cuts));
        assertEquals([frames, error], [commands, undefined]);
      },
    ));
  },
);

Deno.test("respServer() decodes any bytes alike, however they are split", pure, async () => {
  const part = fc.oneof(
    bytes,
    fc.array(bytes).map(command),
    fc.constantFrom("*1\r\n", "*2\r\n", "$1\r\n", "\r\n", "'", '"', "\\x4", "PING\n", "-", "0"),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(part).map((parts) => toBytes(parts.join(""))),
      fc.array(fc.nat({ max: 20 })),
      async (all, cuts) => {
        const whole = await decode(respServer(BINARY), [all]);
        const inPieces = await decode(respServer(BINARY), cut(all, cuts));
        assertEquals(inPieces.frames, whole.frames);
        assertEquals(inPieces.error?.name, whole.error?.name);
        const known = [undefined, "MalformedFrameError", "TruncatedFrameError"];
        assert(known.includes(whole.error?.name), `${whole.error}`);
      },
    ),
    { numRuns: 500 },
  );
});

Deno.test(
  "respServer() holds no more than it was sent, whatever length is claimed",
  pure,
  async () => {
    const { memory } = await decode(respServer(BINARY), [toBytes("*1\r\n$8000000\r\nabc")]);
    assert(memory <= 4096, `${memory} bytes for a claim`);
    const many = await decode(respServer(BINARY), [concat([toBytes("*1000000\r\n$1\r\na\r\n")])]);
    assertInstanceOf(many.error, TruncatedFrameError);
  },
);

/** Errors are not equal to each other, since each has its stack: their messages have to be. */
function comparable(value: unknown): unknown {
  if (value instanceof RespError) return { error: value.message };
  if (value instanceof RespPush) return { push: comparable(value.items) };
  if (Array.isArray(value)) return value.map(comparable);
  if (value instanceof Map) return new Map([...value].map(([key, one]) => [key, comparable(one)]));
  return value;
}

/** What a server sends, and what a client reads of it. */
const READ: [name: string, input: string, value: RespValue][] = [
  ["a simple string", "+OK\r\n", "OK"],
  ["an empty simple string", "+\r\n", ""],
  ["a string", "$4\r\nrose\r\n", "rose"],
  ["a string with a line end", "$4\r\na\r\nb\r\n", "a\r\nb"],
  ["a long string", `$5000\r\n${"x".repeat(5000)}\r\n`, "x".repeat(5000)],
  ["nothing", "_\r\n", null],
  ["no string", "$-1\r\n", null],
  ["no list", "*-1\r\n", null],
  ["an integer", ":-17\r\n", -17],
  ["a large integer", ":9223372036854775807\r\n", 9223372036854775807n],
  ["a fraction", ",1.5e+2\r\n", 150],
  ["infinity", ",-inf\r\n", -Infinity],
  ["no number", ",nan\r\n", NaN],
  ["true and false", "*2\r\n#t\r\n#f\r\n", [true, false]],
  ["a big number", "(-18446744073709551616\r\n", -(2n ** 64n)],
  ["an error", "-ERR no way\r\n", new RespError("ERR no way")],
  ["a long error", "!12\r\nERR no\r\nway\r\n".replace("12", "11"), new RespError("ERR no\r\nway")],
  ["text for people", "=8\r\nmkd:*hi*\r\n", new RespVerbatim("*hi*", "mkd")],
  ["an empty list", "*0\r\n", []],
  ["lists within each other", "*3\r\n*2\r\n:1\r\n*0\r\n$1\r\na\r\n*1\r\n_\r\n", [[1, []], "a", [
    null,
  ]]],
  [
    "a map",
    "%2\r\n+a\r\n:1\r\n:2\r\n*1\r\n:3\r\n",
    new Map<RespValue, RespValue>([["a", 1], [2, [3]]]),
  ],
  ["an empty map", "%0\r\n", new Map()],
  ["a set", "~2\r\n+a\r\n:1\r\n", new Set<RespValue>(["a", 1])],
  ["a push", ">2\r\n+message\r\n$1\r\na\r\n", new RespPush(["message", "a"])],
  ["a value with attributes", "|1\r\n+ttl\r\n:3600\r\n$1\r\na\r\n", "a"],
  ["attributes within a list", "*2\r\n|1\r\n+a\r\n*1\r\n:1\r\n:7\r\n|0\r\n:8\r\n", [7, 8]],
  ["many elements", `*3000\r\n${"$2\r\nab\r\n".repeat(3000)}`, Array(3000).fill("ab")],
];

for (const [name, input, value] of READ) {
  for (const [way, pieces] of threeWays(toBytes(input))) {
    Deno.test(`respClient() reads ${name}, ${way}`, pure, async () => {
      const { frames, error } = await decode(respClient(), pieces);
      assertEquals([comparable(frames), error], [comparable([value]), undefined]);
    });
  }
  Deno.test(`respClient() reads ${name}, glued to what follows`, pure, async () => {
    const { frames } = await decode(respClient(), [toBytes(`${input}+OK\r\n${input}`)]);
    assertEquals(comparable(frames), comparable([value, "OK", value]));
  });
}

/** What breaks the protocol, after a reply that does not. */
const WRONG: [name: string, input: string, options?: RespClientOptions][] = [
  ["an unknown type", "?1\r\n"],
  ["an empty line", "\r\n"],
  ["a line without a CR", "+OK\n"],
  ["a line that never ends", `+${"x".repeat(70_000)}`],
  ["an integer that is none", ":1x\r\n"],
  ["an integer of too many digits", `:${"1".repeat(30)}\r\n`],
  ["a fraction that is none", ",1..5\r\n"],
  ["a big number without digits", "(\r\n"],
  ["a big number of too many digits", `(${"1".repeat(5000)}\r\n`],
  ["a boolean that is none", "#x\r\n"],
  ["nothing with something", "_x\r\n"],
  ["a length that is none", "$x\r\n"],
  ["a negative length", "$-2\r\n"],
  ["a length with a leading zero", "$01\r\n"],
  ["a length over maxBulkLength", "$5\r\n", { maxBulkLength: 4 }],
  ["a string without its line end", "$1\r\nabc"],
  ["an error without a length", "!-1\r\n"],
  ["text for people without a format", "=2\r\nab\r\n"],
  ["a map without a count", "%-1\r\n"],
  ["a list over maxItems", "*5\r\n", { maxItems: 4 }],
  ["a list that streams", "*?\r\n"],
  ["lists too deep", "*1\r\n".repeat(33)],
  ["lists deeper than maxDepth", "*1\r\n".repeat(3), { maxDepth: 2 }],
];

for (const [name, input, options] of WRONG) {
  for (const [way, pieces] of threeWays(toBytes(`+OK\r\n${input}`))) {
    Deno.test(`respClient() refuses ${name}, ${way}`, pure, async () => {
      const { frames, error } = await decode(respClient(options), pieces);
      assertEquals(frames, ["OK"]);
      assertInstanceOf(error, RespProtocolError);
    });
  }
}

for (
  const cut of ["*", "*1", "*2\r\n:1\r\n", "$4", "$4\r\nPIN", "$4\r\nPING\r", "+OK\r", "|0\r\n"]
) {
  for (const [way, pieces] of threeWays(toBytes(cut))) {
    Deno.test(
      `respClient() tells of input that ends in ${JSON.stringify(cut)}, ${way}`,
      pure,
      async () => {
        const { frames, error } = await decode(respClient(), pieces);
        assertEquals(frames, []);
        assertInstanceOf(error, TruncatedFrameError);
      },
    );
  }
}

Deno.test("RESP refuses what passes its limit in one chunk, too", pure, async () => {
  const list = toBytes(`*3\r\n${`$50\r\n${"x".repeat(50)}\r\n`.repeat(3)}`);
  for (
    const codec of [respClient({ maxReplyLength: 100 }), respServer({ maxCommandLength: 100 })]
  ) {
    const { frames, error } = await decode(codec as Codec<unknown, never>, [list]);
    assertEquals(frames, []);
    assertInstanceOf(error, FrameTooLargeError);
  }
  const inline = await decode(respServer({ maxCommandLength: 100 }), [
    toBytes("x".repeat(200) + "\n"),
  ]);
  assertInstanceOf(inline.error, FrameTooLargeError);
});

Deno.test("respClient() refuses a reply over maxReplyLength", pure, async () => {
  const reply = toBytes(`*30\r\n${`$50\r\n${"x".repeat(50)}\r\n`.repeat(30)}`);
  const pieces = Array.from(reply, (_, i) => reply.subarray(i, i + 1));
  const { frames, error } = await decode(respClient({ maxReplyLength: 1000 }), pieces);
  assertEquals(frames, []);
  assertInstanceOf(error, FrameTooLargeError);
  assertEquals(error.limit, 1000);
});

Deno.test("respClient() takes a push of a million elements", pure, async () => {
  const { frames } = await decode(respClient(), [
    toBytes(`>300000\r\n${":1\r\n".repeat(300_000)}`),
  ]);
  assertEquals((frames[0] as RespPush).items.length, 300_000);
});

Deno.test("respClient() sends commands, and respServer() reads them", pure, async () => {
  const commands = [["PING"], ["SET", "ä€🌹", "a\r\nb"], ["ECHO", ""]];
  const bytes = await encode(respClient() as Codec<unknown, RespCommand>, commands);
  assertEquals(
    fromBytes(bytes),
    commands.map((words) => command(words.map((word) => fromBytes(new TextEncoder().encode(word)))))
      .join(""),
  );
  assertEquals((await decode(respServer(), [bytes])).frames, commands);
});

Deno.test("RESP refuses to send what is no value", pure, async () => {
  const client = respClient(BINARY) as Codec<unknown, unknown>;
  const server = respServer(BINARY) as Codec<unknown, unknown>;
  const wrong: [Codec<unknown, unknown>, unknown, string][] = [
    [client, [], "a command must have a name"],
    [client, "PING", "a command must be a list"],
    [client, ["GET", 1], "must be a string, got a number"],
    [client, ["€"], "beyond U+00FF"],
    [server, "€", "beyond U+00FF"],
    [server, ["€"], "beyond U+00FF"],
    [server, { a: 1 }, "cannot represent an object of class Object"],
    [server, [undefined], "cannot represent undefined"],
  ];
  for (const [codec, message, words] of wrong) {
    await assertRejects(() => encode(codec, [message]), TypeError, words);
  }
  assertThrows(() => respStatus("a\r\nb"), TypeError, "must not contain CR or LF");
  assertThrows(() => new RespVerbatim("a", "text"), TypeError, "three letters");
  assertThrows(
    () => respServer({ encoding: "latin1" as "binary" }),
    RangeError,
    "encoding must be",
  );
  assertThrows(() => respServer({ maxArguments: 0 }), RangeError, "maxArguments");
  assertThrows(() => respClient({ maxDepth: 1001 }), RangeError, "maxDepth");
});

const text = fc.string({ unit: "grapheme" });
const scalar: fc.Arbitrary<RespValue> = fc.oneof(
  text,
  fc.maxSafeInteger(),
  fc.bigInt({ min: 2n ** 60n, max: 2n ** 80n }),
  fc.double().filter((value) => !Object.is(value, -0)),
  fc.boolean(),
  fc.constant(null),
  text.map((text) => new RespVerbatim(text)),
  text.map((text) => new RespError(text.replace(/[\r\n]/g, ""))),
);
const value = fc.letrec<{ value: RespValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    scalar,
    fc.array(tie("value")),
    fc.array(fc.tuple(text, tie("value"))).map((pairs) => new Map<RespValue, RespValue>(pairs)),
    fc.array(text).map((items) => new Set<RespValue>(items)),
    fc.array(tie("value")).map((items) => new RespPush(items)),
  ) as fc.Arbitrary<RespValue>,
})).value;

Deno.test(
  "respClient() reads what respServer() sends in version 3, however it is cut",
  pure,
  async () => {
    await fc.assert(fc.asyncProperty(
      fc.array(value, { maxLength: 5 }),
      fc.array(fc.nat({ max: 20 })),
      async (values, cuts) => {
        const server = respServer();
        server.version = 3;
        const all = await encode(server, values);
        const { frames, error } = await decode(respClient(), cut(all, cuts));
        assertEquals([comparable(frames), error], [comparable(values), undefined]);
      },
    ));
  },
);

testEach("respClient() and respServer() talk to each other", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  const server = respServer();
  server.version = 3;
  const commands = session.frames(server);
  const sent = command(["GET", "rose"]);
  await peer.send(sent);
  assertEquals(await commands.read(), ["GET", "rose"]);
  await commands.send(new Map<RespValue, RespValue>([["a", [1, null]]]));
  const expected = toBytes("%1\r\n$1\r\na\r\n*2\r\n:1\r\n_\r\n");
  assertEquals(await peer.bytes(expected.length), expected);
  const replies = session.frames(respClient());
  await replies.send(["GET", "rose"]);
  assertEquals(await peer.bytes(sent.length), toBytes(sent));
  await peer.send("*2\r\n$4\r\nrose\r\n-ERR no\r\n");
  assertEquals(comparable(await replies.read()), ["rose", { error: "ERR no" }]);
});

Deno.test(
  "respClient() reads what Redis says",
  { ignore: !hasRedisServer || !canUnix },
  async () => {
    await using redis = await startRedis();
    await using session = await connect({ path: redis.path });
    const replies = session.frames(respClient());
    const ask = async (...words: string[]) => {
      await replies.send(words);
      return await replies.read();
    };
    assertEquals(await ask("PING"), "PONG");
    assertEquals(await ask("SET", "rose", "ä€🌹"), "OK");
    assertEquals(await ask("GET", "rose"), "ä€🌹");
    assertEquals(await ask("GET", "nobody"), null);
    assertEquals(await ask("HSET", "h", "a", "1", "b", "2"), 2);
    assertEquals(await ask("HGETALL", "h"), ["a", "1", "b", "2"]);
    assertEquals(await ask("BLPOP", "nobody", "0.01"), null);
    assertInstanceOf(await ask("INCR", "rose"), RespError);
    const hello = await ask("HELLO", "3") as Map<string, RespValue>;
    assertEquals([hello.get("server"), hello.get("proto")], ["redis", 3]);
    assertEquals(await ask("HGETALL", "h"), new Map([["a", "1"], ["b", "2"]]));
    assertEquals(await ask("GET", "nobody"), null);
    assertEquals(await ask("ZADD", "z", "1.5", "a"), 1);
    assertEquals(await ask("ZSCORE", "z", "a"), 1.5);
    assertEquals(await ask("SADD", "s", "a", "b"), 2);
    assertEquals(await ask("SMEMBERS", "s"), new Set(["a", "b"]));
    assertInstanceOf(await ask("INFO", "server"), RespVerbatim);
    assertEquals(comparable(await ask("SUBSCRIBE", "news")), { push: ["subscribe", "news", 1] });
    for (const [kind, value] of [["true", true], ["null", null], ["double", 3.141]] as const) {
      assertEquals(await ask("DEBUG", "PROTOCOL", kind), value);
    }
  },
);
