import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import fc from "fast-check";
import { type Codec, type FrameWriter, MORE } from "../../codecs/codec.ts";
import { Cursor } from "../../codecs/cursor.ts";
import { MalformedFrameError } from "../../errors.ts";
import { concat, decode, encode, InputBuffer, threeWays, toBytes } from "../_codecs.ts";

const pure = { permissions: "none" } as const;

type Read = (cursor: Cursor) => unknown;

const BYTES = [0x80, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x87];

/** Bytes, what is read of them, and what it must be. */
const CASES: [name: string, input: readonly number[] | string, read: Read, value: unknown][] = [
  ["uint(1)", BYTES, (c) => c.uint(1), 0x80],
  ["uint(2)", BYTES, (c) => c.uint(2), 0x8001],
  ["uint(2, true)", BYTES, (c) => c.uint(2, true), 0x0180],
  ["uint(3)", BYTES, (c) => c.uint(3), 0x800102],
  ["uint(3, true)", BYTES, (c) => c.uint(3, true), 0x020180],
  ["uint(4)", BYTES, (c) => c.uint(4), 0x80010203],
  ["uint(4, true)", BYTES, (c) => c.uint(4, true), 0x03020180],
  ["uint(5)", BYTES, (c) => c.uint(5), 0x8001020304],
  ["uint(5, true)", BYTES, (c) => c.uint(5, true), 0x0403020180],
  ["uint(6)", BYTES, (c) => c.uint(6), 0x800102030405],
  ["uint(7, true)", [1, 2, 3, 4, 5, 6, 0x1f], (c) => c.uint(7, true), 0x1f060504030201],
  ["uint(8)", [0, 0x1f, ...Array(6).fill(255)], (c) => c.uint(8), Number.MAX_SAFE_INTEGER],
  ["int(1)", BYTES, (c) => c.int(1), -128],
  ["int(2)", BYTES, (c) => c.int(2), -0x7fff],
  ["int(2, true)", BYTES, (c) => c.int(2, true), 0x180],
  ["int(3)", BYTES, (c) => c.int(3), 0x800102 - 2 ** 24],
  ["int(4)", BYTES, (c) => c.int(4), 0x80010203 - 2 ** 32],
  ["int(5)", BYTES, (c) => c.int(5), 0x8001020304 - 2 ** 40],
  ["int(6, true)", [...Array(5).fill(0), 0x80], (c) => c.int(6, true), -(2 ** 47)],
  ["int(8)", [0xff, 0xe0, ...Array(5).fill(0), 1], (c) => c.int(8), -Number.MAX_SAFE_INTEGER],
  ["int(8) of -1", Array(8).fill(255), (c) => c.int(8), -1],
  ["bigUint(2)", BYTES, (c) => c.bigUint(2), 0x8001n],
  ["bigUint(6)", BYTES, (c) => c.bigUint(6), 0x800102030405n],
  ["bigUint(8)", BYTES, (c) => c.bigUint(8), 0x8001020304050687n],
  ["bigUint(8, true)", BYTES, (c) => c.bigUint(8, true), 0x8706050403020180n],
  ["bigInt(1)", BYTES, (c) => c.bigInt(1), -128n],
  ["bigInt(8)", BYTES, (c) => c.bigInt(8), 0x8001020304050687n - 2n ** 64n],
  ["float(4)", [0x3f, 0x80, 0, 0], (c) => c.float(4), 1],
  ["float(4, true)", [0, 0, 0x80, 0xbf], (c) => c.float(4, true), -1],
  ["float(8)", [0x40, 0x09, 0x21, 0xfb, 0x54, 0x44, 0x2d, 0x18], (c) => c.float(8), Math.PI],
  ["float(8, true)", [0, 0, 0, 0, 0, 0, 0xf0, 0x7f], (c) => c.float(8, true), Infinity],
  ["varint() of one byte", [0x7f], (c) => c.varint(), 127],
  ["varint() of two bytes", [0xac, 0x02], (c) => c.varint(), 300],
  ["varint() that is padded", [0x80, 0x80, 0], (c) => c.varint(3), 0],
  ["varint() of 2^53 - 1", [...Array(7).fill(0xff), 0x0f], (c) => c.varint(), 2 ** 53 - 1],
  ["bigVarint()", [...Array(9).fill(0xff), 1], (c) => c.bigVarint(), 2n ** 64n - 1n],
  ["text(n)", "rose", (c) => c.text(2), "ro"],
  ["text()", "ä€🌹", (c) => c.text(), "ä€🌹"],
  ["text() of nothing", "", (c) => c.text(), ""],
  ["text() of bad bytes", [0x61, 0xff], (c) => c.text(), "a\uFFFD"],
  ["cstring()", "rose\0babala\0", (c) => [c.cstring(), c.cstring()], ["rose", "babala"]],
  ["cstring() of nothing", "\0", (c) => c.cstring(), ""],
  ["cstring() that is long", `${"x".repeat(500)}\0`, (c) => c.cstring(), "x".repeat(500)],
  ["bytes(n)", [1, 2, 3], (c) => c.bytes(2), Uint8Array.of(1, 2)],
  ["bytes()", [1, 2, 3], (c) => c.bytes(), Uint8Array.of(1, 2, 3)],
  ["skip()", [1, 2, 3], (c) => (c.skip(2), c.uint(1)), 3],
  ["offset and left", [1, 2, 3], (c) => (c.uint(2), [c.offset, c.left]), [2, 1]],
  ["prefixed()", [0, 2, 1, 2, 9], (c) => [c.prefixed(2).bytes(), c.uint(1)], [
    Uint8Array.of(1, 2),
    9,
  ]],
  [
    "prefixed() that counts itself, lowest first",
    [5, 0, 0, 0, 7, 9],
    (c) => [c.prefixed(4, { includesHeader: true, littleEndian: true }).uint(1), c.left],
    [7, 1],
  ],
  ["prefixed() by varint", [0x81, 0, 7], (c) => c.prefixed("varint", { maxWidth: 2 }).uint(1), 7],
  ["prefixed() within prefixed()", [3, 1, 7, 8, 9], (c) => {
    const outer = c.prefixed(1);
    return [outer.prefixed(1).bytes(), outer.offset, outer.left, c.left];
  }, [Uint8Array.of(7), 3, 1, 1]],
];

/** A codec that reads one value of a frame that its length has in front, in the decoder itself. */
function codecOf(read: Read, options?: { fatal: boolean }): Codec<unknown, never> {
  return {
    decoder: () => ({
      maxBuffered: 10_000,
      decode(input): { value: unknown } | typeof MORE {
        if (input.end - input.start < 2) return MORE;
        const length = new Cursor(input, { length: 2 }).uint(2);
        if (input.end - input.start < 2 + length) {
          input.need(2 + length);
          return MORE;
        }
        input.consume(2);
        const value = read(new Cursor(input, { ...options, length }));
        input.consume(length);
        return { value };
      },
    }),
    encode: () => {},
  };
}

function framed(input: Uint8Array): Uint8Array {
  return concat([Uint8Array.of(input.length >> 8, input.length & 255), input]);
}

for (const [name, input, read, value] of CASES) {
  Deno.test(`Cursor reads ${name} of a frame`, pure, () => {
    assertEquals(read(new Cursor(toBytes(input))), value);
    // of a part of a larger buffer as well
    const large = concat([toBytes([9, 9, 9]), toBytes(input), toBytes([0, 9])]);
    assertEquals(read(new Cursor(large.subarray(3, large.length - 2))), value);
  });
  const whole = framed(toBytes(input));
  for (const [way, pieces] of [...threeWays(whole), ["glued", [concat([whole, whole])]] as const]) {
    Deno.test(`Cursor reads ${name} of a decoder's input, ${way}`, pure, async () => {
      const { frames, error } = await decode(codecOf(read), pieces);
      assertEquals(frames, way === "glued" ? [{ value }, { value }] : [{ value }]);
      assertEquals(error, undefined);
    });
  }
}

/** What is not there, and the byte of the frame that is told; its first byte is read before. */
const WRONG: [name: string, input: readonly number[] | string, read: Read, offset: number][] = [
  ["uint(1) past the end", [0], (c) => c.uint(1), 1],
  ["uint(4) past the end", [0, 1, 2, 3], (c) => c.uint(4), 1],
  ["int(8) past the end", [0, 1, 2, 3], (c) => c.int(8), 1],
  ["bigInt(8) past the end", [0, 1, 2, 3], (c) => c.bigInt(8), 1],
  ["float(8) past the end", [0, 1, 2, 3], (c) => c.float(8), 1],
  ["uint(8) over 2^53 - 1", [0, 0, 0x20, 0, 0, 0, 0, 0, 0], (c) => c.uint(8), 1],
  ["int(8) under -(2^53 - 1)", [0, 0xff, 0xe0, 0, 0, 0, 0, 0, 0], (c) => c.int(8), 1],
  ["varint() past the end", [0, 0x80, 0x80], (c) => c.varint(), 1],
  ["varint() over its bytes", [0, 0x80, 0x80, 0x80, 0x80, 0], (c) => c.varint(4), 1],
  ["varint() over ten bytes", [0, ...Array(10).fill(0x80), 0], (c) => c.varint(), 1],
  ["varint() over 2^53 - 1", [0, ...Array(7).fill(0x80), 0x10], (c) => c.varint(), 1],
  ["bigVarint() over 2^64 - 1", [0, ...Array(9).fill(0x80), 2], (c) => c.bigVarint(), 1],
  ["text() past the end", "rose", (c) => c.text(4), 1],
  ["text() of a negative length", "rose", (c) => c.text(-1), 1],
  ["text() of bad bytes", [0, 0x61, 0xff], (c) => c.text(), 2],
  ["cstring() without a NUL", "rose", (c) => c.cstring(), 1],
  ["cstring() of bad bytes", [0, 0x61, 0xff, 0], (c) => c.cstring(), 2],
  ["bytes() past the end", "rose", (c) => c.bytes(4), 1],
  ["bytes() of a negative length", "rose", (c) => c.bytes(-4), 1],
  ["skip() past the end", "rose", (c) => c.skip(4), 1],
  ["prefixed() past the end", [0, 2, 1], (c) => c.prefixed(1), 1],
  [
    "prefixed() that counts too little",
    [0, 1, 1],
    (c) => c.prefixed(2, { includesHeader: true }),
    1,
  ],
  ["more than is within prefixed()", [0, 1, 7, 8], (c) => c.prefixed(1).uint(2), 2],
  ["text of bad bytes within prefixed()", [0, 2, 0x61, 0xff], (c) => c.prefixed(1).text(), 3],
];

for (const [name, input, read, offset] of WRONG) {
  const readAfter: Read = (cursor) => [cursor.uint(1), read(cursor)];
  Deno.test(`Cursor finds ${name} malformed`, pure, () => {
    const error = assertThrows(
      () => readAfter(new Cursor(toBytes(input), { fatal: true })),
      MalformedFrameError,
    );
    assertEquals(error.offset, offset);
  });
  // What follows the frame, which must not be taken for a part of it.
  const glued = concat([framed(toBytes(input)), new Uint8Array(20)]);
  for (const [way, pieces] of threeWays(glued)) {
    Deno.test(`Cursor finds ${name} malformed in a decoder, ${way}`, pure, async () => {
      const { frames, error } = await decode(codecOf(readAfter, { fatal: true }), pieces);
      assertEquals(frames, []);
      assertInstanceOf(error, MalformedFrameError);
      assertEquals(error.offset, offset);
    });
  }
}

Deno.test("Cursor stays where it was when it throws", pure, () => {
  const cursor = new Cursor(Uint8Array.of(0x80, 2, 3));
  for (
    const read of [
      () => cursor.uint(4),
      () => cursor.varint(1),
      () => cursor.cstring(),
      () => cursor.prefixed(1),
      () => cursor.bytes(-1),
    ]
  ) {
    assertThrows(read, MalformedFrameError);
    assertEquals([cursor.offset, cursor.left], [0, 3]);
  }
});

Deno.test("Cursor gives bytes of a decoder's input away, and views of a frame", pure, () => {
  const input = new InputBuffer(1024);
  input.buffer = Uint8Array.of(9, 1, 2, 3, 2, 7, 8);
  [input.start, input.end] = [1, 7];
  const cursor = new Cursor(input, { length: 6 });
  const bytes = cursor.bytes(3);
  const within = cursor.prefixed(1).bytes();
  input.buffer.fill(0);
  assertEquals([bytes, within], [Uint8Array.of(1, 2, 3), Uint8Array.of(7, 8)]);
  assertEquals(input.start, 1);
  const frame = Uint8Array.of(1, 2, 3);
  const view = new Cursor(frame).bytes(2);
  frame.fill(0);
  assertEquals(view, Uint8Array.of(0, 0));
});

Deno.test("Cursor refuses misuse", pure, () => {
  const input = new InputBuffer(1024);
  input.buffer = Uint8Array.of(1, 2);
  input.end = 2;
  const cursor = new Cursor(new Uint8Array(20));
  const wrong: [() => unknown, new (...args: never[]) => Error, string][] = [
    [() => new Cursor(input, {} as { length: 0 }), TypeError, "length must be a number"],
    [() => new Cursor(input, { length: 3 }), RangeError, "from 0 to 2, got 3"],
    [() => new Cursor(new Uint8Array(2), { length: 3 }), RangeError, "from 0 to 2, got 3"],
    [() => cursor.uint(0), RangeError, "width must be an integer from 1 to 8, got 0"],
    [() => cursor.int(9), RangeError, "got 9"],
    [() => cursor.bigUint(1.5), RangeError, "got 1.5"],
    [() => cursor.float(2 as 4), RangeError, "width must be 4 or 8, got 2"],
    [() => cursor.varint(11), RangeError, "maxWidth must be an integer from 1 to 10, got 11"],
    [() => cursor.text(NaN), RangeError, "got NaN"],
    [() => cursor.bytes("2" as unknown as number), TypeError, "got a string"],
    [() => cursor.skip(0.5), RangeError, "got 0.5"],
    [() => cursor.prefixed(2, { maxWidth: 2 }), TypeError, "maxWidth is for varints"],
    [() => cursor.prefixed("varint", { includesHeader: true }), TypeError, "includesHeader"],
    [() => cursor.prefixed("short" as "varint"), TypeError, "width must be a number"],
  ];
  for (const [use, kind, words] of wrong) assertThrows(use, kind, words);
  assertEquals(cursor.offset, 0);
});

/** Something that a writer is given and a cursor must give back. */
interface Field {
  write(out: FrameWriter): void;
  read(cursor: Cursor): unknown;
  value: unknown;
}

const order = fc.boolean();
const field: fc.Arbitrary<Field> = fc.letrec<{ field: Field; fields: Field[] }>((tie) => ({
  field: fc.oneof(
    { maxDepth: 3 },
    fc.tuple(fc.maxSafeNat(), fc.integer({ min: 7, max: 8 }), order).map(([value, width, le]) => ({
      value,
      write: (out: FrameWriter) => out.uint(value, width, le),
      read: (cursor: Cursor) => cursor.uint(width, le),
    })),
    fc.tuple(fc.integer({ min: 1, max: 6 }), fc.double({ min: 0, max: 1, noNaN: true }), order)
      .map(([width, part, le]) => {
        const value = Math.floor(part * (256 ** width - 1));
        return {
          value: [value, value - 256 ** width / 2],
          write(out: FrameWriter): void {
            out.uint(value, width, le);
            out.int(value - 256 ** width / 2, width, le);
          },
          read: (cursor: Cursor) => [cursor.uint(width, le), cursor.int(width, le)],
        };
      }),
    fc.tuple(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), order).map(([value, le]) => ({
      value: [value, value - 2n ** 63n, value],
      write(out: FrameWriter): void {
        out.uint(value, 8, le);
        out.int(value - 2n ** 63n, 8, le);
        out.varint(value);
      },
      read: (cursor: Cursor) => [cursor.bigUint(8, le), cursor.bigInt(8, le), cursor.bigVarint()],
    })),
    fc.maxSafeNat().map((value) => ({
      value,
      write: (out: FrameWriter) => out.varint(value, 8),
      read: (cursor: Cursor) => cursor.varint(8),
    })),
    fc.tuple(fc.double(), fc.float(), order).map(([double, single, le]) => ({
      value: [double, single],
      write(out: FrameWriter): void {
        out.float(double, 8, le);
        out.float(single, 4, le);
      },
      read: (cursor: Cursor) => [cursor.float(8, le), cursor.float(4, le)],
    })),
    fc.string({ unit: "binary" }).filter((text) => text.isWellFormed()).map((text) => {
      const value = text.replaceAll("\0", "");
      return {
        value,
        write: (out: FrameWriter) => out.cstring(value),
        read: (cursor: Cursor) => cursor.cstring(),
      };
    }),
    fc.nat({ max: 40_000 }).map((length) => ({
      value: new Uint8Array(length).fill(7),
      write: (out: FrameWriter) => out.bytes(new Uint8Array(length).fill(7)),
      read: (cursor: Cursor) => cursor.bytes(length),
    })),
    fc.tuple(
      tie("fields"),
      fc.constantFrom<["varint" | 3 | 8, boolean]>(["varint", false], [3, true], [8, false]),
      order,
    ).map(([fields, [width, includesHeader], littleEndian]) => {
      const options = { includesHeader, littleEndian };
      return {
        value: [fields.map(({ value }) => value), 0],
        write: (out: FrameWriter) =>
          out.prefixed(width, (inner) => fields.forEach(({ write }) => write(inner)), options),
        read(cursor: Cursor): unknown {
          const inner = cursor.prefixed(width, options);
          return [fields.map(({ read }) => read(inner)), inner.left];
        },
      };
    }),
  ) as fc.Arbitrary<Field>,
  fields: fc.array(tie("field"), { maxLength: 5 }),
})).field;

Deno.test("Cursor reads what FrameWriter has written", pure, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(field, { maxLength: 10 }), async (fields) => {
      const codec: Pick<Codec<never, Field[]>, "encode"> = {
        encode: (fields, out) => fields.forEach(({ write }) => write(out)),
      };
      const cursor = new Cursor(await encode(codec, [fields, fields]), { fatal: true });
      for (const { read, value } of [...fields, ...fields]) assertEquals(read(cursor), value);
      assertEquals(cursor.left, 0);
    }),
    { numRuns: 300 },
  );
});

Deno.test("Cursor throws nothing but MalformedFrameError, whatever it reads", pure, () => {
  const reads = CASES.map(([, , read]) => read);
  fc.assert(fc.property(
    fc.uint8Array({ maxLength: 40 }),
    fc.array(fc.constantFrom(...reads), { maxLength: 10 }),
    (frame, reads) => {
      const cursor = new Cursor(frame, { fatal: true });
      try {
        for (const read of reads) read(cursor);
      } catch (error) {
        assertInstanceOf(error, MalformedFrameError);
        assert(error.offset >= 0 && error.offset <= frame.length);
      }
      assert(cursor.offset <= frame.length && cursor.left >= 0);
    },
  ));
});
