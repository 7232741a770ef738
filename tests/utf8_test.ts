import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { decodeUtf8, incompleteTail } from "../_internal/utf8.ts";
import { MalformedFrameError } from "../errors.ts";

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

Deno.test("decodeUtf8() tells where the first bad byte stands", { permissions: "none" }, () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "grapheme" }),
      fc.constantFrom(0xff, 0x80, 0xc0, 0xf8),
      (text, bad) => {
        const good = new TextEncoder().encode(text);
        const error = assertThrows(
          () => decodeUtf8(Uint8Array.of(...good, bad, ...good), true),
          MalformedFrameError,
        );
        assertEquals(error.offset, good.length);
        assertEquals(decodeUtf8(good, true), text);
      },
    ),
  );
});
