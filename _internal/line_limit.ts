/** Lets `max` lines pass within a window in milliseconds, and counts the others. */
export class LineLimit {
  readonly #max: number;
  readonly #window: number;
  #begin = -Infinity;
  #lines = 0;
  #omitted = 0;

  constructor(max: number, window: number) {
    this.#max = max;
    this.#window = window;
  }

  /** Whether a line may pass now. */
  take(): boolean {
    const now = performance.now();
    if (now - this.#begin >= this.#window) {
      this.#begin = now;
      this.#lines = 0;
    }
    const passes = this.#lines < this.#max;
    if (passes) this.#lines++;
    else this.#omitted++;
    return passes;
  }

  /** How many lines were omitted since the last call. */
  takeOmitted(): number {
    const omitted = this.#omitted;
    this.#omitted = 0;
    return omitted;
  }
}
