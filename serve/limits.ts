/** Counting the connections of a server for its limits. */

import { checkInteger } from "../_internal/checks.ts";
import type { ServeOptions } from "./options.ts";
import { Permits } from "./permits.ts";
import { resolveSessionRate, SessionRates, type SessionRateSettings } from "./session_rates.ts";

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
  /**
   * Counts a new session for the `sessionRate` of its block, if there is one.
   *
   * @returns How long it has to wait, in milliseconds; `undefined` if it is refused.
   */
  takeRate(block: string): number | undefined;
}

/** The values of the limits. */
export interface LimitValues {
  readonly maxSessions: number;
  /** `Infinity` for no limit. */
  readonly maxSessionsPerAddress: number;
  readonly sessionRate?: SessionRateSettings | undefined;
}

/** The values of the limits in `options`, checked. */
export function limitValues(options: ServeOptions): LimitValues {
  const { maxSessions = 10_000, maxSessionsPerAddress = Infinity, sessionRate } = options;
  checkInteger("maxSessions", maxSessions, 1, 2 ** 30);
  if (maxSessionsPerAddress !== Infinity) {
    checkInteger("maxSessionsPerAddress", maxSessionsPerAddress, 1, 2 ** 30);
  }
  return { maxSessions, maxSessionsPerAddress, sessionRate: resolveSessionRate(sessionRate) };
}

/** The limits of one server in one thread. */
export class OwnLimits implements Limits {
  readonly #maxSessions: number;
  readonly #blocks: Permits;
  readonly #rates: SessionRates | undefined;
  #count = 0;

  constructor({ maxSessions, maxSessionsPerAddress, sessionRate }: LimitValues) {
    this.#maxSessions = maxSessions;
    this.#blocks = new Permits(maxSessionsPerAddress);
    this.#rates = sessionRate && new SessionRates(sessionRate);
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

  takeRate(block: string): number | undefined {
    return this.#rates!.take(block);
  }
}
