import { Buffer, isAscii as isAllAscii } from "node:buffer";
import { MalformedFrameError } from "../errors.ts";

const { latin1Slice } = Buffer.prototype as unknown as {
  latin1Slice: (this: Uint8Array, start: number, end: number) => string;
};

// A BOM belongs to the text. Without `ignoreBOM`, it would be removed from the start of each chunk.
const replacing = new TextDecoder("utf-8", { ignoreBOM: true });
const strict = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

const code = String.fromCharCode;

/** For fewer bytes, checking each one is cheaper than a call of the decoder. */
const SHORT = 64;

/**
 * Decodes complete UTF-8. Invalid bytes become U+FFFD or, if `fatal` is set, a `MalformedFrameError` with an offset from
 * `origin`.
 */
export function decodeUtf8(
  buffer: Uint8Array,
  start: number,
  end: number,
  fatal: boolean,
  origin: number = start,
): string {
  if (end - start <= SHORT) {
    const text = asciiText(buffer, start, end);
    if (text !== undefined) return text;
  }
  const bytes = buffer.subarray(start, end);
  if (!fatal) return replacing.decode(bytes);
  try {
    return strict.decode(bytes);
  } catch (cause) {
    const offset = start - origin + firstInvalid(bytes);
    throw new MalformedFrameError("invalid UTF-8", offset, { cause });
  }
}

/** Decodes few bytes, unless they are not ASCII. It takes 10 to 80 ns, and a `TextDecoder` 150. */
function asciiText(b: Uint8Array, at: number, end: number): string | undefined {
  const length = end - at;
  if (length === 0) return "";
  if (length > 6) return isAscii(b, at, end) ? latin1Slice.call(b, at, end) : undefined;
  const c = b[at]!;
  if (length === 1) return c < 0x80 ? code(c) : undefined;
  const d = b[at + 1]!;
  if (length === 2) return (c | d) < 0x80 ? code(c, d) : undefined;
  const e = b[at + 2]!;
  if (length === 3) return (c | d | e) < 0x80 ? code(c, d, e) : undefined;
  const f = b[at + 3]!;
  if (length === 4) return (c | d | e | f) < 0x80 ? code(c, d, e, f) : undefined;
  const g = b[at + 4]!;
  if (length === 5) return (c | d | e | f | g) < 0x80 ? code(c, d, e, f, g) : undefined;
  const h = b[at + 5]!;
  return (c | d | e | f | g | h) < 0x80 ? code(c, d, e, f, g, h) : undefined;
}

/** Decodes many bytes, unless they are not all ASCII. */
export function decodeAscii(buffer: Uint8Array, start: number, end: number): string | undefined {
  return isAllAscii(buffer.subarray(start, end)) ? latin1Slice.call(buffer, start, end) : undefined;
}

function isAscii(buffer: Uint8Array, start: number, end: number): boolean {
  let bits = 0;
  for (let at = start; at < end; at++) bits |= buffer[at]!;
  return bits < 0x80;
}

/** Writes short ASCII text and returns its length; -1 for other text. It takes 1 to 2 ns per character, not 130 per call. */
export function writeAscii(text: string, buffer: Uint8Array, at: number): number {
  const { length } = text;
  if (length > SHORT) return -1;
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 0x80) return -1;
    buffer[at + i] = code;
  }
  return length;
}

/** How many bytes at the end are a valid beginning of an incomplete character: 0 to 3. */
export function incompleteTail(buffer: Uint8Array, start: number, end: number): number {
  if (end === start || buffer[end - 1]! < 0x80) return 0;
  for (let length = 1; length <= 3 && end - length >= start; length++) {
    if (buffer[end - length]! >= 0xc0) {
      return sequenceAt(buffer, end - length, end) < 0 ? length : 0;
    }
  }
  return 0;
}

function firstInvalid(bytes: Uint8Array): number {
  let at = 0;
  while (at < bytes.length) {
    const length = sequenceAt(bytes, at, bytes.length);
    if (length <= 0) break;
    at += length;
  }
  return at;
}

/**
 * The length of the character at `at`, 0 if it is invalid, -1 if it is valid so far and cut off by `end`
 * (Unicode, table 3-7: well-formed UTF-8 byte sequences).
 */
function sequenceAt(buffer: Uint8Array, at: number, end: number): number {
  const lead = buffer[at]!;
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  const length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  // The second byte has narrower bounds: no overlong forms, no surrogates, nothing above U+10FFFF.
  const low = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
  const high = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  for (let i = 1; i < length; i++) {
    if (at + i === end) return -1;
    const byte = buffer[at + i]!;
    if (byte < (i === 1 ? low : 0x80) || byte > (i === 1 ? high : 0xbf)) return 0;
  }
  return length;
}

/** The length of a text in UTF-8, in bytes. */
export function utf8Length(text: string): number {
  let length = 0;
  for (const character of text) {
    const point = character.codePointAt(0)!;
    length += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
  }
  return length;
}
