import { checkInteger } from "./checks.ts";

/** A rate: the average per second, and how many may pass at once after a pause. */
export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

/** Checks a rate and fills in the burst. */
export function resolveRate(
  name: string,
  { perSecond, burst = perSecond }: { perSecond: number; burst?: number | undefined },
  max: number,
): Rate {
  return {
    perSecond: checkInteger(`${name}.perSecond`, perSecond, 1, max),
    burst: checkInteger(`${name}.burst`, burst, 1, max),
  };
}

/** A token bucket: it is filled at a constant rate, up to the burst. */
export class TokenBucket {
  #level: number;
  #at: number;

  /** @param now The time by `performance.now()`, as in all methods. */
  constructor({ burst }: Rate, now: number) {
    this.#level = burst;
    this.#at = now;
  }

  /** Returns the number of tokens. It is negative if more were taken than there were. */
  level({ perSecond, burst }: Rate, now: number): number {
    if (now > this.#at) {
      this.#level = Math.min(burst, this.#level + (now - this.#at) * perSecond / 1000);
      this.#at = now;
    }
    return this.#level;
  }

  /** Takes tokens, even if there are not enough. Returns how many are left. */
  take(count: number, rate: Rate, now: number): number {
    return this.#level = this.level(rate, now) - count;
  }
}
