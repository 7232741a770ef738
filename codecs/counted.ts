/** Frames that begin with their length in decimal digits: `netstring()` and `octetCounted()`. */

import { FrameTooLargeError, MalformedFrameError } from "../errors.ts";
import { type Decoder, type DecoderInput, MORE } from "./codec.ts";
import { checkTrailer, type OnTooLong, Skipping } from "./skipping.ts";

const ZERO = 0x30;
const NINE = 0x39;
/** The longest frame that can be dropped, in bytes. */
const MAX_DROPPED = 1e15;
/** The digits of such a length, and the separator. */
const MAX_HEADER = 17;

/** The format of the frames. */
export interface Counting {
  maxLength: number;
  /** The byte after the digits. */
  separator: number;
  /** The byte that ends a frame, if any. */
  trailer: number | undefined;
  minLength: number;
  onTooLong: OnTooLong | undefined;
}

export class CountedDecoder implements Decoder<Uint8Array> {
  readonly maxBuffered: number;
  readonly #counting: Counting;
  readonly #skipping: Skipping = new Skipping();
  /** The length in the header. */
  #length = 0;

  constructor(counting: Counting) {
    this.maxBuffered = MAX_HEADER + counting.maxLength + 1;
    this.#counting = counting;
  }

  decode(input: DecoderInput): Uint8Array | typeof MORE {
    while (this.#skipping.isDone || this.#skipping.goOn(input)) {
      const { buffer, start, end } = input;
      const { maxLength, trailer, onTooLong } = this.#counting;
      const header = this.#readHeader(input);
      if (header === 0) return MORE;
      const length = this.#length;
      if (length > maxLength) {
        this.#skipping.begin(header + length, trailer);
        onTooLong!(length);
        continue;
      }
      const total = header + length + (trailer === undefined ? 0 : 1);
      if (end - start < total) {
        input.need(total);
        return MORE;
      }
      if (trailer !== undefined) {
        checkTrailer(buffer[start + header + length]!, trailer, header + length);
      }
      input.consume(header);
      const frame = input.take(length);
      if (trailer !== undefined) input.consume(1);
      return frame;
    }
    return MORE;
  }

  finish(input: DecoderInput): typeof MORE {
    this.#skipping.finish(input);
    return MORE;
  }

  /** Reads the length. Returns the size of the header, or 0 if it is not complete. */
  #readHeader({ buffer, start, end }: DecoderInput): number {
    const { maxLength, separator, minLength, onTooLong } = this.#counting;
    const most = onTooLong === undefined ? maxLength : MAX_DROPPED;
    let length = 0;
    let at = start;
    for (; at < end && buffer[at] !== separator; at++) {
      const byte = buffer[at]!;
      if (byte < ZERO || byte > NINE) {
        throw new MalformedFrameError(`expected a digit or a ${nameOf(separator)}`, at - start);
      }
      if (at > start && length === 0) {
        throw new MalformedFrameError("a length must not begin with 0", 0);
      }
      length = length * 10 + byte - ZERO;
      if (length > most) throw new FrameTooLargeError(maxLength, length);
    }
    if (at === end) return 0;
    if (at === start) {
      throw new MalformedFrameError(`expected a length before the ${nameOf(separator)}`, 0);
    }
    if (length < minLength) {
      throw new MalformedFrameError(`a frame must not have ${length} bytes`, 0);
    }
    this.#length = length;
    return at + 1 - start;
  }
}

function nameOf(separator: number): string {
  return separator === 0x20 ? "space" : "colon";
}
