/** Frames with their length in decimal digits in front: `netstring()` and `octetCounted()`. */

import { FrameTooLargeError, MalformedFrameError } from "../errors.ts";
import { type Decoder, type DecoderInput, MORE } from "./codec.ts";
import { checkTrailer, type OnTooLong, Skipping } from "./skipping.ts";

const ZERO = 0x30;
const NINE = 0x39;
/** Frames that are dropped may have so many bytes: no protocol has more digits to say how many. */
const MAX_DROPPED = 1e15;
const MAX_HEADER = 17;

/** How frames are written. */
export interface Counting {
  maxLength: number;
  /** What stands behind the digits. */
  separator: number;
  /** What has to end a frame, if anything. */
  trailer: number | undefined;
  /** The least bytes that a frame may have. */
  minLength: number;
  onTooLong: OnTooLong | undefined;
}

export class CountedDecoder implements Decoder<Uint8Array> {
  readonly maxBuffered: number;
  readonly #counting: Counting;
  readonly #skipping: Skipping = new Skipping();
  /** The length that the header says. */
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

  /** Takes note of the length. Returns how many bytes stand before the frame, or 0 if they are not all there. */
  #readHeader({ buffer, start, end }: DecoderInput): number {
    const { maxLength, separator, minLength, onTooLong } = this.#counting;
    const most = onTooLong === undefined ? maxLength : MAX_DROPPED;
    let length = 0;
    let at = start;
    for (; at < end && buffer[at] !== separator; at++) {
      const byte = buffer[at]!;
      if (byte < ZERO || byte > NINE) {
        throw new MalformedFrameError(
          `a digit or a ${nameOf(separator)} must stand here`,
          at - start,
        );
      }
      if (at > start && length === 0) {
        throw new MalformedFrameError("a length must not begin with 0", 0);
      }
      length = length * 10 + byte - ZERO;
      if (length > most) throw new FrameTooLargeError(maxLength, length);
    }
    if (at === end) return 0;
    if (at === start) {
      throw new MalformedFrameError(`a length must stand before the ${nameOf(separator)}`, 0);
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
