import { clearTimeout, setTimeout } from "node:timers";

/** The clock of a hub. Durations are in milliseconds. */
export interface Clock {
  now(): number;
  /** Calls once, later. Returns a function that prevents it. */
  after(delay: number, call: () => void): () => void;
}

/** The clock of the system. Its timers do not keep the process alive. */
export const SYSTEM_CLOCK: Clock = {
  now: () => performance.now(),
  after(delay: number, call: () => void): () => void {
    const timer = setTimeout(call, delay).unref();
    return () => clearTimeout(timer);
  },
};
