/** The smallest piece of memory that output is gathered in, and how many bytes are kept for the next ones. */
const MIN_SIZE = 512;
const MAX_KEPT = 1024 * 1024;

/**
 * Memory that output is gathered in, shared by the sessions of a group: one at rest holds none, and the piece that was
 * used last, which is still in the processor's cache, is used next. A broadcast takes one for each session at once.
 */
export class BufferPool {
  readonly #kept: Uint8Array[] = [];
  #bytesKept = 0;
  /** How few were kept at any time since the last `trim()`: so many were not needed. */
  #leastKept = 0;

  /** Memory for at least so many bytes. What it holds is of no meaning. */
  take(count: number): Uint8Array {
    const kept = this.#kept.pop();
    if (kept === undefined) return new Uint8Array(Math.max(MIN_SIZE, count));
    this.#bytesKept -= kept.length;
    if (this.#kept.length < this.#leastKept) this.#leastKept = this.#kept.length;
    return kept.length >= count ? kept : new Uint8Array(count);
  }

  /** Takes memory back that nobody looks at any more. */
  give(buffer: Uint8Array): void {
    if (this.#bytesKept + buffer.length > MAX_KEPT) return;
    this.#bytesKept += buffer.length;
    this.#kept.push(buffer);
  }

  /** Drops what was not used since the last time. */
  trim(): void {
    for (const { length } of this.#kept.splice(0, this.#leastKept)) this.#bytesKept -= length;
    this.#leastKept = this.#kept.length;
  }
}
