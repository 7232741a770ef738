import { checkOneOf } from "../_internal/checks.ts";
import { elsewhere, type Known } from "../_internal/options.ts";
import { type Rate, resolveRate, TokenBucket } from "../_internal/token_bucket.ts";

/** The rate at which a session may receive or send bytes. */
export interface ByteRate {
  /** The average number of bytes per second: 1 to 2^40. */
  perSecond: number;
  /**
   * The number of bytes that may pass at once after a time with fewer: 1 to 2^40. By default, as many as `perSecond`.
   */
  burst?: number;
  /**
   * What happens to bytes that exceed the rate. They wait, so the peer or the handler has to wait as well, or the session
   * ends with the reason `limit` and a `RateLimitError`.
   *
   * @default {"wait"}
   */
  exceeded?: "wait" | "end";
}

export const BYTE_RATE: Known<ByteRate> = {
  perSecond: elsewhere,
  burst: elsewhere,
  exceeded: elsewhere,
};

/** The resolved options of a rate of bytes. */
export interface ByteRateSettings extends Rate {
  readonly ends: boolean;
}

const MAX_RATE = 2 ** 40;

export function resolveByteRate(
  name: string,
  rate: ByteRate | undefined,
): ByteRateSettings | undefined {
  if (rate === undefined) return;
  const { exceeded = "wait" } = rate;
  checkOneOf(`${name}.exceeded`, exceeded, ["wait", "end"]);
  return { ...resolveRate(name, rate, MAX_RATE), ends: exceeded === "end" };
}

/** How often the sessions of a group had to wait for a rate. */
export interface Waits {
  reads: number;
  writes: number;
}

/** Large amounts pass in pieces of a tenth of a second, so that progress is visible. */
const PIECES_PER_SECOND = 10;

/** Keeps one direction of a session within a rate. */
export class Throttle {
  readonly settings: ByteRateSettings;
  readonly #kind: keyof Waits;
  readonly #waits: Waits;
  readonly #bucket: TokenBucket;
  readonly #piece: number;
  readonly #onReady: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param onReady Called when bytes that had to wait may pass. */
  constructor(settings: ByteRateSettings, kind: keyof Waits, waits: Waits, onReady: () => void) {
    const { perSecond, burst } = settings;
    this.settings = settings;
    this.#kind = kind;
    this.#waits = waits;
    this.#bucket = new TokenBucket(settings, performance.now());
    this.#piece = Math.max(1, Math.min(burst, Math.floor(perSecond / PIECES_PER_SECOND)));
    this.#onReady = onReady;
  }

  get isWaiting(): boolean {
    return this.#timer !== undefined;
  }

  /** Returns how many of `count` bytes may pass now. If it is 0, `onReady()` will be called. */
  admit(count: number): number {
    const { settings } = this;
    if (settings.ends) return count;
    if (this.isWaiting) return 0;
    const level = this.#bucket.level(settings, performance.now());
    const missing = Math.min(count, this.#piece) - level;
    if (missing <= 0) return Math.min(count, Math.floor(level));
    this.#waits[this.#kind]++;
    this.#timer = setTimeout(this.#go, Math.ceil(missing * 1000 / settings.perSecond));
    return 0;
  }

  /** Counts bytes that have passed. Returns whether they exceed a rate that ends the session. */
  spend(count: number): boolean {
    const level = this.#bucket.take(count, this.settings, performance.now());
    return this.settings.ends && level < 0;
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  readonly #go = (): void => {
    this.#timer = undefined;
    this.#onReady();
  };
}
