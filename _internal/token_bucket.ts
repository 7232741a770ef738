/** A limit of a rate: so many a second, and so many at once after a rest. */
export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

/** A token bucket: it is filled at a constant rate, up to the burst. */
export class TokenBucket {
  #level: number;
  #at: number;

  /** @param now By `performance.now()`, as in all its methods. */
  constructor({ burst }: Rate, now: number) {
    this.#level = burst;
    this.#at = now;
  }

  /** How many tokens there are; below 0 if more were taken than there were. */
  level({ perSecond, burst }: Rate, now: number): number {
    if (now > this.#at) {
      this.#level = Math.min(burst, this.#level + (now - this.#at) * perSecond / 1000);
      this.#at = now;
    }
    return this.#level;
  }

  /** Takes tokens, also such as are not there yet. Returns the level after it. */
  take(count: number, rate: Rate, now: number): number {
    return this.#level = this.level(rate, now) - count;
  }
}
