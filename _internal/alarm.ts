/** The shortest time between two alarms, in milliseconds, so that many deadlines cost little. */
const MIN_INTERVAL = 5;

/**
 * One timer for many deadlines. Most deadlines never come, so they are not sorted: when the timer fires, the owner checks
 * all of them. The timer is set again only for a deadline before the one that it waits for.
 */
export class Alarm {
  #timer: ReturnType<typeof setTimeout> | undefined;
  #due = Infinity;
  readonly #onDue: (now: number) => number;

  /** @param onDue Handles the deadlines that are over at `now`, and returns the next one, `Infinity` for none. */
  constructor(onDue: (now: number) => number) {
    this.#onDue = onDue;
  }

  /** Adds a deadline, by `performance.now()`. The alarm is at most 5 ms late. */
  set(deadline: number): void {
    if (deadline >= this.#due) return;
    clearTimeout(this.#timer);
    this.#due = deadline;
    this.#timer = setTimeout(this.#fire, Math.max(MIN_INTERVAL, deadline - performance.now()));
  }

  clear(): void {
    clearTimeout(this.#timer);
    this.#due = Infinity;
  }

  readonly #fire = (): void => {
    this.#due = Infinity;
    this.set(this.#onDue(performance.now()));
  };
}
