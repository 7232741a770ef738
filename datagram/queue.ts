import { LinkedList } from "../_internal/linked_list.ts";

/** What the memory of a queued datagram is, besides its bytes: its sender, and the objects of the queue. */
const OVERHEAD = 256;

/** What a queue does with a datagram that it has no room for. */
export type DatagramOverflow = "drop-newest" | "drop-oldest";

/** The size of a datagram in a queue. */
export function queuedSize(length: number): number {
  return length + OVERHEAD;
}

/** Datagrams that wait, up to a number of bytes. */
export class DatagramQueue<Entry extends { readonly message: Uint8Array }> {
  readonly #maxSize: number;
  readonly #dropsOldest: boolean;
  readonly #onDrop: (entry: Entry) => void;
  readonly #entries: LinkedList<Entry> = new LinkedList();
  #size = 0;

  constructor(maxSize: number, overflow: DatagramOverflow, onDrop: (entry: Entry) => void) {
    this.#maxSize = maxSize;
    this.#dropsOldest = overflow === "drop-oldest";
    this.#onDrop = onDrop;
  }

  /** How many datagrams wait. */
  get length(): number {
    return this.#entries.length;
  }

  /** Their size in bytes, with that of the objects around them. */
  get size(): number {
    return this.#size;
  }

  push(entry: Entry): void {
    const size = queuedSize(entry.message.length);
    if (this.#dropsOldest && size <= this.#maxSize) {
      while (this.#size + size > this.#maxSize) this.#onDrop(this.shift()!);
    }
    if (this.#size + size > this.#maxSize) return this.#onDrop(entry);
    this.#entries.push(entry);
    this.#size += size;
  }

  shift(): Entry | undefined {
    const entry = this.#entries.shift();
    if (entry !== undefined) this.#size -= queuedSize(entry.message.length);
    return entry;
  }

  clear(): void {
    while (this.shift() !== undefined);
  }
}

/** Bytes that do not keep a larger buffer alive: Deno receives each datagram in 64 KiB. */
export function owned(message: Uint8Array): Uint8Array {
  return message.buffer.byteLength > message.length + 1024 ? new Uint8Array(message) : message;
}
