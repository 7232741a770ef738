import { checkOptions, NO_OPTIONS } from "../_internal/options.ts";
import type { Codec, FrameWriter, PrefixedOptions, PrefixWidth } from "../codecs/codec.ts";
import { PREFIXED_OPTIONS, prefixSize } from "../codecs/prefix.ts";
import {
  fits,
  MAX_VARINT,
  putFloat,
  putInteger,
  putVarint,
  varintSize,
} from "../_internal/numbers.ts";
import { checkBytes, checkInteger, shown } from "../_internal/checks.ts";
import { free } from "../_internal/free.ts";
import type { Budget } from "./budget.ts";
import type { BufferPool } from "./buffer_pool.ts";
import { writeAscii } from "../_internal/utf8.ts";

/** Sends of at least this size are written from the caller's memory and not copied. */
export const LARGE: number = 16 * 1024;
/** The largest piece in which small sends are gathered. */
const MAX_PIECE = 64 * 1024;

const encoder = new TextEncoder();

/** Bytes to write. If they were gathered here, `gathered` is their buffer, which can be used again. */
export interface Piece {
  readonly bytes: Uint8Array;
  readonly gathered: Uint8Array | undefined;
}

/** All outputs without a piece share it. */
const NO_PIECES: Piece[] = [];

/** Gathers sends into a few pieces, in order. */
export class OutputBuffer implements FrameWriter {
  /** The total number of bytes that were added. */
  accepted = 0;
  /** Whether a piece refers to a caller's memory. It is set here and cleared by the output. */
  referenced = false;
  /** The pieces before the tail. */
  #pieces: Piece[] = NO_PIECES;
  #tail: Uint8Array | undefined;
  #tailLength = 0;
  protected readonly pool: BufferPool;
  protected readonly budget: Budget;

  constructor(pool: BufferPool) {
    this.pool = pool;
    this.budget = pool.budget;
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

  cstring(text: string): void {
    this.text(text);
    if (text.includes("\0")) throw new TypeError("text that ends with a NUL must not contain one");
    this.uint(0, 1);
  }

  uint(value: number | bigint, width: number, littleEndian = false): void {
    checkInteger("width", width, 1, 8);
    if (!fits(value, width, false)) {
      throw new RangeError(`an unsigned integer of ${width} bytes cannot hold ${value}`);
    }
    this.#integer(value, width, littleEndian);
  }

  int(value: number | bigint, width: number, littleEndian = false): void {
    checkInteger("width", width, 1, 8);
    if (!fits(value, width, true)) {
      throw new RangeError(`a signed integer of ${width} bytes cannot hold ${value}`);
    }
    this.#integer(value, width, littleEndian);
  }

  #integer(value: number | bigint, width: number, littleEndian: boolean): void {
    const buffer = this.#reserve(width);
    putInteger(buffer, this.#tailLength, value, width, littleEndian);
    this.#grew(width);
  }

  float(value: number, width: 4 | 8, littleEndian = false): void {
    if (width !== 4 && width !== 8) throw new RangeError(`width must be 4 or 8, got ${width}`);
    if (typeof value !== "number") {
      throw new TypeError(`a float must be a number, got ${shown(value)}`);
    }
    const buffer = this.#reserve(width);
    putFloat(buffer, this.#tailLength, value, width, littleEndian);
    this.#grew(width);
  }

  varint(value: number | bigint, maxWidth: number = MAX_VARINT): void {
    checkVarint(value, maxWidth);
    const buffer = this.#reserve(maxWidth);
    this.#grew(putVarint(buffer, this.#tailLength, value));
  }

  prefixed(
    width: PrefixWidth,
    write: (out: FrameWriter) => void,
    options: PrefixedOptions = NO_OPTIONS,
  ): void {
    checkOptions(options, PREFIXED_OPTIONS);
    const { includesHeader = false, littleEndian = false, maxWidth } = options;
    const size = prefixSize(width, includesHeader, maxWidth);
    this.#reserve(size);
    const piece = this.#pieces.length;
    const at = this.#tailLength;
    this.#grew(size);
    const before = this.accepted;
    write(this);
    const length = this.accepted - before;
    if (width === "varint") {
      checkVarint(length, size);
      this.#closeGap(piece, at, size, length);
    } else {
      const value = length + (includesHeader ? size : 0);
      if (!fits(value, size, false)) {
        throw new RangeError(`a length of ${size} bytes cannot hold ${value}`);
      }
      putInteger(this.#bufferOf(piece)!, at, value, size, littleEndian);
    }
  }

  /** Returns the memory of a piece, which may have grown or been sealed since it was the tail. */
  #bufferOf(piece: number): Uint8Array | undefined {
    return this.#pieces[piece]?.gathered ?? this.#tail;
  }

  /** Writes a varint into the bytes reserved for it, and closes the gap if it needs fewer. */
  #closeGap(piece: number, at: number, size: number, length: number): void {
    const buffer = this.#bufferOf(piece)!;
    const gap = size - putVarint(buffer, at, length);
    if (gap === 0) return;
    const sealed = this.#pieces[piece];
    const end = sealed?.bytes.length ?? this.#tailLength;
    buffer.copyWithin(at + size - gap, at + size, end);
    if (sealed === undefined) this.#tailLength -= gap;
    else this.#pieces[piece] = { bytes: buffer.subarray(0, end - gap), gathered: buffer };
    this.accepted -= gap;
  }

  add(data: Uint8Array): void {
    if (data.length >= LARGE) {
      this.referenced = true;
      return this.#push(data);
    }
    this.#reserve(data.length).set(data, this.#tailLength);
    this.#grew(data.length);
  }

  /** Adds bytes that never change. A small piece is copied if that saves a write. */
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

  /** Encodes a message. If the codec throws, nothing is added. */
  addFrame<Message>(codec: Pick<Codec<unknown, Message>, "encode">, message: Message): void {
    const { accepted } = this;
    const { length } = this.#pieces;
    const tailLength = this.#tailLength;
    try {
      codec.encode(message, this);
      this.checkOpen();
    } catch (error) {
      this.accepted = accepted;
      this.#truncate(length, tailLength);
      this.referenced = false;
      throw error;
    }
  }

  /** Drops what was added after the first pieces and the first bytes of the tail that followed them. */
  #truncate(length: number, tailLength: number): void {
    const tail = tailLength === 0 ? undefined : this.#bufferOf(length);
    for (const piece of this.#pieces.splice(length)) {
      if (tail === undefined || piece.gathered !== tail) this.drop(piece);
    }
    if (this.#tail !== undefined && this.#tail !== tail) this.pool.drop(this.#tail);
    this.#tail = tail;
    this.#tailLength = tail === undefined ? 0 : tailLength;
  }

  /** Throws if the output was closed while a codec encoded. */
  protected checkOpen(): void {}

  /** Removes and returns the first piece. The buffer must not be empty. */
  take(): Piece {
    if (this.#pieces.length > 0) return this.#pieces.shift()!;
    const gathered = this.#tail!;
    const bytes = gathered.subarray(0, this.#tailLength);
    this.#tail = undefined;
    this.#tailLength = 0;
    return { bytes, gathered };
  }

  /** Ends the current piece: what is added next begins a new one. */
  seal(): void {
    const tail = this.#tail;
    if (tail === undefined || this.#tailLength === 0) return;
    this.#addPiece({ bytes: tail.subarray(0, this.#tailLength), gathered: tail });
    this.#tail = undefined;
    this.#tailLength = 0;
  }

  /** How many bytes of memory are held, as the budget counts them. */
  get size(): number {
    const tail = this.#tail?.length ?? 0;
    return this.#pieces.reduce((all, piece) => all + sizeOf(piece), tail);
  }

  /** Calls `show` with all callers' memory that is held. Other outputs may hold the same memory. */
  showReferenced(show: (bytes: Uint8Array) => void): void {
    for (const { bytes, gathered } of this.#pieces) if (gathered === undefined) show(bytes);
  }

  /** Drops all pieces. */
  clear(): void {
    this.#truncate(0, 0);
  }

  /** Drops a piece that is not used any more. */
  protected drop({ bytes, gathered }: Piece): void {
    if (gathered === undefined) this.budget.change(-bytes.length);
    else this.pool.drop(gathered);
  }

  #grew(count: number): void {
    this.#tailLength += count;
    this.accepted += count;
  }

  /** Returns the tail with room for `count` more bytes. */
  #reserve(count: number): Uint8Array {
    const tail = this.#tail;
    if (tail !== undefined && tail.length - this.#tailLength >= count) return tail;
    return this.#tail = tail === undefined ? this.pool.take(count) : this.#enlarge(tail, count);
  }

  #enlarge(tail: Uint8Array, count: number): Uint8Array {
    const needed = this.#tailLength + count;
    if (needed > MAX_PIECE) {
      this.seal();
      this.budget.change(MAX_PIECE);
      return new Uint8Array(MAX_PIECE);
    }
    const grown = new Uint8Array(Math.min(MAX_PIECE, Math.max(needed, tail.length * 2)));
    this.budget.change(grown.length - tail.length);
    grown.set(tail.subarray(0, this.#tailLength));
    free(tail);
    return grown;
  }

  #addPiece(piece: Piece): void {
    if (this.#pieces.length > 0) this.#pieces.push(piece);
    else this.#pieces = [piece];
  }

  /** Adds a piece that is not copied. */
  #push(bytes: Uint8Array): void {
    this.seal();
    this.#addPiece({ bytes, gathered: undefined });
    this.accepted += bytes.length;
    this.budget.change(bytes.length);
  }
}

/** How many bytes of memory a piece holds: its whole buffer, or the bytes that are sent from a caller's memory. */
export function sizeOf({ bytes, gathered }: Piece): number {
  return (gathered ?? bytes).length;
}

function checkVarint(value: number | bigint, maxWidth: number): void {
  checkInteger("maxWidth", maxWidth, 1, MAX_VARINT);
  if (fits(value, 8, false) && varintSize(value) <= maxWidth) return;
  throw new RangeError(`a varint of ${maxWidth} bytes cannot hold ${value}`);
}
