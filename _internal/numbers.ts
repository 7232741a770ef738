/** Numbers as bytes, and back. The caller makes sure that the bytes exist. */

/** The maximum size of a varint of 64 bits, in bytes. */
export const MAX_VARINT = 10;

/** Scratch memory for floats and integers of 64 bits. It keeps nothing between two calls. */
const scratch = new DataView(new ArrayBuffer(8));

/** How many values a number of bytes can have. */
const LIMITS = Array.from({ length: 9 }, (_, width) => 256 ** width);

/** Whether a value fits into an integer of `width` bytes. */
export function fits(value: unknown, width: number, isSigned: boolean): boolean {
  if (typeof value === "bigint") {
    const bits = width * 8;
    return (isSigned ? BigInt.asIntN(bits, value) : BigInt.asUintN(bits, value)) === value;
  }
  if (!Number.isSafeInteger(value)) return false;
  const limit = LIMITS[width]!;
  if (!isSigned) return value as number >= 0 && value as number < limit;
  return value as number >= -limit / 2 && value as number < limit / 2;
}

/** Writes an integer that fits, in two's complement. */
export function putInteger(
  buffer: Uint8Array,
  from: number,
  value: number | bigint,
  width: number,
  littleEndian: boolean,
): void {
  const step = littleEndian ? 1 : -1;
  let at = from + (littleEndian ? 0 : width - 1);
  if (typeof value === "bigint") {
    scratch.setBigUint64(0, BigInt.asUintN(64, value), true);
    for (let i = 0; i < width; i++, at += step) buffer[at] = scratch.getUint8(i);
    return;
  }
  // Two halves of 32 bits need only shifts: a division takes 5 ns.
  for (let rest = value | 0, i = 0; i < width && i < 4; i++, at += step, rest >>= 8) {
    buffer[at] = rest;
  }
  if (width <= 4) return;
  for (
    let rest = Math.floor(value / 2 ** 32) | 0, i = 4;
    i < width;
    i++, at += step, rest >>= 8
  ) {
    buffer[at] = rest;
  }
}

/** Reads an unsigned integer of 1 to 4 bytes. */
export function uint32At(b: Uint8Array, at: number, width: number, littleEndian: boolean): number {
  switch (width) {
    case 1:
      return b[at]!;
    case 2:
      return littleEndian ? b[at]! | b[at + 1]! << 8 : b[at]! << 8 | b[at + 1]!;
    case 3:
      return littleEndian
        ? b[at]! | b[at + 1]! << 8 | b[at + 2]! << 16
        : b[at]! << 16 | b[at + 1]! << 8 | b[at + 2]!;
    default:
      return (littleEndian
        ? b[at]! | b[at + 1]! << 8 | b[at + 2]! << 16 | b[at + 3]! << 24
        : b[at]! << 24 | b[at + 1]! << 16 | b[at + 2]! << 8 | b[at + 3]!) >>> 0;
  }
}

/** Reads an integer of 5 to 8 bytes. Beyond 2^53, it is rounded. */
export function longAt(
  b: Uint8Array,
  at: number,
  width: number,
  littleEndian: boolean,
  isSigned: boolean,
): number {
  const high = uint32At(b, littleEndian ? at + 4 : at, width - 4, littleEndian);
  const low = uint32At(b, littleEndian ? at : at + width - 4, 4, littleEndian);
  return (isSigned ? signed(high, width - 4) : high) * 2 ** 32 + low;
}

/** Converts an unsigned integer of 1 to 4 bytes to a signed one. */
export function signed(value: number, width: number): number {
  const unused = 32 - width * 8;
  return value << unused >> unused;
}

/** Reads an unsigned integer of 1 to 8 bytes. */
export function bigUintAt(b: Uint8Array, at: number, width: number, littleEndian: boolean): bigint {
  if (width <= 4) return BigInt(uint32At(b, at, width, littleEndian));
  scratch.setUint32(0, uint32At(b, littleEndian ? at + 4 : at, width - 4, littleEndian));
  scratch.setUint32(4, uint32At(b, littleEndian ? at : at + width - 4, 4, littleEndian));
  return scratch.getBigUint64(0);
}

/** Writes a number of IEEE 754 in 4 or 8 bytes. */
export function putFloat(
  buffer: Uint8Array,
  at: number,
  value: number,
  width: 4 | 8,
  littleEndian: boolean,
): void {
  if (width === 4) scratch.setFloat32(0, value, littleEndian);
  else scratch.setFloat64(0, value, littleEndian);
  for (let i = 0; i < width; i++) buffer[at + i] = scratch.getUint8(i);
}

/** Reads a number of IEEE 754 in 4 or 8 bytes. */
export function floatAt(b: Uint8Array, at: number, width: 4 | 8, littleEndian: boolean): number {
  scratch.setUint32(0, uint32At(b, at, 4, false));
  if (width === 4) return scratch.getFloat32(0, littleEndian);
  scratch.setUint32(4, uint32At(b, at + 4, 4, false));
  return scratch.getFloat64(0, littleEndian);
}

/** Writes a non-negative value as a varint (LEB128), and returns its size in bytes. */
export function putVarint(buffer: Uint8Array, from: number, value: number | bigint): number {
  let at = from;
  if (typeof value === "bigint") {
    let rest = value;
    for (; rest >= 0x80n; rest >>= 7n) buffer[at++] = Number(rest & 0x7fn) | 0x80;
    buffer[at++] = Number(rest);
  } else {
    let rest = value;
    for (; rest > 0x7fff_ffff; rest = Math.floor(rest / 128)) buffer[at++] = (rest % 128) | 0x80;
    for (; rest >= 0x80; rest >>= 7) buffer[at++] = (rest & 0x7f) | 0x80;
    buffer[at++] = rest;
  }
  return at - from;
}

/** The size of the varint of a value in bytes. */
export function varintSize(value: number | bigint): number {
  let size = 1;
  if (typeof value === "bigint") {
    for (let rest = value >> 7n; rest > 0n; rest >>= 7n) size++;
  } else for (let limit = 128; value >= limit; limit *= 128) size++;
  return size;
}
