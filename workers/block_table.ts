/** A table with the number of connections of each address block, in memory of a fixed size. */

import { type BlockKeys, isKeyAt, KEY_CELLS } from "./block_keys.ts";

/** The cells of an entry: the key, and the count, which is 0 in an empty entry. */
const COUNT = KEY_CELLS;
export const BLOCK_CELLS: number = KEY_CELLS + 1;
/** A table takes at most 96 MiB. */
const MAX_CAPACITY = 2 ** 22;

/**
 * Counts by block, in a hash table with open addressing and linear probing.
 */
export class BlockTable {
  readonly #cells: Int32Array;
  readonly #keys: BlockKeys;
  readonly #mask: number;

  /** The number of entries of a table for `blocks` blocks. At least a quarter stays empty. */
  static capacityFor(blocks: number): number {
    const capacity = 2 ** Math.ceil(Math.log2((blocks + 2) / 0.75));
    if (capacity <= MAX_CAPACITY) return capacity;
    const most = Math.floor(MAX_CAPACITY * 0.75) - 2;
    throw new RangeError(
      `maxSessions must be at most ${most} with maxSessionsPerAddress in workers, got ${blocks}`,
    );
  }

  constructor(cells: Int32Array, keys: BlockKeys) {
    this.#cells = cells;
    this.#keys = keys;
    this.#mask = cells.length / BLOCK_CELLS - 1;
  }

  count(key: Int32Array): number {
    return this.#cells[this.#find(key) + COUNT]!;
  }

  add(key: Int32Array): void {
    const at = this.#find(key);
    this.#cells.set(key, at);
    this.#cells[at + COUNT]!++;
  }

  /** Decrements the count of a block, which must not be 0. */
  remove(key: Int32Array): void {
    const at = this.#find(key);
    if (this.#cells[at + COUNT]! > 1) this.#cells[at + COUNT]!--;
    else this.#empty(at);
  }

  /** The entry of a block, or the empty entry where it would be. */
  #find(key: Int32Array): number {
    const cells = this.#cells;
    for (let slot = this.#slotOf(key, 0);; slot = slot + 1 & this.#mask) {
      const at = slot * BLOCK_CELLS;
      if (cells[at + COUNT] === 0 || isKeyAt(cells, at, key)) return at;
    }
  }

  /** Empties an entry, and moves entries after it that could not be found any more. */
  #empty(at: number): void {
    const cells = this.#cells;
    let hole = at / BLOCK_CELLS;
    for (let slot = hole + 1 & this.#mask;; slot = slot + 1 & this.#mask) {
      const from = slot * BLOCK_CELLS;
      if (cells[from + COUNT] === 0) break;
      // One whose place is after the hole is found without it.
      const distance = slot - this.#slotOf(cells, from) & this.#mask;
      if (distance < (slot - hole & this.#mask)) continue;
      cells.copyWithin(hole * BLOCK_CELLS, from, from + BLOCK_CELLS);
      hole = slot;
    }
    cells.fill(0, hole * BLOCK_CELLS, (hole + 1) * BLOCK_CELLS);
  }

  /** Where the search for a block begins. */
  #slotOf(cells: Int32Array, at: number): number {
    return this.#keys.hash(cells, at) & this.#mask;
  }
}
