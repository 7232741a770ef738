import { decodeLatin1, encodeLatin1, isAscii } from "../../_internal/latin1.ts";
import { decodeUtf8, utf8Length } from "../../_internal/utf8.ts";
import type { FrameWriter } from "../codec.ts";

/** How the strings of RESP, which are bytes, become JavaScript strings. */
export type RespEncoding = "utf-8" | "binary";

/** Decodes and encodes strings. */
export interface TextCoder {
  decode(buffer: Uint8Array, from: number, to: number): string;
  /** The size of a text in bytes. */
  sizeOf(text: string): number;
  write(text: string, out: FrameWriter): void;
}

export const CODERS: Readonly<Record<RespEncoding, TextCoder>> = {
  "utf-8": {
    decode: (buffer, from, to) => decodeUtf8(buffer, from, to, false),
    sizeOf: (text) => isAscii(text) ? text.length : utf8Length(text),
    write: (text, out) => out.text(text),
  },
  binary: {
    decode: decodeLatin1,
    sizeOf: (text) => text.length,
    write(text, out): void {
      if (isAscii(text)) out.text(text);
      else if (/[^\0-\xff]/.test(text)) {
        throw new TypeError("a binary string must not have characters beyond U+00FF");
      } else out.bytes(encodeLatin1(text));
    },
  },
};
