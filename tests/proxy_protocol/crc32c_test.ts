import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { crc32c } from "../../proxy_protocol/crc32c.ts";

const upTo31 = Uint8Array.from({ length: 32 }, (_, i) => i);

/** RFC 3720 §B.4, which shows the lowest byte first, and the check value that catalogues of CRCs give. */
const VECTORS: [name: string, bytes: Uint8Array, checksum: number][] = [
  ["32 bytes of zeros", new Uint8Array(32), 0x8a9136aa],
  ["32 bytes of ones", new Uint8Array(32).fill(0xff), 0x62a8ab43],
  ["32 bytes that increase", upTo31, 0x46dd794e],
  ["32 bytes that decrease", upTo31.toReversed(), 0x113fdb5c],
  [
    "an iSCSI command to read",
    // deno-fmt-ignore
    Uint8Array.of(
      0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 0x04, 0,
      0, 0, 0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0, 0,
    ),
    0xd9963a56,
  ],
  ["nine digits", new TextEncoder().encode("123456789"), 0xe3069283],
  ["nothing", new Uint8Array(0), 0],
];

for (const [name, bytes, checksum] of VECTORS) {
  Deno.test(`crc32c() of ${name}`, { permissions: "none" }, () => {
    assertEquals(crc32c(bytes), checksum);
  });
}

Deno.test("crc32c() continues a checksum", { permissions: "none" }, () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 50 }), fc.nat({ max: 50 }), (bytes, at) => {
      const parts = crc32c(bytes.subarray(at), crc32c(bytes.subarray(0, at)));
      assertEquals(parts, crc32c(bytes));
    }),
  );
});
