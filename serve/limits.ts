/** Counting the connections of a server for its limits. */

import { Permits } from "./permits.ts";

/** The limits of connections. They count those of this server alone, or those of all workers of a server. */
export interface Limits {
  /** Whether `maxSessions` connections are counted. */
  readonly isFull: boolean;
  /** Counts a connection. Returns `false` if there is no room for it. */
  take(): boolean;
  /** Uncounts a connection. */
  release(): void;
  /** Counts a connection for its block of addresses. Returns `false` if `maxSessionsPerAddress` are counted. */
  takeBlock(block: string): boolean;
  /** Uncounts a connection for its block. */
  releaseBlock(block: string): void;
}

/** The values of the limits. */
export interface LimitValues {
  readonly maxSessions: number;
  /** `Infinity` for no limit. */
  readonly maxSessionsPerAddress: number;
}

/** The limits of one server in one thread. */
export class OwnLimits implements Limits {
  readonly #maxSessions: number;
  readonly #blocks: Permits;
  #count = 0;

  constructor({ maxSessions, maxSessionsPerAddress }: LimitValues) {
    this.#maxSessions = maxSessions;
    this.#blocks = new Permits(maxSessionsPerAddress);
  }

  get isFull(): boolean {
    return this.#count >= this.#maxSessions;
  }

  take(): boolean {
    if (this.isFull) return false;
    this.#count++;
    return true;
  }

  release(): void {
    this.#count--;
  }

  takeBlock(block: string): boolean {
    return this.#blocks.take(block);
  }

  releaseBlock(block: string): void {
    this.#blocks.release(block);
  }
}
