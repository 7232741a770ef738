import { type Decoder, type DecoderInput, MORE } from "../codecs/codec.ts";
import { decodeUtf8, incompleteTail } from "./utf8.ts";

/** Text as it comes: what is unread, up to `size` bytes, without the beginning of a character that is cut off. */
export function textChunks(size: number, fatal: boolean): Decoder<string> {
  return {
    maxBuffered: Infinity,
    decode(input: DecoderInput): string | typeof MORE {
      const { buffer, start, end } = input;
      let stop = Math.min(end, start + size);
      let whole = stop - start - incompleteTail(buffer, start, stop);
      // A chunk holds at least one character, however small the size.
      while (whole === 0 && stop < end) {
        stop++;
        whole = stop - start - incompleteTail(buffer, start, stop);
      }
      return whole === 0 ? MORE : text(input, whole, fatal);
    },
    finish: (input: DecoderInput) => text(input, input.end - input.start, fatal),
  };
}

function text(input: DecoderInput, count: number, fatal: boolean): string {
  const text = decodeUtf8(input.buffer, input.start, input.start + count, fatal);
  input.consume(count);
  return text;
}

/** All unread bytes, given away. */
export const ownedChunks: Decoder<Uint8Array> = {
  maxBuffered: Infinity,
  decode: (input) => input.take(input.end - input.start),
};

/** All unread bytes, lent until the next read. */
export const borrowedChunks: Decoder<Uint8Array> = {
  maxBuffered: Infinity,
  decode(input: DecoderInput): Uint8Array {
    const { buffer, start, end } = input;
    input.consume(end - start);
    return buffer.subarray(start, end);
  },
};

/** Exactly so many bytes. */
export function exactly(count: number): Decoder<Uint8Array> {
  return {
    maxBuffered: count,
    decode(input: DecoderInput): Uint8Array | typeof MORE {
      if (input.end - input.start >= count) return input.take(count);
      input.need(count);
      return MORE;
    },
  };
}
