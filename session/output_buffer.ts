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
/**
 * Text of at least this many UTF-16 units is gathered as text, and then encoded at once. Of several lines, that takes 30 ns
 * each instead of 110, since V8 makes the text `${line}\n` of its parts only when its characters are read. Shorter text
 * never has parts.
 */
const MIN_GATHERED = 13;
/** How many units are gathered. */
export const MAX_GATHERED: number = 1024;
/** How many bytes of UTF-8 a UTF-16 unit takes at most. */
const MAX_UNIT = 3;

const encoder = new TextEncoder();

/** Bytes to write. If they were gathered here, `gathered` is their buffer, which can be used again. */
export interface Piece {
  readonly bytes: Uint8Array;
  readonly gathered: Uint8Array | undefined;
}

/** All outputs without a piece, or without a text, share them. */
const NO_PIECES: Piece[] = [];
const NO_TEXTS: string[] = [];

/** Gathers sends into a few pieces, in order. */
export class OutputBuffer implements FrameWriter {
  /** Whether a write is under way. If not, one will begin in this turn, so text can be gathered until then. */
  writing = false;
  /** Whether a piece refers to a caller's memory. It is set here and cleared by the output. */
  referenced = false;
  /** The pieces before the tail. */
  #pieces: Piece[] = NO_PIECES;
  #tail: Uint8Array | undefined;
  #tailLength = 0;
  /** The total number of bytes that were added, if each unit of the gathered text takes one byte. */
  #accepted = 0;
  /** Texts after the tail that are not encoded yet, and how many UTF-16 units they have in all. */
  #texts: string[] = NO_TEXTS;
  #textLength = 0;
  protected readonly pool: BufferPool;
  protected readonly budget: Budget;

  constructor(pool: BufferPool) {
    this.pool = pool;
    this.budget = pool.budget;
  }

  get isEmpty(): boolean {
    return this.#tailLength === 0 && this.#pieces.length === 0 && this.#textLength === 0;
  }

  /** The total number of bytes that were added. */
  get accepted(): number {
    this.encodeText();
    return this.#accepted;
  }

  /** The bounds of that number while text is gathered, which they leave as it is. */
  protected get acceptedAtLeast(): number {
    return this.#accepted;
  }

  protected get acceptedAtMost(): number {
    return this.#accepted + (MAX_UNIT - 1) * this.#textLength;
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
    this.#accepted -= gap;
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
    const { length } = text;
    if (length >= LARGE) return this.#push(encoder.encode(text));
    // The first text of a turn is often the only one.
    const isFirst = this.#textLength === 0 && (length < MIN_GATHERED || this.#tailLength === 0);
    if (isFirst || this.writing || length > MAX_GATHERED) return this.#addEncoded(text);
    if (this.#textLength + length > MAX_GATHERED) this.encodeText();
    if (this.#textLength > 0) this.#texts.push(text);
    else this.#texts = [text];
    this.#textLength += length;
    this.#accepted += length;
  }

  /** Encodes the gathered texts. */
  protected encodeText(): void {
    if (this.#textLength === 0) return;
    const texts = this.#texts;
    this.#accepted -= this.#textLength;
    this.#texts = NO_TEXTS;
    this.#textLength = 0;
    const text = texts.join("");
    if (!joinsSurrogates(texts, text)) return this.#addEncoded(text);
    for (const each of texts) this.#addEncoded(each);
  }

  #addEncoded(text: string): void {
    let written = writeAscii(text, this.#reserve(text.length), this.#tailLength);
    if (written < 0) {
      const buffer = this.#reserve(text.length * MAX_UNIT);
      written = encoder.encodeInto(text, buffer.subarray(this.#tailLength)).written;
    }
    this.#grew(written);
  }

  /** Encodes a message. If the codec throws, nothing is added. */
  addFrame<Message>(codec: Pick<Codec<unknown, Message>, "encode">, message: Message): void {
    const accepted = this.#accepted;
    const texts = this.#texts;
    const textCount = texts.length;
    const textLength = this.#textLength;
    const { length } = this.#pieces;
    const tailLength = this.#tailLength;
    try {
      codec.encode(message, this);
      this.checkOpen();
    } catch (error) {
      this.#truncate(length, tailLength);
      this.#accepted = accepted;
      texts.length = textCount;
      this.#texts = texts;
      this.#textLength = textLength;
      this.referenced = false;
      throw error;
    }
  }

  /** Drops what was added after the first pieces and the first bytes of the tail that followed them. */
  #truncate(length: number, tailLength: number): void {
    const tail = tailLength === 0 ? undefined : this.#bufferOf(length);
    for (const piece of this.#pieces.splice(length)) {
      if (tail === undefined || piece.gathered !== tail) this.#drop(piece);
    }
    if (this.#tail !== undefined && this.#tail !== tail) this.pool.drop(this.#tail);
    this.#tail = tail;
    this.#tailLength = tail === undefined ? 0 : tailLength;
  }

  /** Throws if the output was closed while a codec encoded. */
  protected checkOpen(): void {}

  /** Removes and returns the first piece. The buffer must not be empty. */
  take(): Piece {
    this.encodeText();
    if (this.#pieces.length > 0) return this.#pieces.shift()!;
    const gathered = this.#tail!;
    const bytes = this.pool.first(gathered, this.#tailLength);
    this.#tail = undefined;
    this.#tailLength = 0;
    return { bytes, gathered };
  }

  /** Ends the current piece: what is added next begins a new one. */
  seal(): void {
    this.encodeText();
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
    this.#texts = NO_TEXTS;
    this.#textLength = 0;
    this.#truncate(0, 0);
  }

  /** Drops a piece that is not used any more. */
  #drop({ bytes, gathered }: Piece): void {
    if (gathered === undefined) this.budget.change(-bytes.length);
    else this.pool.drop(gathered);
  }

  #grew(count: number): void {
    this.#tailLength += count;
    this.#accepted += count;
  }

  /** Returns the tail, after all that was added so far, with room for `count` more bytes. */
  #reserve(count: number): Uint8Array {
    this.encodeText();
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
    this.#accepted += bytes.length;
    this.budget.change(bytes.length);
  }
}

/** How many bytes of memory a piece holds: its whole buffer, or the bytes that are sent from a caller's memory. */
function sizeOf({ bytes, gathered }: Piece): number {
  return (gathered ?? bytes).length;
}

/** Whether a text begins in the middle of a character, so that it could become one with the text before it. */
function joinsSurrogates(texts: readonly string[], joined: string): boolean {
  let at = 0;
  for (const { length } of texts) {
    const isLow = (joined.charCodeAt(at) & 0xfc00) === 0xdc00;
    if (isLow && at > 0) return true;
    at += length;
  }
  return false;
}

function checkVarint(value: number | bigint, maxWidth: number): void {
  checkInteger("maxWidth", maxWidth, 1, MAX_VARINT);
  if (fits(value, 8, false) && varintSize(value) <= maxWidth) return;
  throw new RangeError(`a varint of ${maxWidth} bytes cannot hold ${value}`);
}
