import { assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { type Codec, Cursor, lengthPrefixed, lines, mapped } from "../../codecs/mod.ts";
import { FrameTooLargeError, MalformedFrameError, TruncatedFrameError } from "../../errors.ts";
import { converse } from "../../testing/mod.ts";
import { decode, encode, threeWays, toBytes } from "../_codecs.ts";

const pure = { permissions: "none" } as const;

interface Point {
  x: number;
  y: number;
}

const points: Codec<Point> = mapped(lengthPrefixed({ width: 1, maxLength: 5 }), {
  decode(frame): Point {
    const cursor = new Cursor(frame);
    return { x: cursor.int(2), y: cursor.int(2) };
  },
  encode({ x, y }, out): void {
    out.prefixed(1, (out) => {
      out.int(x, 2);
      out.int(y, 2);
    });
  },
});
const text = lines();
const numbers: Codec<number> = mapped(text, {
  decode(line): number {
    if (/^\d+$/.test(line)) return Number(line);
    throw new MalformedFrameError("no number", 0);
  },
  encode: (number, out) => text.encode(String(number), out),
});

Deno.test("mapped() reads messages from frames, however they are cut", pure, async () => {
  const sent = [{ x: 1, y: -2 }, { x: 300, y: 0 }];
  const bytes = await encode(points, sent);
  assertEquals([...bytes], [4, 0, 1, 255, 254, 4, 1, 44, 0, 0]);
  for (const [way, pieces] of threeWays(bytes)) {
    const { frames, error } = await decode(points, pieces);
    assertEquals([frames, error], [sent, undefined], way);
  }
});

Deno.test("mapped() ends the input as the other codec does", pure, async () => {
  const cases: [codec: Codec<unknown, never>, input: string, number, unknown][] = [
    [points, "\x04abcd\x04ab", 1, TruncatedFrameError],
    [points, "\x06abcdef", 0, FrameTooLargeError],
    [points, "\x03abc", 0, MalformedFrameError], // of the cursor
    [numbers, "1\n23", 2, undefined], // lines() takes a last line without an end
    [numbers, "1\nx\n2\n", 1, MalformedFrameError],
    [numbers, "1\nx", 1, MalformedFrameError],
  ];
  for (const [codec, input, count, kind] of cases) {
    for (const [way, pieces] of threeWays(toBytes(input))) {
      const { frames, error } = await decode(codec, pieces);
      assertEquals([frames.length, error?.constructor], [count, kind], `${input} ${way}`);
    }
  }
});

Deno.test("mapped() blames the peer only for malformed frames", pure, async () => {
  const bug = new TypeError("a bug");
  for (const thrown of [new MalformedFrameError("the peer", 0), bug]) {
    const codec = mapped(lines(), {
      decode(): never {
        throw thrown;
      },
      encode: () => {},
    });
    const { end, error } = await converse(async (session) => {
      for await (const _ of session.frames(codec));
    }, async (peer) => {
      await peer.send("x\n");
      if (thrown === bug) await peer.expectReset();
      else await peer.expectEnd();
    });
    assertEquals([end.reason, end.cause, error], [
      "error",
      thrown,
      thrown === bug ? bug : undefined,
    ]);
  }
});

Deno.test("mapped() can be mapped, and makes a decoder for each reading", pure, async () => {
  const even = mapped(numbers, {
    decode: (number) => number % 2 === 0,
    encode: (isEven: boolean, out) => numbers.encode(isEven ? 0 : 1, out),
  });
  const both = [decode(even, [toBytes("1\n2")]), decode(even, [toBytes("4\n")])];
  const results = await Promise.all(both);
  assertEquals(results.map(({ frames }) => frames), [[false, true], [true]]);
  assertEquals([...await encode(even, [true, false])], [...toBytes("0\n1\n")]);
});

Deno.test("mapped() throws at once what is missing", pure, () => {
  const { encode } = numbers;
  const wrong: [unknown, unknown, string][] = [
    [undefined, { decode: String, encode }, "codec must be an object, got undefined"],
    [lines, { decode: String, encode }, "codec must be an object, got a function"],
    [{}, { decode: String, encode }, "decoder of codec must be a function, got undefined"],
    [text, undefined, "options must be an object, got undefined"],
    [text, { encode }, "decode must be a function, got undefined"],
    [text, { decode: String }, "encode must be a function, got undefined"],
    [text, { decode: "x", encode }, "decode must be a function, got a string"],
    [text, { decod: String, encode }, "there is no option decod: did you mean decode?"],
  ];
  for (const [codec, mapping, says] of wrong) {
    const error = assertThrows(() => mapped(codec as typeof text, mapping as never));
    assertInstanceOf(error, TypeError);
    assertEquals(error.message, says);
  }
});
