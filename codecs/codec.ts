/**
 * The interface between a session and a codec, which decodes frames and encodes messages.
 *
 * A codec does no I/O: it never reads, writes or waits.
 *
 * @module
 */

/** What a decoder returns when the unread bytes do not hold a whole frame yet. */
export const MORE: unique symbol = Symbol("MORE");

/** The unread bytes of a session. It is valid only during the call that receives it. */
export interface DecoderInput {
  /** The memory that holds the unread bytes, from {@linkcode start} to {@linkcode end}. It must not be changed. */
  readonly buffer: Uint8Array;
  /** The index of the first unread byte in {@linkcode buffer}. */
  readonly start: number;
  /** The index after the last unread byte in {@linkcode buffer}. */
  readonly end: number;
  /**
   * Consumes unread bytes from the front.
   *
   * @param count How many bytes.
   * @throws {RangeError} If there are fewer.
   */
  consume(count: number): void;
  /**
   * Asks not to be called again until at least `total` bytes are unread. So a long frame that arrives in many pieces
   * costs few calls.
   *
   * @param total How many bytes, counted from {@linkcode start}.
   * @throws {FrameTooLargeError} If that is more than {@linkcode Decoder.maxBuffered}.
   */
  need(total: number): void;
  /**
   * Consumes bytes and returns them: they belong to the caller and never change. Up to 1 KiB may share their `buffer`
   * with other frames of the session: transfer a copy, not the `buffer`.
   *
   * @param count How many bytes.
   * @returns The bytes.
   * @throws {RangeError} If there are fewer.
   */
  take(count: number): Uint8Array;
}

/**
 * Decodes frames for one reading.
 *
 * Between calls, a decoder may keep offsets relative to `start`, but no bytes: what it has not consumed stays in the
 * session, where another reading can continue.
 */
export interface Decoder<Frame> {
  /** The maximum number of unread bytes of one undecoded frame. Beyond it, the session ends. */
  readonly maxBuffered: number;
  /**
   * Decodes one frame and consumes its bytes, or returns {@linkcode MORE}. Before `MORE`, it may consume bytes that belong
   * to no frame.
   *
   * @param input At least one unread byte.
   * @returns The frame, which must not be `undefined`, or `MORE`.
   * @throws {MalformedFrameError | FrameTooLargeError} If the peer is at fault; a derived class is fine, too. Any other
   * error counts as a bug in the decoder, and is reported like an error of the handler. In both cases, the input is
   * finished.
   */
  decode(input: DecoderInput): Frame | typeof MORE;
  /**
   * Called when the input has ended with unread bytes, until it returns {@linkcode MORE}. Bytes that are left after that
   * are a `TruncatedFrameError`, as they are without this method.
   *
   * @param input At least one unread byte.
   * @returns A last frame, or `MORE`.
   */
  finish?(input: DecoderInput): Frame | typeof MORE;
}

/** Takes the parts of a message from a codec. If encoding throws, nothing of the message is sent. */
export interface FrameWriter {
  /**
   * Adds bytes. Small ones are copied; the memory of large ones must not change until the send has resolved.
   *
   * @param data The bytes.
   */
  bytes(data: Uint8Array): void;
  /**
   * Adds text as UTF-8.
   *
   * @param text The text.
   */
  text(text: string): void;
  /**
   * Adds text as UTF-8, followed by a NUL.
   *
   * @param text The text, without a NUL.
   * @throws {TypeError} If the text contains a NUL.
   */
  cstring(text: string): void;
  /**
   * Adds an unsigned integer.
   *
   * @param value From 0 to 256^`width` - 1.
   * @param width How many bytes, from 1 to 8.
   * @param littleEndian Whether the least significant byte comes first. Default: `false`, network byte order.
   * @throws {RangeError} If the value or the width is out of range.
   */
  uint(value: number | bigint, width: number, littleEndian?: boolean): void;
  /**
   * Adds a signed integer, in two's complement.
   *
   * @param value From -(256^`width`)/2 to 256^`width`/2 - 1.
   * @param width How many bytes, from 1 to 8.
   * @param littleEndian Whether the least significant byte comes first. Default: `false`, network byte order.
   * @throws {RangeError} If the value or the width is out of range.
   */
  int(value: number | bigint, width: number, littleEndian?: boolean): void;
  /**
   * Adds a floating-point number (IEEE 754).
   *
   * @param value The number. In 4 bytes, it is rounded.
   * @param width How many bytes, 4 or 8.
   * @param littleEndian Whether the least significant byte comes first. Default: `false`, network byte order.
   */
  float(value: number, width: 4 | 8, littleEndian?: boolean): void;
  /**
   * Adds an unsigned integer as a varint (LEB128: seven bits a byte, the lowest first), in as few bytes as possible.
   *
   * @param value From 0 to 2^64 - 1.
   * @param maxWidth The maximum size, in bytes, 1 to 10. Default: 10.
   * @throws {RangeError} If the value does not fit, or `maxWidth` is out of range.
   */
  varint(value: number | bigint, maxWidth?: number): void;
  /**
   * Adds what a function writes, preceded by its length. Calls may be nested.
   *
   * @param width How the length is written: in 1 to 8 bytes, or as a varint.
   * @param write Writes to the same writer, synchronously.
   * @param options What the length counts and how it is written.
   * @throws {RangeError} If the length does not fit.
   */
  prefixed(width: PrefixWidth, write: (out: FrameWriter) => void, options?: PrefixedOptions): void;
}

/** How a length is written: in 1 to 8 bytes, or as a varint. */
export type PrefixWidth = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | "varint";

/** Options of {@linkcode FrameWriter.prefixed} and `Cursor.prefixed()`. */
export interface PrefixedOptions {
  /**
   * Whether the length counts its own bytes, too. Not for varints.
   *
   * @default {false}
   */
  includesHeader?: boolean;
  /**
   * Whether the length is little-endian.
   *
   * @default {false}
   */
  littleEndian?: boolean;
  /**
   * The maximum size of a varint, in bytes: 1 to 10.
   *
   * @default {10}
   */
  maxWidth?: number;
}

/** Decodes and encodes the messages of a protocol. `In` is the type that is read, `Out` the type that is sent. */
export interface Codec<In, Out = In> {
  /**
   * Makes a decoder for one reading. It is called again for that reading if other readings have consumed bytes, or bytes
   * were put back, while it was in the middle of a frame.
   *
   * @returns A decoder with fresh state.
   */
  decoder(): Decoder<In>;
  /**
   * Writes one message.
   *
   * @param message The message.
   * @param out The writer.
   */
  encode(message: Out, out: FrameWriter): void;
}
