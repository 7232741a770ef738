import { clearInterval, setInterval } from "node:timers";
import { addDuration, type Durations, noDurations, WAITS } from "./durations.ts";

/** How often the timer should run, in milliseconds. */
const INTERVAL = 100;

/** Measures how late the event loop of this thread is: by how much a timer runs too late, ten times a second. */
export class Lateness {
  readonly durations: Durations = noDurations(WAITS);
  #timer: ReturnType<typeof setInterval> | undefined;
  #ranAt = 0;

  start(): void {
    if (this.#timer !== undefined) return;
    this.#ranAt = performance.now();
    this.#timer = setInterval(() => this.#onTimer(), INTERVAL);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #onTimer(): void {
    const now = performance.now();
    addDuration(this.durations, WAITS, Math.max(0, now - this.#ranAt - INTERVAL));
    this.#ranAt = now;
  }
}
