import type { DecoderInput } from "../codecs/codec.ts";
import { FrameTooLargeError } from "../errors.ts";
import { Budget } from "./budget.ts";

/** Reads grow up to this size while they come back full. */
const MAX_READ = 64 * 1024;
/** The same while memory is tight. */
const TIGHT_READ = 4 * 1024;
/** From this size on, bytes are given away with their memory and not copied. */
const HAND_OVER = 16 * 1024;
/** Up to this size, bytes that are given away share memory, in pieces of the second size to the third. */
const SMALL = 1024;
const MIN_SHARED = 512;
const MAX_SHARED = 4096;
/** Memory for bytes that were lent is at least so large. */
const MIN_BUFFER = 256;
/** What an input holds that has not read yet: the same for all, since nothing fits in. */
const NONE = new Uint8Array(0);
/** Where nothing ends, not even what is empty. */
const NOWHERE = -1;
/** So many reads in a row that fill less than a quarter make the next ones smaller. */
const SMALL_READS = 8;

/**
 * The unread bytes of a session, and the memory that the next read fills.
 *
 * Memory grows with the bytes that came and never with a length that a peer claims.
 */
export class InputBuffer implements DecoderInput {
  buffer: Uint8Array = NONE;
  start = 0;
  end = 0;
  /** Set by `need()`: below so many unread bytes the decoder is not called. */
  needed = 0;
  /** The most unread bytes that the present decoder allows. */
  cap: number = Infinity;
  readonly #minRead: number;
  #budget: Budget | undefined;
  #readSize: number;
  #smallReads = 0;
  /** The memory that the outstanding read fills: it cannot be given away. */
  #reading: ArrayBufferLike | undefined;
  /** Memory of which small frames are given a part each, and how much of it is taken. */
  #shared: Uint8Array = NONE;
  #sharedLength = 0;
  /** Up to where in `buffer` unread bytes stand in the shared memory already, and how much further back they do. */
  #sharedEnd = NOWHERE;
  #shift = 0;
  #sharedSeen = 0;

  constructor(minRead: number, budget: Budget = new Budget()) {
    this.#minRead = minRead;
    this.#readSize = minRead;
    this.#budget = budget;
  }

  get unread(): number {
    return this.end - this.start;
  }

  consume(count: number): void {
    if (!(count >= 0 && count <= this.end - this.start)) throw this.#tooFew(count);
    this.start += count;
  }

  need(total: number): void {
    if (!(total <= this.cap)) throw new FrameTooLargeError(this.cap, total);
    this.needed = total;
  }

  take(count: number): Uint8Array {
    const { buffer, start, end } = this;
    if (!(count >= 0 && count <= end - start)) throw this.#tooFew(count);
    if (count <= SMALL) return this.#share(count);
    if (count < HAND_OVER || count * 2 < buffer.length || this.#reading === buffer.buffer) {
      this.start += count;
      return buffer.slice(start, start + count);
    }
    this.#sharedEnd = NOWHERE;
    this.start = this.end = 0;
    this.#hold(new Uint8Array(Math.max(this.readSize, end - start - count)));
    this.#append(buffer.subarray(start + count, end));
    return buffer.subarray(start, start + count);
  }

  /** Gives back the memory that the next small frames would share, if there were none since the last time. */
  shrink(): void {
    if (this.#sharedLength === this.#sharedSeen) this.#shared = NONE;
    this.#sharedSeen = this.#sharedLength;
  }

  /** How large the buffer becomes if what has begun comes to its end, or to twice what there is of that. */
  get demand(): number {
    const { needed, unread } = this;
    return (needed > unread ? needed : unread * 2) + MAX_READ;
  }

  /** Puts bytes back in front of the unread ones: copied, unless they are the very bytes that stand there. */
  unshift(bytes: Uint8Array): void {
    this.#sharedEnd = NOWHERE;
    const at = this.start - bytes.length;
    const isThere = bytes.buffer === this.buffer.buffer &&
      bytes.byteOffset === this.buffer.byteOffset + at;
    if (isThere && at >= 0) { // elsewhere in front of them there may be bytes that are lent
      this.start = at;
      return;
    }
    const unread = this.buffer.subarray(this.start, this.end);
    this.#hold(new Uint8Array(bytes.length + unread.length + this.#readSize));
    this.buffer.set(bytes);
    this.buffer.set(unread, bytes.length);
    this.start = 0;
    this.end = bytes.length + unread.length;
  }

  /** As many bytes as the next read had best ask for. */
  get readSize(): number {
    const budget = this.#budget;
    return budget !== undefined && budget.held > budget.tight
      ? Math.min(this.#readSize, Math.max(TIGHT_READ, this.#minRead))
      : this.#readSize;
  }

  /**
   * Takes in bytes that are lent to it.
   *
   * @param size How many the read was for.
   * @param isLent Whether bytes in front of the unread ones may be lent to somebody, and so have to stay.
   */
  accept(bytes: Uint8Array, size: number, isLent: boolean): void {
    const count = bytes.length;
    this.#sharedEnd = NOWHERE;
    if (this.start === this.end) {
      this.start = this.end = 0;
      if (isLent || this.buffer.length < count) {
        this.#hold(new Uint8Array(Math.max(MIN_BUFFER, count)));
      }
    }
    this.#append(bytes, isLent);
    this.#learn(count, size);
  }

  /** Gives back the memory, if nothing is unread; what was lent before has to be over. */
  release(): void {
    if (this.start === this.end) this.clear();
  }

  /** Drops everything, and the memory too. */
  clear(): void {
    this.#hold(NONE);
    this.start = this.end = 0;
    this.#sharedEnd = NOWHERE;
  }

  /** Takes what is left out of the budget: whoever still has the session has it from now on. */
  leave(): void {
    this.#budget?.change(-this.buffer.length);
    this.#budget = undefined;
  }

  /**
   * Memory for one read behind the unread bytes. It stays valid whatever happens to the buffer meanwhile:
   * `commit()` sees whether it is still a part of it.
   *
   * @param limit The most bytes that the read may bring; by default as many as the last reads make likely.
   */
  room(limit: number = this.readSize): Uint8Array {
    this.#sharedEnd = NOWHERE;
    const unread = this.end - this.start;
    if (unread === 0) {
      this.start = this.end = 0;
      if (this.buffer.length < limit || this.buffer.length > limit * 2) {
        this.#hold(new Uint8Array(limit));
      }
      this.#reading = this.buffer.buffer;
      return this.buffer.length === limit ? this.buffer : this.buffer.subarray(0, limit);
    }
    if (this.buffer.length - this.end < limit) this.#makeRoom(unread, limit);
    this.#reading = this.buffer.buffer;
    return this.buffer.subarray(this.end, this.end + limit);
  }

  /** Counts the bytes that a read brought into `room` as unread, and learns from their number. */
  commit(room: Uint8Array, count: number): void {
    this.#reading = undefined;
    const inPlace = room.buffer === this.buffer.buffer &&
      room.byteOffset === this.buffer.byteOffset + this.end;
    if (inPlace) {
      this.end += count;
    } else if (this.end === this.start) {
      this.#sharedEnd = NOWHERE;
      this.#hold(room);
      this.start = 0;
      this.end = count;
    } else {
      this.#append(room.subarray(0, count), true);
    }
    this.#learn(count, room.length);
  }

  /** Fits the size of reads to what one of `size` has brought. */
  #learn(count: number, size: number): void {
    if (count === size) {
      this.#smallReads = 0;
      if (count >= this.#readSize) {
        this.#readSize = Math.max(this.#readSize, Math.min(this.#readSize * 4, MAX_READ));
      }
    } else if (
      this.#readSize > this.#minRead && count * 4 < this.#readSize &&
      ++this.#smallReads >= SMALL_READS
    ) {
      this.#smallReads = 0;
      this.#readSize = Math.max(this.#readSize / 4, this.#minRead);
    }
  }

  /** Gives bytes away without memory of their own for each: a `Uint8Array` takes 0.6 µs however small, a view 0.02. */
  #share(count: number): Uint8Array {
    const { start } = this;
    const stop = start + count;
    let at = start + this.#shift;
    // Once its owner has transferred the shared memory, it has a length of 0.
    if (stop > this.#sharedEnd || at + count > this.#shared.length) at = this.#copyAhead(count);
    this.start = stop;
    return new Uint8Array(this.#shared.buffer, at, count);
  }

  /** Copies so many unread bytes into shared memory, and the ones after them, which are likely to be taken next. */
  #copyAhead(count: number): number {
    const { start } = this;
    let at = this.#sharedLength;
    if (this.#shared.length - at < count) {
      const size = Math.min(MAX_SHARED, (this.end - start) * 4);
      this.#shared = new Uint8Array(Math.max(MIN_SHARED, size, count));
      at = 0;
    }
    const length = Math.min(this.end - start, this.#shared.length - at);
    this.#shared.set(this.buffer.subarray(start, start + length), at);
    this.#sharedLength = at + length;
    this.#sharedEnd = start + length;
    this.#shift = at - start;
    return at;
  }

  #append(bytes: Uint8Array, isLent = false): void {
    if (bytes.length === 0) return;
    if (this.buffer.length - this.end < bytes.length) {
      this.#makeRoom(this.end - this.start, bytes.length, isLent);
    }
    this.buffer.set(bytes, this.end);
    this.end += bytes.length;
  }

  /** Moves or grows so that `count` bytes fit behind the unread ones, at a cost in proportion to what came. */
  #makeRoom(unread: number, count: number, isLent = false): void {
    const { buffer, start, end } = this;
    this.#sharedEnd = NOWHERE;
    if (!isLent && start >= unread && buffer.length - unread >= count) {
      buffer.copyWithin(0, start, end);
    } else {
      const { needed } = this;
      const useful = needed > unread ? needed : Math.min(this.cap, buffer.length * 2);
      this.#hold(
        new Uint8Array(Math.max(unread + count, Math.min(buffer.length * 2, useful + MAX_READ))),
      );
      this.buffer.set(buffer.subarray(start, end));
    }
    this.start = 0;
    this.end = unread;
  }

  #hold(buffer: Uint8Array): void {
    this.#budget?.change(buffer.length - this.buffer.length);
    this.buffer = buffer;
  }

  #tooFew(count: number): RangeError {
    return new RangeError(`cannot consume ${count} bytes: ${this.end - this.start} are unread`);
  }
}
