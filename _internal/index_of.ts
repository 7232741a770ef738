/** How many bytes are compared one by one before `indexOf()` pays off. */
const NEAR = 48;

/** The position of a byte in `buffer`, between `from` and `end`, or -1. */
export function indexOfByte(buffer: Uint8Array, byte: number, from: number, end: number): number {
  const near = Math.min(end, from + NEAR);
  for (let i = from; i < near; i++) if (buffer[i] === byte) return i;
  if (near === end) return -1;
  // The view bounds the search: the buffer may be much larger than `end`.
  const found = buffer.subarray(near, end).indexOf(byte);
  return found < 0 ? -1 : near + found;
}
