import { checkBytes, checkFunction, checkInteger, shown } from "../_internal/checks.ts";
import { checkOptions, elsewhere, type Known } from "../_internal/options.ts";
import { FrameTooLargeError, TruncatedFrameError } from "../errors.ts";
import { type Codec, type DecoderInput, type FrameWriter, MORE } from "./codec.ts";
import { COPIES, type CopyingDecoder } from "./copying_decoder.ts";
import type { OnTooLong } from "./skipping.ts";

/** Options of {@linkcode delimited}. */
export interface DelimitedOptions {
  /**
   * The maximum length of a frame without its delimiter, in bytes, in both directions: 1 to 2^30.
   *
   * @default {65536}
   */
  maxLength?: number;
  /**
   * Called with the length, in bytes, of a frame that exceeds `maxLength`: it is dropped, and reading goes on with the next
   * one. If it throws, its error ends the input. Without it, such a frame is a `FrameTooLargeError`.
   */
  onTooLong?: (length: number) => void;
}

const OPTIONS: Known<DelimitedOptions> = { maxLength: elsewhere, onTooLong: checkFunction };

/**
 * Frames of bytes, each ended by a delimiter. Bytes after the last delimiter are a truncated frame.
 *
 * @param delimiter The bytes that end a frame, or text, which is encoded as UTF-8: 1 to 256 bytes.
 * @param options The limit.
 * @returns The codec. Its decoder throws `FrameTooLargeError`. Sending a frame that contains the delimiter is a `TypeError`.
 * @throws {TypeError | RangeError} If the delimiter or an option is invalid.
 *
 * @example
 * ```ts
 * import { delimited } from "@parley/tcp/codecs";
 * import { Session } from "@parley/tcp/session";
 * import { memoryPair } from "@parley/tcp/transport";
 * import { assertEquals } from "@std/assert";
 *
 * const [left, right] = memoryPair();
 * const [a, b] = [new Session(left), new Session(right)];
 * await a.send("one\0two\0");
 * const frames = b.frames(delimited("\0"));
 * assertEquals(await frames.read(), new TextEncoder().encode("one"));
 * await Promise.all([a.close(), b.close()]);
 * ```
 */
export function delimited(
  delimiter: string | Uint8Array,
  options: DelimitedOptions = {},
): Codec<Uint8Array> {
  checkOptions(options, OPTIONS);
  const maxLength = checkInteger("maxLength", options.maxLength ?? 64 * 1024, 1, 2 ** 30);
  if (typeof delimiter !== "string" && !(delimiter instanceof Uint8Array)) {
    throw new TypeError(`delimiter must be a string or a Uint8Array, got ${shown(delimiter)}`);
  }
  const bytes = typeof delimiter === "string"
    ? new TextEncoder().encode(delimiter)
    : new Uint8Array(delimiter); // slice() of a Buffer does not copy
  checkInteger("the delimiter's length", bytes.length, 1, 256);
  const { onTooLong } = options;
  return {
    decoder: () => new DelimitedDecoder(bytes, maxLength, onTooLong),
    encode: (frame, out) => encodeDelimited(frame, bytes, maxLength, out),
  };
}

class DelimitedDecoder implements CopyingDecoder<Uint8Array> {
  readonly maxBuffered: number;
  readonly copies: typeof COPIES = COPIES;
  readonly #delimiter: Uint8Array;
  readonly #maxLength: number;
  /** How many of the unread bytes are known to begin no delimiter. */
  #scanned = 0;
  readonly #onTooLong: OnTooLong | undefined;
  /** How many bytes of this frame were dropped. */
  #dropped = 0;

  constructor(delimiter: Uint8Array, maxLength: number, onTooLong: OnTooLong | undefined) {
    this.maxBuffered = maxLength + delimiter.length - 1; // the rest of a delimiter may still come
    this.#delimiter = delimiter;
    this.#maxLength = maxLength;
    this.#onTooLong = onTooLong;
  }

  decode(input: DecoderInput): Uint8Array | typeof MORE {
    const size = this.#delimiter.length;
    while (input.end > input.start) {
      const unread = input.buffer.subarray(input.start, input.end);
      const at = indexOf(unread, this.#delimiter, this.#scanned);
      if (at < 0) {
        this.#scanned = Math.max(0, unread.length - size + 1);
        this.#checkLength(this.#scanned);
        if (this.#dropped + this.#scanned > this.#maxLength) {
          this.#drop(input, unread.length - Math.max(1, size - 1)); // a frame that is not complete leaves a byte
        }
        return MORE;
      }
      this.#checkLength(at);
      this.#scanned = 0;
      if (this.#dropped + at <= this.#maxLength) {
        const frame = input.take(at);
        input.consume(size);
        return frame;
      }
      this.#drop(input, at);
      input.consume(size);
      const length = this.#dropped;
      this.#dropped = 0;
      this.#onTooLong!(length);
    }
    return MORE;
  }

  finish(input: DecoderInput): typeof MORE {
    if (this.#dropped === 0) return MORE;
    throw new TruncatedFrameError(this.#dropped + input.end - input.start);
  }

  #checkLength(length: number): void {
    if (length <= this.#maxLength || this.#onTooLong !== undefined) return;
    throw new FrameTooLargeError(this.#maxLength, length);
  }

  #drop(input: DecoderInput, count: number): void {
    input.consume(count);
    this.#dropped += count;
    this.#scanned = 0;
  }
}

/** The position of `wanted` in `bytes`, at `from` or later; -1 if there is none. */
function indexOf(bytes: Uint8Array, wanted: Uint8Array, from: number): number {
  const first = wanted[0]!;
  for (let at = bytes.indexOf(first, from); at >= 0; at = bytes.indexOf(first, at + 1)) {
    if (at + wanted.length > bytes.length) return -1;
    let length = 1;
    while (length < wanted.length && bytes[at + length] === wanted[length]) length++;
    if (length === wanted.length) return at;
  }
  return -1;
}

function encodeDelimited(
  frame: Uint8Array,
  delimiter: Uint8Array,
  maxLength: number,
  out: FrameWriter,
): void {
  checkBytes("a frame", frame);
  if (frame.length > maxLength) throw new FrameTooLargeError(maxLength, frame.length);
  // The end of the frame and the start of the delimiter may form a delimiter: `ab` before `aba` contains `aba` earlier.
  const seam = new Uint8Array(
    2 * delimiter.length - 1 + Math.min(0, frame.length - delimiter.length + 1),
  );
  const kept = seam.length - delimiter.length;
  seam.set(frame.subarray(frame.length - kept));
  seam.set(delimiter, kept);
  if (indexOf(frame, delimiter, 0) >= 0 || indexOf(seam, delimiter, 0) !== kept) {
    throw new TypeError("a frame must not contain the delimiter");
  }
  out.bytes(frame);
  out.bytes(delimiter);
}
