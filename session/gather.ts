import type { Codec, FrameWriter } from "../codecs/codec.ts";
import { checkBytes, checkInteger, shown } from "../_internal/checks.ts";
import type { BufferPool } from "./buffer_pool.ts";
import { writeAscii } from "../_internal/utf8.ts";

/** From this size on, bytes are written from the caller's memory and not copied. */
export const LARGE: number = 16 * 1024;
/** The most that gathered output grows to in one piece. */
const MAX_GATHER = 64 * 1024;

const encoder = new TextEncoder();

/** How many values so many bytes have. */
const LIMITS = Array.from({ length: 9 }, (_, width) => 256 ** width);

/** Bytes on their way out. Those that were gathered here have a buffer that can be used again. */
export interface Piece {
  readonly bytes: Uint8Array;
  readonly gathered: Uint8Array | undefined;
}

/** Gathers what is sent into few, ordered pieces. */
export class Gather implements FrameWriter {
  /** Bytes that were ever gathered. */
  accepted = 0;
  /** Whether, since this was last set to false, memory of a caller was taken in. */
  referenced = false;
  /** What stands before the tail. */
  #pieces: Piece[] = [];
  #tail: Uint8Array | undefined;
  #tailLength = 0;
  readonly #pool: BufferPool;

  constructor(pool: BufferPool) {
    this.#pool = pool;
  }

  get isEmpty(): boolean {
    return this.#tailLength === 0 && this.#pieces.length === 0;
  }

  bytes(data: Uint8Array): void {
    this.add(checkBytes("bytes of a frame", data));
  }

  text(text: string): void {
    if (typeof text !== "string") {
      throw new TypeError(`text of a frame must be a string, got ${shown(text)}`);
    }
    this.addText(text);
  }

  uint(value: number | bigint, width: number, littleEndian = false): void {
    checkInteger("width", width, 1, 8);
    if (!fits(value, width)) {
      throw new RangeError(`an unsigned integer of ${width} bytes cannot hold ${value}`);
    }
    const buffer = this.#reserve(width);
    const step = littleEndian ? 1 : -1;
    let at = this.#tailLength + (littleEndian ? 0 : width - 1);
    if (typeof value === "bigint") {
      for (let rest = value, i = 0; i < width; i++, at += step, rest >>= 8n) {
        buffer[at] = Number(rest & 0xffn);
      }
    } else {
      // In two halves of 32 bits, whose bytes a shift finds: a division takes 5 ns.
      for (let rest = value | 0, i = 0; i < width && i < 4; i++, at += step, rest >>= 8) {
        buffer[at] = rest;
      }
      for (let rest = value / 2 ** 32 | 0, i = 4; i < width; i++, at += step, rest >>= 8) {
        buffer[at] = rest;
      }
    }
    this.#grew(width);
  }

  add(data: Uint8Array): void {
    if (data.length >= LARGE) {
      this.referenced = true;
      return this.#push(data);
    }
    this.#reserve(data.length).set(data, this.#tailLength);
    this.#grew(data.length);
  }

  /** Adds bytes that nobody ever changes. Few of them are copied where that saves a write. */
  addShared(bytes: Uint8Array): void {
    const { length } = bytes;
    if (length < LARGE && (length === 0 || !this.isEmpty)) return this.add(bytes);
    this.#push(bytes);
  }

  addText(text: string): void {
    if (text.length >= LARGE) return this.#push(encoder.encode(text));
    let written = writeAscii(text, this.#reserve(text.length), this.#tailLength);
    if (written < 0) {
      const buffer = this.#reserve(text.length * 3); // UTF-8 takes at most three bytes for each UTF-16 unit
      written = encoder.encodeInto(text, buffer.subarray(this.#tailLength)).written;
    }
    this.#grew(written);
  }

  /** Adds what a codec makes of a message, all of it or, if it throws, nothing. */
  addFrame<Message>(codec: Pick<Codec<unknown, Message>, "encode">, message: Message): void {
    const { accepted } = this;
    const { length } = this.#pieces;
    const tail = this.#tail;
    const tailLength = this.#tailLength;
    try {
      codec.encode(message, this);
      this.checkOpen();
    } catch (error) {
      this.accepted = accepted;
      this.#pieces.length = length;
      this.#tail = tail;
      this.#tailLength = tailLength;
      this.referenced = false;
      throw error;
    }
  }

  /** Throws if a codec has ended the output meanwhile. */
  protected checkOpen(): void {}

  /** Takes out the first piece; there must be something. */
  take(): Piece {
    if (this.#pieces.length > 0) return this.#pieces.shift()!;
    const gathered = this.#tail!;
    const bytes = gathered.subarray(0, this.#tailLength);
    this.#tail = undefined;
    this.#tailLength = 0;
    return { bytes, gathered };
  }

  /** Lets what is gathered next begin a piece of its own. */
  seal(): void {
    const tail = this.#tail;
    if (tail === undefined || this.#tailLength === 0) return;
    this.#pieces.push({ bytes: tail.subarray(0, this.#tailLength), gathered: tail });
    this.#tail = undefined;
    this.#tailLength = 0;
  }

  /** Drops all that is gathered. */
  clear(): void {
    this.#pieces = [];
    this.#tail = undefined;
    this.#tailLength = 0;
  }

  #grew(count: number): void {
    this.#tailLength += count;
    this.accepted += count;
  }

  /** Memory behind the tail for so many more bytes. */
  #reserve(count: number): Uint8Array {
    const tail = this.#tail;
    if (tail !== undefined && tail.length - this.#tailLength >= count) return tail;
    return this.#tail = tail === undefined ? this.#pool.take(count) : this.#enlarge(tail, count);
  }

  #enlarge(tail: Uint8Array, count: number): Uint8Array {
    const needed = this.#tailLength + count;
    if (needed > MAX_GATHER) {
      this.seal();
      return new Uint8Array(MAX_GATHER);
    }
    const grown = new Uint8Array(Math.min(MAX_GATHER, Math.max(needed, tail.length * 2)));
    grown.set(tail.subarray(0, this.#tailLength));
    return grown;
  }

  /** Adds a piece that is not copied. */
  #push(bytes: Uint8Array): void {
    this.seal();
    this.#pieces.push({ bytes, gathered: undefined });
    this.accepted += bytes.length;
  }
}

function fits(value: number | bigint, width: number): boolean {
  if (value < 0) return false;
  if (typeof value === "bigint") return value < 1n << BigInt(width * 8);
  return Number.isSafeInteger(value) && value < LIMITS[width]!;
}
