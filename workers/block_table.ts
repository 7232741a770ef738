/** A table of how many connections each block of addresses has, in memory of a fixed size. */

/** The cells of an entry: the block in four, its length, and the count, which is 0 in an empty entry. */
const LENGTH = 4;
const COUNT = 5;
export const BLOCK_CELLS = 6;
/** A table takes at most 96 MiB. */
const MAX_CAPACITY = 2 ** 22;

/** A block of addresses in cells. */
type Key = Int32Array;

/**
 * Counts by block, in a hash table with open addressing and linear probing.
 *
 * The hash depends on seeds, so that nobody can choose addresses that end up next to each other.
 */
export class BlockTable {
  /** How many seeds there are. */
  static readonly seeds: number = 6;
  readonly #cells: Int32Array;
  readonly #seeds: readonly number[];
  readonly #mask: number;
  readonly #key: Key = new Int32Array(LENGTH + 1);

  /** How many entries a table needs for `blocks` blocks: at least a quarter of it stays empty. */
  static capacityFor(blocks: number): number {
    const capacity = 2 ** Math.ceil(Math.log2((blocks + 2) / 0.75));
    if (capacity <= MAX_CAPACITY) return capacity;
    const most = Math.floor(MAX_CAPACITY * 0.75) - 2;
    throw new RangeError(
      `maxSessions must be at most ${most} with maxSessionsPerAddress in workers, got ${blocks}`,
    );
  }

  /**
   * @param cells The memory.
   * @param seeds What the hash depends on.
   */
  constructor(cells: Int32Array, seeds: readonly number[]) {
    this.#cells = cells;
    this.#seeds = seeds;
    this.#mask = cells.length / BLOCK_CELLS - 1;
  }

  /** The key of a block, valid until the next call. The block is text of 4 or 16 bytes. */
  keyOf(block: string): Key {
    this.#key.fill(0);
    for (let at = 0; at < block.length; at++) {
      this.#key[at >> 2]! |= block.charCodeAt(at) << 8 * (at & 3);
    }
    this.#key[LENGTH] = block.length;
    return this.#key;
  }

  count(key: Key): number {
    return this.#cells[this.#find(key) + COUNT]!;
  }

  add(key: Key): void {
    const at = this.#find(key);
    this.#cells.set(key, at);
    this.#cells[at + COUNT]!++;
  }

  /** Takes one off the count of a block that has one. */
  remove(key: Key): void {
    const at = this.#find(key);
    if (this.#cells[at + COUNT]! > 1) this.#cells[at + COUNT]!--;
    else this.#empty(at);
  }

  /** The entry of a block, or the empty one where it would be. */
  #find(key: Key): number {
    const cells = this.#cells;
    for (let slot = this.#slotOf(key, 0);; slot = slot + 1 & this.#mask) {
      const at = slot * BLOCK_CELLS;
      if (cells[at + COUNT] === 0 || key.every((cell, i) => cells[at + i] === cell)) return at;
    }
  }

  /** Empties an entry, and moves those after it that could not be found any more. */
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
    let hash = this.#seeds[LENGTH + 1]!;
    for (let i = 0; i <= LENGTH; i++) {
      hash = Math.imul(hash ^ cells[at + i]!, this.#seeds[i]! | 1);
      hash ^= hash >>> 15;
    }
    return hash & this.#mask;
  }
}
