import { assert, assertEquals, assertInstanceOf, assertStrictEquals } from "@std/assert";
import fc from "fast-check";
import {
  NULL_ARRAY,
  OK,
  ProtocolError,
  Push,
  RedisError,
  type Reply,
  Resp,
  type RespLimits,
  status,
  Verbatim,
} from "../../examples/redis/codec.ts";
import { FrameTooLargeError, TruncatedFrameError } from "../../errors.ts";
import { MORE } from "../../codecs/codec.ts";
import { concat, decode, encode, InputBuffer, threeWays } from "../_codecs.ts";
import { command, fromBytes, toBytes } from "../_redis.ts";

const pure = { permissions: "none" } as const;

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
const BROKEN: [name: string, input: string, problem: string, limits?: RespLimits][] = [
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
    Deno.test(`Resp reads ${name}, ${way}`, pure, async () => {
      const { frames, error } = await decode(new Resp(), pieces);
      assertEquals([frames, error], [expected, undefined]);
    });
  }
  Deno.test(`Resp reads ${name}, glued to what follows`, pure, async () => {
    const { frames } = await decode(new Resp(), [toBytes(input + command(["PING"]) + "PING\n")]);
    assertEquals(frames, [...expected, ["PING"], ["PING"]]);
  });
}

for (const [name, input, problem, limits] of BROKEN) {
  for (const [way, pieces] of threeWays(toBytes(command(["PING"]) + input))) {
    Deno.test(`Resp refuses ${name}, ${way}`, pure, async () => {
      const { frames, error } = await decode(new Resp(limits), pieces);
      assertEquals(frames, [["PING"]]);
      assertInstanceOf(error, ProtocolError);
      assertEquals(error.message, `ERR Protocol error: ${problem}`);
    });
  }
}

for (
  const cut of ["*", "*1", "*1\r\n", "*1\r\n$4", "*1\r\n$4\r\nPIN", "*1\r\n$4\r\nPING\r", "PING"]
) {
  for (const [way, pieces] of threeWays(toBytes(cut))) {
    Deno.test(`Resp tells of input that ends in ${JSON.stringify(cut)}, ${way}`, pure, async () => {
      const { frames, error } = await decode(new Resp(), pieces);
      assertEquals(frames, []);
      assertInstanceOf(error, TruncatedFrameError);
    });
  }
}

Deno.test("Resp refuses a command over maxCommandLength", pure, async () => {
  const limits = { maxCommandLength: 1000 };
  const long = toBytes(command(["MGET", ...Array(30).fill("x".repeat(50))]));
  const pieces = Array.from(long, (_, i) => long.subarray(i, i + 1));
  const { frames, error } = await decode(new Resp(limits), pieces);
  assertEquals(frames, []);
  assertInstanceOf(error, FrameTooLargeError);
  assertEquals(error.limit, 1000);
});

Deno.test("Resp takes a command in pieces at a cost in proportion to its length", pure, () => {
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
  const decoder = new Resp().decoder();
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
});

Deno.test("Resp asks for all of a long argument at once", pure, () => {
  const input = new InputBuffer(1024);
  input.buffer = toBytes("*2\r\n$4\r\nECHO\r\n$100000\r\nabc");
  input.end = input.buffer.length;
  assertStrictEquals(new Resp().decoder().decode(input), MORE);
  assertEquals(input.needed, "*2\r\n$4\r\nECHO\r\n$100000\r\n".length + 100_000 + 2);
  assertEquals(input.start, 0);
});

const REPLIES: [name: string, reply: Reply, version2: string, version3?: string][] = [
  ["a status", OK, "+OK\r\n"],
  ["another status", status("none"), "+none\r\n"],
  ["a string", "rose", "$4\r\nrose\r\n"],
  ["an empty string", "", "$0\r\n\r\n"],
  ["bytes", "\0\r\n\xff", "$4\r\n\0\r\n\xff\r\n"],
  ["many bytes", "\x80".repeat(40_000), `$40000\r\n${"\x80".repeat(40_000)}\r\n`],
  ["a long string", "x".repeat(40_000), `$40000\r\n${"x".repeat(40_000)}\r\n`],
  ["nothing", null, "$-1\r\n", "_\r\n"],
  ["no array", NULL_ARRAY, "*-1\r\n", "_\r\n"],
  ["zero", 0, ":0\r\n"],
  ["one", 1, ":1\r\n"],
  ["a number", -17, ":-17\r\n"],
  ["a large number", 9223372036854775807n, ":9223372036854775807\r\n"],
  ["an error", new RedisError("ERR no\r\nway"), "-ERR no  way\r\n"],
  [
    "an array",
    ["a", 2, null, OK, []],
    "*5\r\n$1\r\na\r\n:2\r\n$-1\r\n+OK\r\n*0\r\n",
    "*5\r\n$1\r\na\r\n:2\r\n_\r\n+OK\r\n*0\r\n",
  ],
  [
    "a map",
    new Map<string, Reply>([["a", 1], ["b", ["c"]]]),
    "*4\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n*1\r\n$1\r\nc\r\n",
    "%2\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n*1\r\n$1\r\nc\r\n",
  ],
  ["a set", new Set(["a", "b"]), "*2\r\n$1\r\na\r\n$1\r\nb\r\n", "~2\r\n$1\r\na\r\n$1\r\nb\r\n"],
  [
    "a push",
    new Push("message", "a", "b"),
    "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n",
    ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n",
  ],
  ["text for people", new Verbatim("a:1\r\n"), "$5\r\na:1\r\n\r\n", "=9\r\ntxt:a:1\r\n\r\n"],
];

for (const [name, reply, version2, version3 = version2] of REPLIES) {
  for (const [version, expected] of [[2, version2], [3, version3]] as const) {
    Deno.test(`Resp sends ${name} in version ${version}`, pure, async () => {
      const codec = new Resp();
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

Deno.test("Resp gives back the commands that were sent, however they are cut", pure, async () => {
  await fc.assert(fc.asyncProperty(
    fc.array(fc.array(bytes)),
    fc.array(fc.nat({ max: 20 })),
    async (commands, cuts) => {
      const all = toBytes(commands.map(command).join(""));
      const { frames, error } = await decode(new Resp(), cut(all, cuts));
      assertEquals([frames, error], [commands, undefined]);
    },
  ));
});

Deno.test("Resp makes the same of any bytes, however they are cut", pure, async () => {
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
        const whole = await decode(new Resp(), [all]);
        const inPieces = await decode(new Resp(), cut(all, cuts));
        assertEquals(inPieces.frames, whole.frames);
        assertEquals(inPieces.error?.name, whole.error?.name);
        const known = [undefined, "RedisError", "TruncatedFrameError"];
        assert(known.includes(whole.error?.name), `${whole.error}`);
      },
    ),
    { numRuns: 500 },
  );
});

Deno.test("Resp holds no more than it was sent, whatever length is claimed", pure, async () => {
  const { memory } = await decode(new Resp(), [toBytes("*1\r\n$8000000\r\nabc")]);
  assert(memory <= 4096, `${memory} bytes for a claim`);
  const many = await decode(new Resp(), [concat([toBytes("*1000000\r\n$1\r\na\r\n")])]);
  assertInstanceOf(many.error, TruncatedFrameError);
});
