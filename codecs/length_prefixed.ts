import { checkBoolean, checkBytes, checkFunction, checkInteger } from "../_internal/checks.ts";
import { MAX_VARINT } from "../_internal/numbers.ts";
import { checkOptions, elsewhere, type Known } from "../_internal/options.ts";
import { FrameTooLargeError, MalformedFrameError } from "../errors.ts";
import { type Codec, type DecoderInput, type FrameWriter, MORE } from "./codec.ts";
import { COPIES, type CopyingDecoder } from "./copying_decoder.ts";
import { type OnTooLong, Skipping } from "./skipping.ts";

/** Stands for the size of a varint that does not end. */
const ENDLESS = -1;

/** Options of {@linkcode lengthPrefixed}. */
export interface LengthPrefixedOptions {
  /**
   * How the length is written: in 1 to 8 bytes, or as a varint (LEB128, seven bits per byte, the lowest first, as in
   * Protocol Buffers).
   *
   * @default {4}
   */
  width?: 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | "varint";
  /**
   * The maximum size of a varint, in bytes, in both directions: 1 to 10. For MQTT, it is 4 (MQTT 3.1.1 §2.2.3).
   *
   * @default {10}
   */
  maxWidth?: number;
  /**
   * Whether the length is little-endian.
   *
   * @default {false}
   */
  littleEndian?: boolean;
  /**
   * Whether the length counts the whole frame, including itself and the bytes before it. Not for varints.
   *
   * @default {false}
   */
  includesHeader?: boolean;
  /**
   * The number of header bytes before the length: 0 to 65535.
   *
   * @default {0}
   */
  offset?: number;
  /**
   * A number that is added to the length to get the number of bytes that follow it: -2^30 to 2^30. Use it, for example, for
   * the rest of a header that the length does not count.
   *
   * @default {0}
   */
  adjustment?: number;
  /**
   * Whether a message is the whole frame, with its header and length. Otherwise, it is what follows the length.
   *
   * @default {false}
   */
  keepHeader?: boolean;
  /**
   * The maximum length of a message, in bytes, in both directions: 1 to 2^30.
   *
   * @default {8388608}
   */
  maxLength?: number;
  /**
   * Called with the length, in bytes, of a message that exceeds `maxLength`: it is dropped, and reading goes on with the next
   * one. If it throws, its error ends the input. Without it, such a message is a `FrameTooLargeError`.
   */
  onTooLong?: (length: number) => void;
}

const OPTIONS: Known<LengthPrefixedOptions> = {
  width: elsewhere,
  maxWidth: elsewhere,
  littleEndian: checkBoolean,
  includesHeader: checkBoolean,
  offset: elsewhere,
  adjustment: elsewhere,
  keepHeader: checkBoolean,
  onTooLong: checkFunction,
  maxLength: elsewhere,
};

/** The resolved options. They make a frame cheaper: comparing a width that may be a string takes 5 ns each time. */
interface Layout {
  isVarint: boolean;
  /** The size of the length; the minimum size of a varint. */
  width: number;
  maxWidth: number;
  littleEndian: boolean;
  offset: number;
  /** How much the length exceeds the number of bytes that follow it. */
  surplus: number;
  keepHeader: boolean;
  maxLength: number;
  onTooLong: OnTooLong | undefined;
}

/**
 * Frames that begin with their length.
 *
 * A frame consists of `offset` bytes of a header, the length, and as many bytes as the length plus `adjustment` says. If
 * there is a header before the length, only whole frames (`keepHeader`) can be sent. They must contain their length.
 *
 * @param options How the length is written and what it counts.
 * @returns The codec. Its decoder throws `FrameTooLargeError`, or calls `onTooLong`, as soon as it has the length. It throws
 * `MalformedFrameError` for a length that is less than the header, and for a varint that does not end within `maxWidth`
 * bytes.
 * @throws {TypeError | RangeError} If an option is out of range, or contradicts another.
 *
 * @example
 * ```ts
 * import { lengthPrefixed } from "@parley/tcp/codecs";
 * import { Session } from "@parley/tcp/session";
 * import { memoryPair } from "@parley/tcp/transport";
 * import { assertEquals } from "@std/assert";
 *
 * const [left, right] = memoryPair();
 * const [a, b] = [new Session(left), new Session(right)];
 * await a.frames(lengthPrefixed({ width: 2 })).send(new Uint8Array([7, 8, 9]));
 * assertEquals(await b.readExactly(5), new Uint8Array([0, 3, 7, 8, 9]));
 * await Promise.all([a.close(), b.close()]);
 * ```
 */
export function lengthPrefixed(options: LengthPrefixedOptions = {}): Codec<Uint8Array> {
  checkOptions(options, OPTIONS);
  const layout = resolve(options);
  return {
    decoder: () => new LengthPrefixedDecoder(layout),
    encode: (message, out) => encodeLengthPrefixed(message, layout, out),
  };
}

function resolve(options: LengthPrefixedOptions): Layout {
  const { width = 4, littleEndian = false, includesHeader = false, keepHeader = false } = options;
  if (width !== "varint") checkInteger("width", width, 1, 8);
  else if (includesHeader) {
    throw new TypeError("includesHeader cannot be combined with a varint, whose own size varies");
  }
  const offset = checkInteger("offset", options.offset ?? 0, 0, 65535);
  const adjustment = checkInteger("adjustment", options.adjustment ?? 0, -(2 ** 30), 2 ** 30);
  const maxLength = checkInteger("maxLength", options.maxLength ?? 8 * 1024 * 1024, 1, 2 ** 30);
  const isVarint = width === "varint";
  if (!isVarint && options.maxWidth !== undefined) {
    throw new TypeError(`maxWidth is for varints, but width is ${width}`);
  }
  const maxWidth = isVarint
    ? checkInteger("maxWidth", options.maxWidth ?? MAX_VARINT, 1, MAX_VARINT)
    : width;
  const size = isVarint ? 1 : width;
  const surplus = (includesHeader ? offset + size : 0) - adjustment;
  const { onTooLong } = options;
  return {
    isVarint,
    width: size,
    maxWidth,
    littleEndian,
    offset,
    surplus,
    keepHeader,
    maxLength,
    onTooLong,
  };
}

class LengthPrefixedDecoder implements CopyingDecoder<Uint8Array> {
  readonly maxBuffered: number;
  readonly copies: typeof COPIES = COPIES;
  readonly #layout: Layout;
  readonly #minHeader: number;
  /** The frame that is being dropped. */
  #skipping: Skipping | undefined;

  constructor(layout: Layout) {
    const { width, maxWidth, offset, maxLength } = layout;
    this.#minHeader = offset + width;
    this.maxBuffered = offset + maxWidth + maxLength;
    this.#layout = layout;
  }

  decode(input: DecoderInput): Uint8Array | typeof MORE {
    const layout = this.#layout;
    for (;;) {
      if (this.#skipping !== undefined) {
        if (!this.#skipping.goOn(input)) return MORE;
        this.#skipping = undefined;
      }
      const header = headerSize(input.buffer, input.start, input.end, layout);
      if (header === 0) {
        input.need(this.#minHeader);
        return MORE;
      }
      if (header === ENDLESS) {
        throw new MalformedFrameError(
          `a varint must end within ${layout.maxWidth} bytes`,
          layout.offset,
        );
      }
      const total = header + bodySize(input.buffer, input.start, header, layout);
      const skipped = layout.keepHeader ? 0 : header;
      if (total - skipped > layout.maxLength) {
        this.#drop(total, total - skipped);
        continue;
      }
      if (input.end - input.start < total) {
        input.need(total);
        return MORE;
      }
      input.consume(skipped);
      return input.take(total - skipped);
    }
  }

  finish(input: DecoderInput): typeof MORE {
    this.#skipping?.finish(input);
    return MORE;
  }

  #drop(total: number, length: number): void {
    const { maxLength, onTooLong } = this.#layout;
    if (onTooLong === undefined) throw new FrameTooLargeError(maxLength, length);
    this.#skipping = new Skipping();
    this.#skipping.begin(total);
    onTooLong(length);
  }
}

/** The size of the header with the length, 0 if it is not complete, or `ENDLESS`. */
function headerSize(
  buffer: Uint8Array,
  start: number,
  end: number,
  { isVarint, offset, width, maxWidth }: Layout,
): number {
  if (!isVarint) return end - start < offset + width ? 0 : offset + width;
  for (let size = 1; size <= maxWidth; size++) {
    const at = start + offset + size - 1;
    if (at >= end) return 0;
    if (buffer[at]! < 0x80) return offset + size;
  }
  return ENDLESS;
}

/** How many bytes follow a header. What is over 2^53 comes out rounded, and over any limit. */
function bodySize(buffer: Uint8Array, start: number, header: number, layout: Layout): number {
  const { isVarint, offset, littleEndian, surplus } = layout;
  const first = start + offset;
  const last = start + header - 1;
  let length = 0;
  if (isVarint) {
    for (let at = last; at >= first; at--) length = length * 128 + (buffer[at]! & 0x7f);
  } else if (littleEndian) {
    for (let at = last; at >= first; at--) length = length * 256 + buffer[at]!;
  } else {
    for (let at = first; at <= last; at++) length = length * 256 + buffer[at]!;
  }
  if (length < surplus) {
    throw new MalformedFrameError(`a length of ${length} must be at least ${surplus}`, offset);
  }
  return length - surplus;
}

function encodeLengthPrefixed(message: Uint8Array, layout: Layout, out: FrameWriter): void {
  const { isVarint, width, maxWidth, littleEndian, offset, surplus, keepHeader, maxLength } =
    layout;
  checkBytes("a message", message);
  if (message.length > maxLength) throw new FrameTooLargeError(maxLength, message.length);
  if (keepHeader) checkWhole(message, layout);
  else if (offset > 0) {
    throw new TypeError("to send a frame with a header before the length, set keepHeader");
  } else {
    const length = message.length + surplus;
    if (isVarint) out.varint(length, maxWidth);
    else out.uint(length, width, littleEndian);
  }
  out.bytes(message);
}

function checkWhole(frame: Uint8Array, layout: Layout): void {
  const header = headerSize(frame, 0, frame.length, layout);
  const total = header <= 0 ? 0 : header + bodySize(frame, 0, header, layout);
  if (total === frame.length) return;
  throw new TypeError(
    `a whole frame must contain its length: it has ${frame.length} bytes, but says ${total}`,
  );
}
