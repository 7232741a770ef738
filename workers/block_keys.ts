/** Keys of address blocks, in cells of shared memory. */

/** The number of cells of a key: four for the block, and one for its length. */
export const KEY_CELLS = 5;
const LENGTH = KEY_CELLS - 1;

/** Makes and hashes keys. The hash depends on seeds, so that an attacker cannot choose addresses that collide. */
export class BlockKeys {
  readonly #seeds: readonly number[];
  readonly #key: Int32Array = new Int32Array(KEY_CELLS);

  constructor(seeds: readonly number[]) {
    this.#seeds = seeds;
  }

  static makeSeeds(): number[] {
    return [...crypto.getRandomValues(new Int32Array(KEY_CELLS + 1))];
  }

  /** The key of a block, valid until the next call. The block is text of 4 or 16 bytes, as `blockOf()` makes it. */
  keyOf(block: string): Int32Array {
    this.#key.fill(0);
    for (let at = 0; at < block.length; at++) {
      this.#key[at >> 2]! |= block.charCodeAt(at) << 8 * (at & 3);
    }
    this.#key[LENGTH] = block.length;
    return this.#key;
  }

  /** The hash of the key that begins at `at`. */
  hash(cells: Int32Array, at: number): number {
    let hash = this.#seeds[KEY_CELLS]!;
    for (let i = 0; i < KEY_CELLS; i++) {
      hash = Math.imul(hash ^ cells[at + i]!, this.#seeds[i]! | 1);
      hash ^= hash >>> 15;
    }
    return hash;
  }
}

/** Whether the key that begins at `at` equals this one. */
export function isKeyAt(cells: Int32Array, at: number, key: Int32Array): boolean {
  for (let i = 0; i < KEY_CELLS; i++) if (cells[at + i] !== key[i]) return false;
  return true;
}
