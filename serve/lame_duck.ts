/** The time in which a server that was told to shut down still accepts, because clients are still sent to it. */

import { shown } from "../_internal/checks.ts";
import { checkOptions, type Known } from "../_internal/options.ts";
import type { ServeOptions, ShutdownOptions } from "./options.ts";

/** The longest delay of a timer, in milliseconds. */
const MAX_DELAY = 0x7fff_ffff;

const SHUTDOWN_OPTIONS: Known<ShutdownOptions> = { drainDelay: checkDrainDelay };

/** What the delay asks its server, and tells it. */
export interface LameDuckHooks {
  /** Whether there is anything to delay: the server listens, and does not drain yet. */
  canDelay(): boolean;
  /** Readiness must fail from now on. */
  onBegin(): void;
  /** The server must drain, unless it does. If it is spread, the server ends its sessions one after the other. */
  onDrain(isSpread: boolean): void;
}

/** Handles the calls of `shutdown()`. */
export class LameDuck {
  readonly #delay: number;
  readonly #hooks: LameDuckHooks;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor({ drainDelay = 0 }: ServeOptions, hooks: LameDuckHooks) {
    this.#delay = checkDrainDelay("drainDelay", drainDelay);
    this.#hooks = hooks;
  }

  /** Begins the delay. A later call has an effect only with a delay of its own, which replaces the rest of the first. */
  shutdown(options: ShutdownOptions): void {
    checkOptions(options, SHUTDOWN_OPTIONS);
    const { drainDelay } = options;
    if (this.#timer !== undefined && drainDelay === undefined) return;
    const wasDelayed = this.#timer !== undefined;
    this.stop();
    const delay = drainDelay ?? this.#delay;
    if (delay === 0 || !this.#hooks.canDelay()) {
      return this.#hooks.onDrain(wasDelayed || delay > 0);
    }
    this.#timer = setTimeout(() => this.#hooks.onDrain(true), delay);
    if (!wasDelayed) this.#hooks.onBegin();
  }

  /** The delay is of no use any more. */
  stop(): void {
    clearTimeout(this.#timer);
  }
}

/** Checks a finite duration in milliseconds, which may be 0. */
function checkDrainDelay(name: string, value: unknown): number {
  if (typeof value !== "number") {
    throw new TypeError(`${name} must be a number of milliseconds, got ${shown(value)}`);
  }
  if (value >= 0 && value <= MAX_DELAY) return value;
  throw new RangeError(`${name} must be from 0 to ${MAX_DELAY} ms, got ${value}`);
}
