import { MalformedFrameError } from "../errors.ts";

// A BOM belongs to the text: without `ignoreBOM` it would vanish from the start of every chunk.
const replacing = new TextDecoder("utf-8", { ignoreBOM: true });
const strict = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

/** Decodes whole UTF-8. Bad bytes become U+FFFD, or a `MalformedFrameError` where `fatal` is set. */
export function decodeUtf8(bytes: Uint8Array, fatal: boolean): string {
  if (!fatal) return replacing.decode(bytes);
  try {
    return strict.decode(bytes);
  } catch (cause) {
    throw new MalformedFrameError("invalid UTF-8", firstInvalid(bytes), { cause });
  }
}

/** How many bytes at the end are a valid beginning of a character that is not complete yet: 0 to 3. */
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
  // The second byte is bounded more narrowly: no overlong forms, no surrogates, nothing past U+10FFFF.
  const low = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
  const high = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  for (let i = 1; i < length; i++) {
    if (at + i === end) return -1;
    const byte = buffer[at + i]!;
    if (byte < (i === 1 ? low : 0x80) || byte > (i === 1 ? high : 0xbf)) return 0;
  }
  return length;
}
