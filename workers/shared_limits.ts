/** The limits of a server over all its workers, counted in shared memory. */

import type { Limits, LimitValues } from "../serve/limits.ts";
import { BlockKeys } from "./block_keys.ts";
import { BLOCK_CELLS, BlockTable } from "./block_table.ts";
import { makeRatesMemory, type RatesMemory, SharedRates } from "./shared_rates.ts";

/** The cells of a worker in shared memory, before its table of blocks. */
const COUNT = 0;
/** Whether the worker wants to know when another one releases a connection. */
const WANTS_ROOM = 1;
const REGION_HEAD = 2;

/** The lock is the first cell: 0, or 1 more than the number of the worker that holds it. */
const LOCK = 0;
const HEAD = 1;
/** How often a worker tries to get the lock before it waits, and how long it waits then, in milliseconds. */
const TRIES = 100;
const PAUSE = 1;

/** The shared memory and its layout. It can be sent to workers. */
export interface LimitsMemory extends LimitValues {
  readonly buffer: SharedArrayBuffer;
  readonly workers: number;
  /** Whether connections without room wait for it. */
  readonly waits: boolean;
  /** How many blocks fit into the table of a worker. */
  readonly capacity: number;
  readonly rates: RatesMemory | undefined;
  /** Secret random numbers, for the hashes of the tables. */
  readonly seeds: readonly number[];
}

/** Makes the shared memory of a server. */
export function makeLimitsMemory(
  values: LimitValues,
  workers: number,
  waits: boolean,
): LimitsMemory {
  const { maxSessions, maxSessionsPerAddress, sessionRate } = values;
  const capacity = maxSessionsPerAddress === Infinity ? 0 : BlockTable.capacityFor(maxSessions);
  const cells = HEAD + workers * (REGION_HEAD + capacity * BLOCK_CELLS);
  return {
    maxSessions,
    maxSessionsPerAddress,
    buffer: new SharedArrayBuffer(cells * Int32Array.BYTES_PER_ELEMENT),
    workers,
    waits,
    capacity,
    rates: sessionRate && makeRatesMemory(sessionRate),
    seeds: BlockKeys.makeSeeds(),
  };
}

/**
 * The limits, as one worker sees them.
 *
 * Each worker writes only to its own region, and a limit applies to the sum of all regions. So when a worker dies, at
 * whatever point, its region is cleared, and the sum is right again. Under the lock, adding up and counting is atomic.
 */
export class SharedLimits implements Limits {
  readonly #memory: LimitsMemory;
  readonly #worker: number;
  readonly #onRelease: () => void;
  readonly #cells: Int32Array;
  readonly #keys: BlockKeys;
  readonly #tables: BlockTable[] = [];
  readonly #rates: SharedRates | undefined;

  /**
   * @param memory The shared memory.
   * @param worker The number of this worker, from 0.
   * @param onRelease Called when this worker has released a connection and others want to know that.
   */
  constructor(memory: LimitsMemory, worker: number, onRelease: () => void) {
    const { buffer, workers, capacity, rates, seeds } = memory;
    this.#memory = memory;
    this.#worker = worker;
    this.#onRelease = onRelease;
    this.#cells = new Int32Array(buffer);
    this.#keys = new BlockKeys(seeds);
    this.#rates = rates && new SharedRates(rates, seeds);
    for (let one = 0; capacity > 0 && one < workers; one++) {
      const start = this.#region(one) + REGION_HEAD;
      const cells = this.#cells.subarray(start, start + capacity * BLOCK_CELLS);
      this.#tables.push(new BlockTable(cells, this.#keys));
    }
  }

  /** The number of connections of all workers together. */
  get count(): number {
    let all = 0;
    for (let one = 0; one < this.#memory.workers; one++) {
      all += Atomics.load(this.#cells, this.#region(one) + COUNT);
    }
    return all;
  }

  get isFull(): boolean {
    if (this.count < this.#memory.maxSessions) return false;
    this.#wantRoom();
    return this.count >= this.#memory.maxSessions; // a connection may have been released before that was known
  }

  take(): boolean {
    if (this.#tryTake()) return true;
    if (!this.#memory.waits) return false;
    this.#wantRoom();
    return this.#tryTake();
  }

  release(): void {
    Atomics.sub(this.#cells, this.#region(this.#worker) + COUNT, 1);
    let isWanted = false;
    for (let one = 0; one < this.#memory.workers; one++) {
      const at = this.#region(one) + WANTS_ROOM;
      if (Atomics.load(this.#cells, at) === 0 || one === this.#worker) continue;
      Atomics.store(this.#cells, at, 0);
      isWanted = true;
    }
    if (isWanted) this.#onRelease();
  }

  takeBlock(block: string): boolean {
    return this.#locked(() => {
      const key = this.#keys.keyOf(block);
      let held = 0;
      for (const table of this.#tables) held += table.count(key);
      if (held >= this.#memory.maxSessionsPerAddress) return false;
      this.#tables[this.#worker]!.add(key);
      return true;
    });
  }

  releaseBlock(block: string): void {
    this.#locked(() => {
      this.#tables[this.#worker]!.remove(this.#keys.keyOf(block));
    });
  }

  takeRate(block: string): number | undefined {
    return this.#locked(() => this.#rates!.take(block, Date.now()));
  }

  /** Uncounts all connections of a worker that has died. Only the main thread may call it. */
  clear(worker: number): void {
    const start = this.#region(worker);
    const end = this.#region(worker + 1);
    for (let at = start; at < end; at++) Atomics.store(this.#cells, at, 0);
    Atomics.compareExchange(this.#cells, LOCK, worker + 1, 0);
  }

  #region(worker: number): number {
    return HEAD + worker * (REGION_HEAD + this.#memory.capacity * BLOCK_CELLS);
  }

  #tryTake(): boolean {
    return this.#locked(() => {
      if (this.count >= this.#memory.maxSessions) return false;
      Atomics.add(this.#cells, this.#region(this.#worker) + COUNT, 1);
      return true;
    });
  }

  #wantRoom(): void {
    if (this.#memory.waits) {
      Atomics.store(this.#cells, this.#region(this.#worker) + WANTS_ROOM, 1);
    }
  }

  /** Runs a function under the lock. If a worker dies in it, its region and its lock are cleared. */
  #locked<Result>(run: () => Result): Result {
    const mine = this.#worker + 1;
    for (let tries = 1;; tries++) {
      const holder = Atomics.compareExchange(this.#cells, LOCK, 0, mine);
      if (holder === 0) break;
      if (tries % TRIES === 0) Atomics.wait(this.#cells, LOCK, holder, PAUSE);
    }
    try {
      return run();
    } finally {
      Atomics.store(this.#cells, LOCK, 0);
    }
  }
}
