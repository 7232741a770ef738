import { checkInteger, checkOneOf } from "../_internal/checks.ts";
import { elsewhere, type Known } from "../_internal/options.ts";
import { type Rate, TokenBucket } from "../_internal/token_bucket.ts";

/** How many bytes a session may receive or send. */
export interface ByteRate {
  /** How many bytes a second, on average: 1 to 2^40. */
  perSecond: number;
  /**
   * How many bytes at once, after a time in which fewer came: 1 to 2^40. By default, what comes in a second at
   * `perSecond`.
   */
  burst?: number;
  /**
   * What happens to more: it waits, so that the peer or the handler has to wait as well, or the session ends with the
   * reason `limit` and a `RateLimitError`.
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

/** A rate of bytes with nothing left to default. */
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

/** Fills in the burst. */
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

/** How often the sessions of a group had to wait for a rate. */
export interface Waits {
  reads: number;
  writes: number;
}

/** What goes in one piece if there is enough to go: what comes in a tenth of a second, so that progress is seen. */
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

  /** @param onReady Called once something may go that had to wait. */
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

  /** How many of so many bytes may go now. If none may, `onReady()` follows. */
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

  /** Counts bytes that have gone. Returns whether they exceed the rate by which the session ends. */
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
