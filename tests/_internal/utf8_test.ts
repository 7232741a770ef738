import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { decodeUtf8, incompleteTail, writeAscii } from "../../_internal/utf8.ts";
import { MalformedFrameError } from "../../errors.ts";

Deno.test(
  "incompleteTail() agrees with a streaming decoder on any bytes",
  { permissions: "none" },
  () => {
    const lead = fc.constantFrom(
      0x41,
      0x80,
      0xbf,
      0xc1,
      0xc3,
      0xe0,
      0xe2,
      0xed,
      0xf0,
      0xf1,
      0xf4,
      0xf5,
      0xff,
    );
    const byte = fc.oneof(
      lead,
      fc.constantFrom(0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf),
      fc.nat({ max: 255 }),
    );
    fc.assert(
      fc.property(fc.array(byte, { maxLength: 6 }), (values) => {
        const bytes = Uint8Array.from(values);
        const tail = incompleteTail(bytes, 0, bytes.length);
        // What a streaming decoder holds back shows in what it still gives out at the end.
        const stream = new TextDecoder();
        const now = stream.decode(bytes, { stream: true });
        assertEquals(new TextDecoder().decode(bytes.subarray(0, bytes.length - tail)), now);
        assertEquals(stream.decode() !== "", tail > 0);
      }),
      { numRuns: 20_000 },
    );
  },
);

Deno.test("incompleteTail() does not look before its start", { permissions: "none" }, () => {
  const bytes = Uint8Array.of(0xe2, 0x82, 0xac);
  assertEquals(incompleteTail(bytes, 0, 2), 2);
  assertEquals(incompleteTail(bytes, 1, 2), 0);
  assertEquals(incompleteTail(bytes, 0, 3), 0);
  assertEquals(incompleteTail(bytes, 3, 3), 0);
});

Deno.test("decodeUtf8() reports the offset of the first bad byte", { permissions: "none" }, () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "grapheme" }),
      fc.constantFrom(0xff, 0x80, 0xc0, 0xf8),
      (text, bad) => {
        const good = new TextEncoder().encode(text);
        const error = assertThrows(
          () => decodeUtf8(Uint8Array.of(...good, bad, ...good), 0, 2 * good.length + 1, true),
          MalformedFrameError,
        );
        assertEquals(error.offset, good.length);
        assertEquals(decodeUtf8(good, 0, good.length, true), text);
      },
    ),
  );
});

Deno.test(
  "decodeUtf8() agrees with TextDecoder at any length and place",
  { permissions: "none" },
  () => {
    const unit = fc.constantFrom<"binary-ascii" | "grapheme">("binary-ascii", "grapheme");
    const text = unit.chain((unit) => fc.string({ unit, maxLength: 80, size: "max" }));
    fc.assert(
      fc.property(text, fc.nat({ max: 9 }), (text, before) => {
        const bytes = new TextEncoder().encode(text);
        const buffer = new Uint8Array(before + bytes.length + 9).fill(0xff);
        buffer.set(bytes, before);
        assertEquals(decodeUtf8(buffer, before, before + bytes.length, false), text);
      }),
      { numRuns: 2000 },
    );
  },
);

Deno.test(
  "writeAscii() writes short ASCII and leaves the rest to others",
  { permissions: "none" },
  () => {
    const buffer = new Uint8Array(100);
    assertEquals(writeAscii("rose", buffer, 3), 4);
    assertEquals([...buffer.subarray(2, 8)], [0, 114, 111, 115, 101, 0]);
    assertEquals(writeAscii("", buffer, 0), 0);
    assertEquals(writeAscii("rosé", buffer, 0), -1);
    assertEquals(writeAscii("x".repeat(64), buffer, 0), 64);
    assertEquals(writeAscii("x".repeat(65), buffer, 0), -1);
  },
);
