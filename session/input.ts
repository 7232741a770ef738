import type { DecoderInput } from "../codecs/codec.ts";
import { FrameTooLargeError } from "../errors.ts";
import { free } from "../_internal/free.ts";
import type { AheadInput, TextAhead } from "../_internal/text_ahead.ts";
import { decodeAscii } from "../_internal/utf8.ts";
import { Budget } from "./budget.ts";
import { SMALL, SmallFrames } from "./small_frames.ts";

/** The largest read. Each read that fills its buffer makes the next one larger. */
const MAX_READ = 64 * 1024;
/** The largest read for a reading that borrows: with half as many reads, a relay takes 0.88 × the CPU time. */
const MAX_LENT_READ = 128 * 1024;
/** The largest read while memory is tight. */
const TIGHT_READ = 4 * 1024;
/** By which factor buffers grow while memory is tight. Otherwise they double. */
const TIGHT_GROWTH = 1.25;
/** Frames of at least this size get the buffer itself instead of a copy. */
const HAND_OVER = 16 * 1024;
/** How many bytes are decoded ahead, at most. V8 keeps all of that text while any line of at least 13 characters is kept. */
const MAX_AHEAD = 1024;
/** The smallest buffer for bytes that were lent. */
const MIN_BUFFER = 256;
/** The buffer before the first read. All inputs can share it, since it is empty. */
const NONE = new Uint8Array(0);
/** After this many reads in a row that fill less than a quarter, the next ones are smaller. */
const SMALL_READS = 8;

/**
 * The unread bytes of a session, and the memory for the next read.
 *
 * Memory grows with the bytes that were received, never with a length that a peer claims.
 */
export class InputBuffer implements DecoderInput, AheadInput {
  buffer: Uint8Array = NONE;
  start = 0;
  end = 0;
  /** Set by `need()`: the decoder is called again once this many bytes are unread. */
  needed = 0;
  /** The most unread bytes that the current decoder allows; `undefined` for no limit. */
  cap: number | undefined;
  /** Whether the current reading borrows what it gets. */
  isBorrowed = false;
  readonly #minRead: number;
  #budget: Budget | undefined;
  #readSize: number;
  #smallReads = 0;
  /** The memory that the outstanding read fills. It can be neither handed over nor freed. */
  #reading: Uint8Array | undefined;
  /** Whether the buffer is what the last read brought, and not larger. */
  #isGiven = false;
  /** Whether the buffer belongs to another, and has to be given back with `keep()`. */
  #isForeign = false;
  #small: SmallFrames | undefined;
  #ahead: TextAhead | undefined;

  constructor(minRead: number, budget: Budget = new Budget()) {
    this.#minRead = minRead;
    this.#readSize = minRead;
    this.#budget = budget;
  }

  get unread(): number {
    return this.end - this.start;
  }

  /** How many bytes of memory it holds. */
  get size(): number {
    return this.#isForeign ? 0 : this.buffer.length;
  }

  consume(count: number): void {
    if (!(count >= 0 && count <= this.end - this.start)) throw this.#tooFew(count);
    this.start += count;
  }

  need(total: number): void {
    const { cap = Infinity } = this;
    if (!(total <= cap)) throw new FrameTooLargeError(cap, total);
    this.needed = total;
  }

  take(count: number): Uint8Array {
    const { buffer, start, end } = this;
    if (!(count >= 0 && count <= end - start)) throw this.#tooFew(count);
    if (this.#isGiven && count === buffer.length) {
      this.#forget();
      this.start = this.end = 0;
      this.#hold(NONE);
      return buffer;
    }
    if (count <= SMALL) {
      this.start += count;
      return (this.#small ??= new SmallFrames()).take(buffer, start, end, count);
    }
    if (count < HAND_OVER || count * 2 < buffer.length || this.#reading?.buffer === buffer.buffer) {
      this.start += count;
      return buffer.slice(start, start + count);
    }
    this.#forget();
    this.start = this.end = 0;
    this.#hold(new Uint8Array(Math.max(this.readSize, end - start - count)));
    this.#append(buffer.subarray(start + count, end));
    return buffer.subarray(start, start + count);
  }

  textAhead(least: number): TextAhead | undefined {
    const { start, end } = this;
    const ahead = this.#ahead;
    if (ahead !== undefined && start < ahead.end) return ahead;
    if (end - start < least) return;
    const stop = Math.min(end, start + MAX_AHEAD);
    return this.#ahead = { text: decodeAscii(this.buffer, start, stop), start, end: stop };
  }

  /** Bytes of the buffer are about to move or to be replaced. */
  #forget(): void {
    this.#small?.forget();
    this.#ahead = undefined;
  }

  /** Drops the memory for small frames, if there were none since the last call, and the text that was decoded ahead. */
  shrink(): void {
    this.#ahead = undefined;
    if (this.#small?.isIdle()) this.#small = undefined;
  }

  /** How large the buffer becomes once the current frame is complete, or has doubled if its length is unknown. */
  get demand(): number {
    const { needed, unread } = this;
    return (needed > unread ? needed : unread * 2) + this.#maxRead;
  }

  /** Puts bytes back before the unread ones. It copies them, unless they are the same bytes at the same place. */
  unshift(bytes: Uint8Array): void {
    this.#forget();
    const at = this.start - bytes.length;
    const isThere = bytes.buffer === this.buffer.buffer &&
      bytes.byteOffset === this.buffer.byteOffset + at;
    if (isThere && at >= 0) { // any other bytes before them may be lent
      this.start = at;
      return;
    }
    const unread = this.buffer.subarray(this.start, this.end);
    this.#reading = undefined;
    this.#hold(new Uint8Array(bytes.length + unread.length + this.#readSize));
    this.buffer.set(bytes);
    this.buffer.set(unread, bytes.length);
    this.start = 0;
    this.end = bytes.length + unread.length;
  }

  /** The best size of the next read. */
  get readSize(): number {
    const max = this.#budget?.isTight ? Math.max(TIGHT_READ, this.#minRead) : this.#maxRead;
    return Math.min(this.#readSize, max);
  }

  get #maxRead(): number {
    return this.isBorrowed ? MAX_LENT_READ : MAX_READ;
  }

  /**
   * Copies bytes that are lent to it. If they are given to it and nothing else is unread, it holds them instead.
   *
   * @param size The size of the read that brought them.
   * @param isLent Whether bytes before the unread ones may be lent to a reading, so they must stay in place.
   */
  accept(bytes: Uint8Array, size: number, isLent: boolean, isGiven = false): void {
    const count = bytes.length;
    this.#forget();
    this.#learn(count, size);
    if (this.start === this.end) {
      this.start = this.end = 0;
      if (isGiven) {
        // To free a small one takes 0.1 µs on Bun, which makes its ArrayBuffer only then.
        this.#replace(plain(bytes), isLent || this.#isGiven && this.buffer.length <= SMALL);
        this.#isGiven = true;
        this.end = count;
        return;
      }
      if (isLent || this.buffer.length < count) {
        this.#replace(new Uint8Array(Math.max(MIN_BUFFER, count)), isLent);
      }
    }
    this.#append(bytes, isLent);
  }

  /**
   * Holds bytes that are valid until `keep()`, if it has no memory of its own. A decoder that copies what it returns then
   * decodes them where they are.
   *
   * @param size The size of the read that brought them.
   * @returns Whether it holds them.
   */
  lend(bytes: Uint8Array, size: number): boolean {
    if (this.buffer.length > 0) return false;
    this.#forget();
    this.#learn(bytes.length, size);
    this.#isGiven = false; // as the memory before may have been, which somebody has transferred
    this.buffer = plain(bytes);
    this.start = 0;
    this.end = bytes.length;
    return this.#isForeign = true;
  }

  /** Copies what is still unread of the bytes of `lend()`, which it must not hold any longer. */
  keep(): void {
    if (!this.#isForeign) return;
    const { buffer, start, end } = this;
    this.#isForeign = false;
    this.buffer = NONE;
    this.start = this.end = 0;
    if (start === end) return;
    this.#forget();
    this.#hold(new Uint8Array(Math.max(MIN_BUFFER, end - start)));
    this.#append(buffer.subarray(start, end));
  }

  /** Drops the memory, if nothing is unread. No bytes of it may be lent any more. */
  release(): void {
    if (this.start === this.end) this.clear(false);
  }

  /**
   * Drops all bytes and the memory.
   *
   * @param isLent Whether bytes of it may be lent to a reading, so that it cannot be freed yet.
   */
  clear(isLent = true): void {
    this.#replace(NONE, isLent);
    if (isLent) this.#reading = undefined;
    this.start = this.end = 0;
    this.#forget();
  }

  /** The outstanding read has ended, and what it has brought is dropped. So is its memory, if only `clear()` had to spare it. */
  abandon(): void {
    const reading = this.#reading;
    this.#reading = undefined;
    if (reading !== undefined && reading !== this.buffer) this.#free(reading);
  }

  /** Takes the remaining memory out of the budget, because the session has ended. Its user may still keep it. */
  leave(): void {
    this.#budget?.change(-this.size);
    this.#budget = undefined;
  }

  /**
   * Returns memory for one read, after the unread bytes. It stays valid whatever happens to the buffer meanwhile:
   * `commit()` checks whether it is still a part of the buffer.
   *
   * @param limit The most bytes that the read may bring; the default depends on the last reads.
   */
  room(limit: number = this.readSize): Uint8Array {
    this.#forget();
    const unread = this.end - this.start;
    if (unread === 0) {
      this.start = this.end = 0;
      if (this.buffer.length < limit || this.buffer.length > limit * 2) {
        this.#replace(new Uint8Array(limit), false);
      }
      this.#reading = this.buffer;
      return this.buffer.length === limit ? this.buffer : this.buffer.subarray(0, limit);
    }
    if (this.buffer.length - this.end < limit) this.#makeRoom(unread, limit);
    this.#reading = this.buffer;
    return this.buffer.subarray(this.end, this.end + limit);
  }

  /** Counts the bytes that a read brought into `room` as unread, and adjusts the size of reads. */
  commit(room: Uint8Array, count: number): void {
    this.#reading = undefined;
    const inPlace = room.buffer === this.buffer.buffer &&
      room.byteOffset === this.buffer.byteOffset + this.end;
    if (inPlace) {
      this.end += count;
    } else if (this.end === this.start) {
      this.#forget();
      this.#hold(room);
      this.start = 0;
      this.end = count;
    } else {
      this.#append(room.subarray(0, count), true);
    }
    this.#learn(count, room.length);
  }

  /** Adjusts the size of reads, after a read of `size` has brought `count` bytes. */
  #learn(count: number, size: number): void {
    if (count === size) {
      this.#smallReads = 0;
      if (count >= this.#readSize) {
        this.#readSize = Math.max(this.#readSize, Math.min(this.#readSize * 4, this.#maxRead));
      }
    } else if (
      this.#readSize > this.#minRead && count * 4 < this.#readSize &&
      ++this.#smallReads >= SMALL_READS
    ) {
      this.#smallReads = 0;
      this.#readSize = Math.max(this.#readSize / 4, this.#minRead);
    }
  }

  #append(bytes: Uint8Array, isLent = false): void {
    if (bytes.length === 0) return;
    if (this.buffer.length - this.end < bytes.length) {
      this.#makeRoom(this.end - this.start, bytes.length, isLent);
    }
    this.buffer.set(bytes, this.end);
    this.end += bytes.length;
  }

  /** Moves or grows the buffer so that `count` bytes fit after the unread ones. The cost is proportional to the input. */
  #makeRoom(unread: number, count: number, isLent = false): void {
    const { buffer, start, end } = this;
    this.#forget();
    if (!isLent && start >= unread && buffer.length - unread >= count) {
      buffer.copyWithin(0, start, end);
    } else {
      const { needed } = this;
      const useful = needed > unread ? needed : Math.min(this.cap ?? Infinity, buffer.length * 2);
      const grown = Math.floor(buffer.length * (this.#budget?.isTight ? TIGHT_GROWTH : 2));
      const larger = new Uint8Array(Math.max(unread + count, Math.min(grown, useful + MAX_READ)));
      larger.set(buffer.subarray(start, end));
      this.#replace(larger, isLent);
    }
    this.start = 0;
    this.end = unread;
  }

  /** Holds another buffer, and frees the old one unless bytes of it may be lent. */
  #replace(buffer: Uint8Array, isLent: boolean): void {
    const old = this.#isForeign ? NONE : this.buffer;
    this.#hold(buffer);
    if (!isLent) this.#free(old);
  }

  /** Frees memory that is not held any more, unless the outstanding read fills it. */
  #free(buffer: Uint8Array): void {
    if (buffer.buffer !== this.#reading?.buffer) free(buffer);
  }

  #hold(buffer: Uint8Array): void {
    this.#budget?.change(buffer.length - this.size);
    this.buffer = buffer;
    this.#isGiven = this.#isForeign = false;
  }

  #tooFew(count: number): RangeError {
    return new RangeError(`cannot consume ${count} bytes: ${this.end - this.start} are unread`);
  }
}

/** The same memory as a plain `Uint8Array`: `slice()` of a `Buffer`, as the sockets of `node:net` lend it, copies nothing. */
function plain(bytes: Uint8Array): Uint8Array {
  if (bytes.constructor === Uint8Array) return bytes;
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
}
