/** Alarms come no closer to each other than this, in milliseconds, so that many deadlines cost little. */
const MIN_INTERVAL = 5;

/**
 * One timer for many deadlines. Most deadlines are never met, so nothing is kept in order: when the timer fires, its
 * owner looks at all of them, and it is set anew only for one that is earlier than the one it waits for.
 */
export class Alarm {
  #timer: ReturnType<typeof setTimeout> | undefined;
  #due = Infinity;
  readonly #onDue: (now: number) => number;

  /** @param onDue Sees to the deadlines that are over `now`, and returns the next one, `Infinity` for none. */
  constructor(onDue: (now: number) => number) {
    this.#onDue = onDue;
  }

  /** Takes note of a deadline by `performance.now()`, which it will not miss by more than 5 ms. */
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
