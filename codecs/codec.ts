/**
 * The contract between a session and a codec: how frames are made out of bytes, and bytes out of frames.
 *
 * It is pure: a codec never reads, writes or waits.
 *
 * @module
 */

/** What a decoder returns when the unread bytes do not hold a whole frame yet. */
export const MORE: unique symbol = Symbol("MORE");

/** A cursor over the unread bytes of a session. It is valid during the call that it is given to, and no longer. */
export interface DecoderInput {
  /** The memory that holds the unread bytes, from {@linkcode start} to {@linkcode end}. It is not to be changed. */
  readonly buffer: Uint8Array;
  /** Where the first unread byte stands in {@linkcode buffer}. */
  readonly start: number;
  /** Where the unread bytes end in {@linkcode buffer}: the index after the last. */
  readonly end: number;
  /**
   * Drops unread bytes from the front.
   *
   * @param count How many bytes.
   * @throws {RangeError} If there are fewer.
   */
  consume(count: number): void;
  /**
   * Asks not to be called again before so many bytes are unread, so that a long frame in many pieces costs no
   * call for each.
   *
   * @param total How many bytes, counted from {@linkcode start}.
   * @throws {FrameTooLargeError} If that is more than {@linkcode Decoder.maxBuffered}.
   */
  need(total: number): void;
  /**
   * Consumes bytes and gives them away: they belong to the caller and never change. Up to 1 KiB they may lie in
   * memory that other frames of the session have a part of, so transfer a copy of them, not their `buffer`.
   *
   * @param count How many bytes.
   * @returns The bytes.
   * @throws {RangeError} If there are fewer.
   */
  take(count: number): Uint8Array;
}

/**
 * Makes frames out of bytes, for one reading.
 *
 * A decoder may keep offsets relative to `start`, but never bytes: what it has not consumed stays with the
 * session, so that another reading can go on from there.
 */
export interface Decoder<Frame> {
  /** The most unread bytes that one undecoded frame may hold. The session ends a peer that passes it. */
  readonly maxBuffered: number;
  /**
   * Decodes one frame and consumes its bytes, or returns {@linkcode MORE}; then it may have consumed what belongs to
   * no frame.
   *
   * @param input At least one unread byte.
   * @returns The frame, or `MORE`; anything but `undefined`.
   * @throws {MalformedFrameError | FrameTooLargeError} If the peer has done something wrong; a class derived from these
   * will do. What else it throws counts as a fault of the decoder, and is reported as what a handler throws of its own.
   * Either way, the input is finished.
   */
  decode(input: DecoderInput): Frame | typeof MORE;
  /**
   * Called once the input has ended with bytes left over, until it returns {@linkcode MORE}. What is left after
   * that is a `TruncatedFrameError`, as it is where this method is missing.
   *
   * @param input At least one unread byte.
   * @returns A last frame, or `MORE`.
   */
  finish?(input: DecoderInput): Frame | typeof MORE;
}

/** Where a codec writes a message. The parts of one message go out together, or not at all if encoding throws. */
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
   * Adds text as UTF-8, and a NUL that ends it.
   *
   * @param text The text, without a NUL of its own.
   * @throws {TypeError} If there is a NUL in it.
   */
  cstring(text: string): void;
  /**
   * Adds an unsigned integer.
   *
   * @param value From 0 to 256^`width` - 1.
   * @param width How many bytes, from 1 to 8.
   * @param littleEndian Whether the least significant byte comes first. Default: network order, it comes last.
   * @throws {RangeError} If the value or the width is out of range.
   */
  uint(value: number | bigint, width: number, littleEndian?: boolean): void;
  /**
   * Adds a signed integer, in two's complement.
   *
   * @param value From -(256^`width`)/2 to 256^`width`/2 - 1.
   * @param width How many bytes, from 1 to 8.
   * @param littleEndian Whether the least significant byte comes first. Default: network order, it comes last.
   * @throws {RangeError} If the value or the width is out of range.
   */
  int(value: number | bigint, width: number, littleEndian?: boolean): void;
  /**
   * Adds a floating-point number (IEEE 754).
   *
   * @param value The number; in 4 bytes it is rounded.
   * @param width How many bytes, 4 or 8.
   * @param littleEndian Whether the least significant byte comes first. Default: network order, it comes last.
   */
  float(value: number, width: 4 | 8, littleEndian?: boolean): void;
  /**
   * Adds an unsigned integer as a varint (LEB128: seven bits a byte, the lowest first), in as few bytes as it takes.
   *
   * @param value From 0 to 2^64 - 1.
   * @param maxWidth The most bytes that it may take, 1 to 10. Default: 10.
   * @throws {RangeError} If the value does not fit, or `maxWidth` is out of range.
   */
  varint(value: number | bigint, maxWidth?: number): void;
  /**
   * Adds what a function writes, with its length in front. It may call this again within.
   *
   * @param width How the length is written: in 1 to 8 bytes, or as a varint, before which the bytes are moved.
   * @param write Writes to the same writer, and is done when it returns.
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
   * Whether the lowest byte of the length comes first.
   *
   * @default {false}
   */
  littleEndian?: boolean;
  /**
   * The most bytes that a varint may take: 1 to 10.
   *
   * @default {10}
   */
  maxWidth?: number;
}

/** How the two sides of a protocol put messages into bytes. `In` is what is read, `Out` what is sent. */
export interface Codec<In, Out = In> {
  /**
   * Makes a decoder for one reading; and another one where that reading was left in the middle of a frame and
   * others have taken bytes, or put some back, before it goes on.
   *
   * @returns A decoder with fresh state.
   */
  decoder(): Decoder<In>;
  /**
   * Writes one message.
   *
   * @param message The message.
   * @param out Where to.
   */
  encode(message: Out, out: FrameWriter): void;
}
