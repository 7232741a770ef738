import { checkBoolean, checkInteger } from "../_internal/checks.ts";
import { indexOfByte } from "../_internal/index_of.ts";
import { bigUintAt, floatAt, longAt, MAX_VARINT, signed, uint32At } from "../_internal/numbers.ts";
import { checkOptions, elsewhere, type Known, NO_OPTIONS } from "../_internal/options.ts";
import { decodeUtf8 } from "../_internal/utf8.ts";
import { MalformedFrameError } from "../errors.ts";
import type { DecoderInput, PrefixedOptions, PrefixWidth } from "./codec.ts";
import { PREFIXED_OPTIONS, prefixSize } from "./prefix.ts";

/** Options of {@linkcode Cursor}. */
export interface CursorOptions {
  /**
   * How many bytes the cursor may read. Required for a decoder's input: that many bytes must have arrived already, and a
   * read beyond them is malformed.
   *
   * @default All of a frame.
   */
  length?: number;
  /**
   * Whether invalid UTF-8 is an error. Otherwise, invalid bytes become U+FFFD.
   *
   * @default {false}
   */
  fatal?: boolean;
}

const CURSOR_OPTIONS: Known<CursorOptions> = { length: elsewhere, fatal: checkBoolean };

/**
 * Reads values one after the other from a frame, or from the input of a decoder, without consuming it.
 *
 * A read beyond the end is a `MalformedFrameError` with the offset. If a decoder throws it, it counts as the peer's fault.
 * {@linkcode FrameWriter} has methods of the same names.
 *
 * @example
 * ```ts
 * import { Cursor } from "@parley/tcp/codecs";
 * import { assertEquals } from "@std/assert";
 *
 * const cursor = new Cursor(new Uint8Array([1, 0, 2, 0x68, 0x69, 0xff, 0xfe]));
 * assertEquals(cursor.uint(1), 1);
 * assertEquals(cursor.prefixed(2).text(), "hi");
 * assertEquals(cursor.int(2), -2);
 * assertEquals(cursor.left, 0);
 * ```
 */
export class Cursor {
  readonly #buffer: Uint8Array;
  readonly #fatal: boolean;
  /** Whether the memory belongs to a session, so that bytes must be copied. */
  #isLent: boolean;
  /** Where the frame begins in the buffer. */
  #origin: number;
  /** Where the next value begins. */
  #at: number;
  /** Where the bytes end that the cursor may read. */
  #end: number;

  /**
   * Makes a cursor at the first byte.
   *
   * @param source A frame, or the input of a decoder. For the latter, the cursor is valid only during the call.
   * @param options How many bytes it may read, and whether invalid text is an error.
   * @throws {RangeError} If there are fewer bytes than `length`.
   */
  constructor(source: Uint8Array, options?: CursorOptions);
  /**
   * Makes a cursor over the input of a decoder.
   *
   * @param source The input. The cursor is valid only during the call, and consumes nothing.
   * @param options How many bytes it may read, and whether invalid text is an error.
   */
  constructor(source: DecoderInput, options: CursorOptions & { length: number });
  constructor(source: Uint8Array | DecoderInput, options: CursorOptions = NO_OPTIONS) {
    checkOptions(options, CURSOR_OPTIONS);
    const { length, fatal = false } = options;
    const isFrame = source instanceof Uint8Array;
    this.#buffer = isFrame ? source : source.buffer;
    this.#fatal = fatal;
    this.#isLent = !isFrame;
    this.#origin = this.#at = isFrame ? 0 : source.start;
    if (isFrame && length === undefined) this.#end = source.length;
    else {
      const most = isFrame ? source.length : source.end - source.start;
      this.#end = this.#at + checkInteger("length", length, 0, most);
    }
  }

  /** How many bytes were read. */
  get offset(): number {
    return this.#at - this.#origin;
  }

  /** How many bytes are left. */
  get left(): number {
    return this.#end - this.#at;
  }

  /**
   * Reads an unsigned integer.
   *
   * @param width How many bytes, from 1 to 8.
   * @param littleEndian Whether the least significant byte comes first. Default: `false`, network byte order.
   * @returns The integer.
   * @throws {MalformedFrameError} If the frame is too short, or exceeds 2^53 - 1: {@linkcode bigUint} reads that.
   */
  uint(width: number, littleEndian: boolean = false): number {
    if (width === 1) return this.#buffer[this.#take(1)]!;
    const at = this.#take(checkInteger("width", width, 1, 8));
    if (width <= 4) return uint32At(this.#buffer, at, width, littleEndian);
    return this.#exact(longAt(this.#buffer, at, width, littleEndian, false), at);
  }

  /**
   * Reads a signed integer in two's complement.
   *
   * @param width How many bytes, from 1 to 8.
   * @param littleEndian Whether the least significant byte comes first. Default: `false`, network byte order.
   * @returns The integer.
   * @throws {MalformedFrameError} If the frame is too short, or not within 2^53 - 1: {@linkcode bigInt} reads that.
   */
  int(width: number, littleEndian: boolean = false): number {
    const at = this.#take(checkInteger("width", width, 1, 8));
    if (width <= 4) return signed(uint32At(this.#buffer, at, width, littleEndian), width);
    return this.#exact(longAt(this.#buffer, at, width, littleEndian, true), at);
  }

  /**
   * Reads an unsigned integer of any value.
   *
   * @param width How many bytes, from 1 to 8.
   * @param littleEndian Whether the least significant byte comes first. Default: `false`, network byte order.
   * @returns The integer.
   * @throws {MalformedFrameError} If the frame is too short.
   */
  bigUint(width: number, littleEndian: boolean = false): bigint {
    const at = this.#take(checkInteger("width", width, 1, 8));
    return bigUintAt(this.#buffer, at, width, littleEndian);
  }

  /**
   * Reads a signed integer of any value, in two's complement.
   *
   * @param width How many bytes, from 1 to 8.
   * @param littleEndian Whether the least significant byte comes first. Default: `false`, network byte order.
   * @returns The integer.
   * @throws {MalformedFrameError} If the frame is too short.
   */
  bigInt(width: number, littleEndian: boolean = false): bigint {
    return BigInt.asIntN(width * 8, this.bigUint(width, littleEndian));
  }

  /**
   * Reads a floating-point number (IEEE 754).
   *
   * @param width How many bytes, 4 or 8.
   * @param littleEndian Whether the least significant byte comes first. Default: `false`, network byte order.
   * @returns The number.
   * @throws {MalformedFrameError} If the frame is too short.
   */
  float(width: 4 | 8, littleEndian: boolean = false): number {
    if (width !== 4 && width !== 8) throw new RangeError(`width must be 4 or 8, got ${width}`);
    return floatAt(this.#buffer, this.#take(width), width, littleEndian);
  }

  /**
   * Reads an unsigned integer that is a varint (LEB128: seven bits a byte, the lowest first).
   *
   * @param maxWidth The maximum size, in bytes, 1 to 10. Default: 10.
   * @returns The integer.
   * @throws {MalformedFrameError} If the frame is too short, does not end within `maxWidth` bytes, or exceeds 2^53 - 1:
   * {@linkcode bigVarint} reads that.
   */
  varint(maxWidth: number = MAX_VARINT): number {
    const at = this.#at;
    const size = this.#varintSize(maxWidth);
    let value = 0;
    for (let i = at + size - 1; i >= at; i--) value = value * 128 + (this.#buffer[i]! & 0x7f);
    return this.#exact(value, at);
  }

  /**
   * Reads an unsigned integer of up to 64 bits that is a varint.
   *
   * @param maxWidth The maximum size, in bytes, 1 to 10. Default: 10.
   * @returns The integer.
   * @throws {MalformedFrameError} If the frame is too short, does not end within `maxWidth` bytes, or exceeds 2^64 - 1.
   */
  bigVarint(maxWidth: number = MAX_VARINT): bigint {
    const at = this.#at;
    const size = this.#varintSize(maxWidth);
    let value = 0n;
    for (let i = at + size - 1; i >= at; i--) {
      value = value << 7n | BigInt(this.#buffer[i]! & 0x7f);
    }
    if (value < 2n ** 64n) return value;
    throw this.#malformed(`${value} exceeds 2^64 - 1`, at);
  }

  /**
   * Reads text.
   *
   * @param length How many bytes. Default: all that are left.
   * @returns The text.
   * @throws {MalformedFrameError} If there are fewer, or if they are not valid UTF-8 and `fatal` is set.
   */
  text(length: number = this.left): string {
    const at = this.#take(checkLength(length));
    return decodeUtf8(this.#buffer, at, this.#at, this.#fatal, this.#origin);
  }

  /**
   * Reads text up to a NUL, and skips the NUL.
   *
   * @returns The text.
   * @throws {MalformedFrameError} If there is no NUL, or if the bytes are not valid UTF-8 and `fatal` is set.
   */
  cstring(): string {
    const at = this.#at;
    const nul = indexOfByte(this.#buffer, 0, at, this.#end);
    if (nul < 0) throw this.#malformed("the text does not end with a NUL", at);
    this.#at = nul + 1;
    return decodeUtf8(this.#buffer, at, nul, this.#fatal, this.#origin);
  }

  /**
   * Reads bytes. From a frame, they are a view. From a decoder's input, they are copied and belong to the caller.
   *
   * @param length How many bytes. Default: all that are left.
   * @returns The bytes.
   * @throws {MalformedFrameError} If there are fewer.
   */
  bytes(length: number = this.left): Uint8Array {
    const at = this.#take(checkLength(length));
    const view = this.#buffer.subarray(at, this.#at);
    return this.#isLent ? new Uint8Array(view) : view;
  }

  /**
   * Skips bytes.
   *
   * @param length How many bytes.
   * @throws {MalformedFrameError} If there are fewer.
   */
  skip(length: number): void {
    this.#take(checkLength(length));
  }

  /**
   * Reads a length and skips as many bytes, which another cursor reads. Its offsets are relative to the frame.
   *
   * @param width How the length is written: in 1 to 8 bytes, or as a varint.
   * @param options What the length counts and how it is written.
   * @returns A cursor over the bytes that the length counts.
   * @throws {MalformedFrameError} If there are fewer, or if the length counts itself and is less than its own size.
   */
  prefixed(width: PrefixWidth, options: PrefixedOptions = NO_OPTIONS): Cursor {
    checkOptions(options, PREFIXED_OPTIONS);
    const { includesHeader = false, littleEndian = false, maxWidth } = options;
    const size = prefixSize(width, includesHeader, maxWidth);
    const at = this.#at;
    const value = width === "varint" ? this.varint(size) : this.uint(width, littleEndian);
    const length = value - (includesHeader ? size : 0);
    if (length < 0) {
      throw this.#malformed(`a length of ${value} is less than its own size of ${size}`, at);
    }
    if (length > this.left) {
      throw this.#malformed(`a length of ${value}, but ${this.left} bytes are left`, at);
    }
    const within = new Cursor(this.#buffer, { fatal: this.#fatal });
    within.#isLent = this.#isLent;
    within.#origin = this.#origin;
    within.#at = this.#take(length);
    within.#end = this.#at;
    return within;
  }

  /** Skips bytes, and returns where they begin. */
  #take(count: number): number {
    const at = this.#at;
    if (count < 0) throw this.#malformed(`a length of ${count} is negative`, at);
    if (count > this.#end - at) {
      throw this.#malformed(`expected ${count} bytes, but ${this.left} are left`, at);
    }
    this.#at = at + count;
    return at;
  }

  /** Skips a varint, and returns its size. */
  #varintSize(maxWidth: number): number {
    checkInteger("maxWidth", maxWidth, 1, MAX_VARINT);
    const at = this.#at;
    for (let size = 1; size <= maxWidth; size++) {
      if (at + size > this.#end) throw this.#malformed("the varint does not end", at);
      if (this.#buffer[at + size - 1]! >= 0x80) continue;
      this.#at = at + size;
      return size;
    }
    throw this.#malformed(`a varint must end within ${maxWidth} bytes`, at);
  }

  #exact(value: number, at: number): number {
    if (Number.isSafeInteger(value)) return value;
    throw this.#malformed("the integer is not within 2^53 - 1", at);
  }

  #malformed(problem: string, at: number): MalformedFrameError {
    this.#at = at;
    return new MalformedFrameError(problem, at - this.#origin);
  }
}

/** A negative length is allowed here: a peer may have sent it, so it is a malformed frame and not misuse. */
function checkLength(length: number): number {
  return checkInteger("length", length, -Infinity, Infinity);
}
