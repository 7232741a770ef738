import { checkOneOf } from "../_internal/checks.ts";
import { elsewhere, type Known } from "../_internal/options.ts";
import { type Rate, resolveRate, TokenBucket } from "../_internal/token_bucket.ts";
import type { SessionRate } from "./options.ts";

export const SESSION_RATE: Known<SessionRate> = {
  perSecond: elsewhere,
  burst: elsewhere,
  exceeded: elsewhere,
};

/** A rate of new sessions with nothing left to default. */
export interface SessionRateSettings extends Rate {
  /** Whether sessions beyond the rate wait. */
  readonly waits: boolean;
}

/** Checks the rate, and fills in the defaults. */
export function resolveSessionRate(rate: SessionRate | undefined): SessionRateSettings | undefined {
  if (rate === undefined) return;
  const { exceeded = "refuse" } = rate;
  checkOneOf("sessionRate.exceeded", exceeded, ["refuse", "wait"]);
  return { ...resolveRate("sessionRate", rate, 2 ** 30), waits: exceeded === "wait" };
}

/** How many addresses are remembered: 10 MB at most. */
const MAX_ADDRESSES = 65_536;

/**
 * Limits the rate of new sessions of each address.
 *
 * Addresses whose bucket is full again are forgotten. If there are too many, the one whose last connection is the oldest is
 * forgotten: an attacker with so many addresses has a burst for each of them anyway.
 */
export class SessionRates {
  readonly #rate: SessionRateSettings;
  readonly #max: number;
  /** In the order of their last connections. */
  readonly #buckets: Map<string, TokenBucket> = new Map();

  constructor(rate: SessionRateSettings, max: number = MAX_ADDRESSES) {
    this.#rate = rate;
    this.#max = max;
  }

  /** How many addresses are remembered. */
  get size(): number {
    return this.#buckets.size;
  }

  /**
   * Counts a session.
   *
   * @returns How long it has to wait, in milliseconds; `undefined` if it is refused. No wait is longer than an empty bucket
   * takes to be full.
   */
  take(address: string): number | undefined {
    const now = performance.now();
    const rate = this.#rate;
    const bucket = this.#buckets.get(address) ?? new TokenBucket(rate, now);
    this.#buckets.delete(address);
    this.#forget(now);
    this.#buckets.set(address, bucket);
    const level = bucket.level(rate, now) - 1;
    if (level < (rate.waits ? -rate.burst : 0)) return;
    bucket.take(1, rate, now);
    return Math.max(0, -level * 1000 / rate.perSecond);
  }

  /** Forgets at most two addresses for each new session, so that it never takes long. */
  #forget(now: number): void {
    let isTooMany = this.#buckets.size >= this.#max;
    let left = 2;
    for (const [address, bucket] of this.#buckets) {
      const isFull = bucket.level(this.#rate, now) >= this.#rate.burst;
      if (left-- === 0 || !(isFull || isTooMany)) return;
      this.#buckets.delete(address);
      isTooMany = false;
    }
  }
}
