import type { SessionRateSettings } from "../serve/session_rates.ts";
import { BlockKeys, isKeyAt, KEY_CELLS } from "./block_keys.ts";

/** The maximum number of addresses that are remembered. */
const MAX_ADDRESSES = 65_536;
/** The number of entries in which an address may be. */
const WAYS = 16;
const SETS = MAX_ADDRESSES / WAYS;

/** The rate of new sessions of each address, and the memory that workers share for it. It can be sent to workers. */
export interface RatesMemory extends SessionRateSettings {
  readonly buffer: SharedArrayBuffer;
}

/** Makes the memory for a rate. */
export function makeRatesMemory(rate: SessionRateSettings): RatesMemory {
  const size = Float64Array.BYTES_PER_ELEMENT + KEY_CELLS * Int32Array.BYTES_PER_ELEMENT;
  return { ...rate, buffer: new SharedArrayBuffer(MAX_ADDRESSES * size) };
}

/**
 * Keeps the new sessions of each address within a rate, over all workers.
 *
 * It decides as a token bucket does, but keeps only the time at which the bucket is full again (the generic cell rate
 * algorithm, ITU-T I.371). An address whose bucket is full is forgotten. If no bucket of a set is full, the one that will be
 * full first is forgotten.
 *
 * The methods must not run in two threads at a time.
 */
export class SharedRates {
  readonly #memory: RatesMemory;
  readonly #keys: BlockKeys;
  /** When each bucket is full again, by `Date.now()`, the only clock that all threads share. */
  readonly #fullAt: Float64Array;
  readonly #cells: Int32Array;

  constructor(memory: RatesMemory, seeds: readonly number[]) {
    this.#memory = memory;
    this.#keys = new BlockKeys(seeds);
    this.#fullAt = new Float64Array(memory.buffer, 0, MAX_ADDRESSES);
    this.#cells = new Int32Array(memory.buffer, this.#fullAt.byteLength);
  }

  /**
   * Counts a session.
   *
   * @returns How long it has to wait, in milliseconds; `undefined` if it is refused.
   */
  take(block: string, now: number): number | undefined {
    const { perSecond, burst, waits } = this.#memory;
    const key = this.#keys.keyOf(block);
    const entry = this.#find(key);
    const isKnown = isKeyAt(this.#cells, entry * KEY_CELLS, key);
    const interval = 1000 / perSecond;
    // No bucket needs longer to become full, unless the clock was set back.
    const most = now + (waits ? 2 : 1) * burst * interval;
    if (this.#fullAt[entry]! > most) this.#fullAt[entry] = most;
    const fullAt = isKnown ? Math.max(now, this.#fullAt[entry]!) : now;
    const level = burst - (fullAt - now) / interval - 1;
    if (level < (waits ? -burst : 0)) return;
    if (!isKnown) {
      this.#fullAt[entry] = 0; // if the worker dies here, nothing is left inconsistent
      this.#cells.set(key, entry * KEY_CELLS);
    }
    this.#fullAt[entry] = fullAt + interval;
    return Math.max(0, -level * interval);
  }

  /** The entry of a block, or the one that it may have. */
  #find(key: Int32Array): number {
    const first = (this.#keys.hash(key, 0) & SETS - 1) * WAYS;
    let oldest = first;
    for (let entry = first; entry < first + WAYS; entry++) {
      if (isKeyAt(this.#cells, entry * KEY_CELLS, key)) return entry;
      if (this.#fullAt[entry]! < this.#fullAt[oldest]!) oldest = entry;
    }
    return oldest;
  }
}
