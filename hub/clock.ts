import { nextTick } from "node:process";
import { clearTimeout, setTimeout } from "node:timers";

/** The clock of a hub. Durations are in milliseconds. */
export interface Clock {
  now(): number;
  /** Calls at the end of this turn of the event loop. */
  soon(call: () => void): void;
  /** Calls once, later. Returns a function that prevents it. */
  after(delay: number, call: () => void): () => void;
}

/** The clock of the system. Its timers do not keep the process alive. */
export const SYSTEM_CLOCK: Clock = {
  now: () => performance.now(),
  soon: (call) => nextTick(call),
  after(delay: number, call: () => void): () => void {
    const timer = setTimeout(call, delay).unref();
    return () => clearTimeout(timer);
  },
};
