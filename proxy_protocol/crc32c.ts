/** CRC-32C (Castagnoli): RFC 9260, appendix A, and RFC 3720 §12.1. */

/** The polynomial 0x1edc6f41 with its bits reversed. */
const POLYNOMIAL = 0x82f63b78;

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let rest = byte;
  for (let bit = 0; bit < 8; bit++) rest = rest >>> 1 ^ (rest & 1 ? POLYNOMIAL : 0);
  return rest;
});

/** The checksum of bytes. `previous` is the checksum of the bytes before them, if there are any. */
export function crc32c(bytes: Uint8Array, previous: number = 0): number {
  let rest = ~previous;
  for (let at = 0; at < bytes.length; at++) {
    rest = TABLE[(rest ^ bytes[at]!) & 0xff]! ^ rest >>> 8;
  }
  return ~rest >>> 0;
}
