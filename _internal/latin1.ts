/** Bytes as strings of characters from U+0000 to U+00FF, which V8 stores in one byte each, and back. */

import { Buffer } from "node:buffer";

const { latin1Slice } = Buffer.prototype as unknown as {
  latin1Slice: (this: Uint8Array, start: number, end: number) => string;
};

const BEYOND_ASCII = /[^\0-\x7f]/;

/** For fewer bytes, a loop is faster than a call into the runtime. */
export function decodeLatin1(buffer: Uint8Array, from: number, to: number): string {
  if (to - from > 8) return latin1Slice.call(buffer, from, to);
  let text = "";
  for (let i = from; i < to; i++) text += String.fromCharCode(buffer[i]!);
  return text;
}

export function encodeLatin1(text: string): Uint8Array {
  return Buffer.from(text, "latin1");
}

export function isAscii(text: string): boolean {
  if (text.length > 32) return !BEYOND_ASCII.test(text);
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return false;
  return true;
}
