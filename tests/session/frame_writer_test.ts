import { assertEquals, assertRejects } from "@std/assert";
import type { Codec, FrameWriter } from "../../codecs/codec.ts";
import { prepare } from "../../session.ts";
import { concat } from "../_codecs.ts";
import { testEach } from "../_transports.ts";

/** Sends what it is given a function to write for. */
const writing: Codec<never, (out: FrameWriter) => void> = {
  decoder: () => ({ maxBuffered: 1, decode: (input) => input.take(1) as never }),
  encode: (write, out) => write(out),
};

const uint32 = (
  value: number,
) => [value >>> 24, value >>> 16 & 255, value >>> 8 & 255, value & 255];

const CASES: [name: string, write: (out: FrameWriter) => void, bytes: readonly number[]][] = [
  ["int(-1, 1)", (out) => out.int(-1, 1), [255]],
  ["int(-128, 1)", (out) => out.int(-128, 1), [128]],
  ["int(-2, 2, true)", (out) => out.int(-2, 2, true), [254, 255]],
  ["int(-(2 ** 40), 6)", (out) => out.int(-(2 ** 40), 6), [255, 0, 0, 0, 0, 0]],
  ["int(-1, 8)", (out) => out.int(-1, 8), Array(8).fill(255)],
  ["int(-(2n ** 63n), 8)", (out) => out.int(-(2n ** 63n), 8), [128, 0, 0, 0, 0, 0, 0, 0]],
  ["int(-2n, 3, true)", (out) => out.int(-2n, 3, true), [254, 255, 255]],
  ["float(1, 4)", (out) => out.float(1, 4), [0x3f, 0x80, 0, 0]],
  ["float(1, 4, true)", (out) => out.float(1, 4, true), [0, 0, 0x80, 0x3f]],
  ["float(-2, 8)", (out) => out.float(-2, 8), [0xc0, 0, 0, 0, 0, 0, 0, 0]],
  ["varint(0)", (out) => out.varint(0), [0]],
  ["varint(300)", (out) => out.varint(300), [0xac, 2]],
  ["varint(2 ** 32)", (out) => out.varint(2 ** 32), [0x80, 0x80, 0x80, 0x80, 0x10]],
  ["varint(2n ** 64n - 1n)", (out) => out.varint(2n ** 64n - 1n), [...Array(9).fill(255), 1]],
  ["varint(2 ** 28 - 1, 4)", (out) => out.varint(2 ** 28 - 1, 4), [255, 255, 255, 127]],
  ["cstring('rä')", (out) => out.cstring("rä"), [0x72, 0xc3, 0xa4, 0]],
  ["prefixed(2) of nothing", (out) => out.prefixed(2, () => {}), [0, 0]],
  [
    "prefixed(4, includesHeader)",
    (out) => out.prefixed(4, (inner) => inner.text("hi"), { includesHeader: true }),
    [0, 0, 0, 6, 104, 105],
  ],
  [
    "prefixed(2, littleEndian)",
    (out) => out.prefixed(2, (inner) => inner.text("hi"), { littleEndian: true }),
    [2, 0, 104, 105],
  ],
  ["prefixed(varint)", (out) => out.prefixed("varint", (inner) => inner.text("hi")), [2, 104, 105]],
  [
    "prefixed(varint) of 4 bytes",
    (out) => out.prefixed("varint", (inner) => inner.bytes(new Uint8Array(300)), { maxWidth: 4 }),
    [
      0xac,
      2,
      ...Array(300).fill(0),
    ],
  ],
  ["prefixed() within prefixed()", (out) =>
    out.prefixed("varint", (outer) => {
      outer.uint(9, 1);
      outer.prefixed("varint", (inner) => inner.prefixed(2, (out) => out.text("hi")));
      outer.uint(8, 1);
    }), [7, 9, 4, 0, 2, 104, 105, 8]],
  ["prefixed() of more than one piece", (out) =>
    out.prefixed(4, (inner) => {
      for (let i = 0; i < 10; i++) inner.bytes(new Uint8Array(10_000).fill(i));
      inner.bytes(new Uint8Array(20_000).fill(10));
    }), [...uint32(120_000), ...pieces()]],
  ["prefixed(varint) of more than one piece", (out) =>
    out.prefixed("varint", (outer) => {
      outer.prefixed("varint", (inner) => {
        for (let i = 0; i < 10; i++) inner.bytes(new Uint8Array(10_000).fill(i));
        inner.bytes(new Uint8Array(20_000).fill(10));
      });
    }), [0xc3, 0xa9, 7, 0xc0, 0xa9, 7, ...pieces()]],
];

function pieces(): number[] {
  return Array.from({ length: 120_000 }, (_, at) => Math.min(10, Math.floor(at / 10_000)));
}

testEach("FrameWriter writes numbers, text and lengths in front", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  const frames = session.frames(writing);
  for (const [name, write, bytes] of CASES) {
    const sent = frames.send((out) => {
      out.text("<");
      write(out);
      out.text(">");
    });
    sent.catch(() => {});
    const got = await peer.bytes(bytes.length + 2);
    await sent;
    assertEquals(got, concat([Uint8Array.of(60), Uint8Array.from(bytes), Uint8Array.of(62)]), name);
  }
  // All of them one after the other, so that there is output before each.
  const all = concat(CASES.map(([, , bytes]) => Uint8Array.from(bytes)));
  const sent = frames.send((out) => CASES.forEach(([, write]) => write(out)));
  sent.catch(() => {});
  assertEquals(await peer.bytes(all.length), all);
  await sent;
  const prepared = prepare((out) => CASES.forEach(([, write]) => write(out)), writing);
  assertEquals(prepared.byteLength, all.length);
});

const WRONG: [write: (out: FrameWriter) => void, kind: typeof RangeError, words: string][] = [
  [(out) => out.int(128, 1), RangeError, "a signed integer of 1 bytes cannot hold 128"],
  [(out) => out.int(-129, 1), RangeError, "cannot hold -129"],
  [(out) => out.int(-(2n ** 63n) - 1n, 8), RangeError, "cannot hold -9223372036854775809"],
  [(out) => out.int(0.5, 4), RangeError, "cannot hold 0.5"],
  [(out) => out.int(0, 9), RangeError, "width must be an integer from 1 to 8, got 9"],
  [(out) => out.uint("1" as unknown as number, 1), RangeError, "cannot hold 1"],
  [(out) => out.float(1, 2 as 4), RangeError, "width must be 4 or 8, got 2"],
  [(out) => out.float("1" as unknown as number, 4), TypeError, "got a string"],
  [(out) => out.varint(-1), RangeError, "a varint of 10 bytes cannot hold -1"],
  [(out) => out.varint(2 ** 28, 4), RangeError, "a varint of 4 bytes cannot hold 268435456"],
  [(out) => out.varint(2n ** 64n), RangeError, "cannot hold"],
  [(out) => out.varint(1, 11), RangeError, "maxWidth must be an integer from 1 to 10, got 11"],
  [(out) => out.cstring("a\0b"), TypeError, "must not contain one"],
  [
    (out) => out.prefixed(1, (inner) => inner.bytes(new Uint8Array(256))),
    RangeError,
    "a length of 1 bytes cannot hold 256",
  ],
  [
    (out) => out.prefixed(1, (inner) => inner.bytes(new Uint8Array(255)), { includesHeader: true }),
    RangeError,
    "cannot hold 256",
  ],
  [
    (out) => out.prefixed("varint", (inner) => inner.bytes(new Uint8Array(128)), { maxWidth: 1 }),
    RangeError,
    "a varint of 1 bytes cannot hold 128",
  ],
  [
    (out) => out.prefixed("varint", () => {}, { includesHeader: true }),
    TypeError,
    "includesHeader cannot be combined with a varint",
  ],
  [(out) => out.prefixed(2, () => {}, { maxWidth: 2 }), TypeError, "maxWidth is for varints"],
];

testEach("FrameWriter leaves nothing behind of what it cannot write", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  const frames = session.frames(writing);
  for (const [write, kind, words] of WRONG) {
    await assertRejects(
      () =>
        frames.send((out) => {
          out.bytes(new Uint8Array(100));
          out.prefixed("varint", (inner) => {
            inner.bytes(new Uint8Array(70_000));
            write(inner);
          });
        }),
      kind,
      words,
    );
  }
  assertEquals(session.bytesBuffered, 0);
  await frames.send((out) => out.text("ok"));
  assertEquals(await peer.bytes(2), new TextEncoder().encode("ok"));
});
