/** So many bytes are looked at one by one before a search of the whole rest pays. */
const NEAR = 48;

/** Where a byte stands in `buffer`, from `from` to `end`, or -1. */
export function indexOfByte(buffer: Uint8Array, byte: number, from: number, end: number): number {
  const near = Math.min(end, from + NEAR);
  for (let i = from; i < near; i++) if (buffer[i] === byte) return i;
  if (near === end) return -1;
  // Bounded by a view: the memory behind `end` may be large, and a search of it would make short pieces dear.
  const found = buffer.subarray(near, end).indexOf(byte);
  return found < 0 ? -1 : near + found;
}
