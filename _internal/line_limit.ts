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

/** A limit for each kind of lines, so that a flood of one kind hides none of another. The kinds must be few. */
export class LineLimits<Kind> {
  readonly #max: number;
  readonly #window: number;
  readonly #limits = new Map<Kind, LineLimit>();

  constructor(max: number, window: number) {
    this.#max = max;
    this.#window = window;
  }

  of(kind: Kind): LineLimit {
    const limit = this.#limits.get(kind) ?? new LineLimit(this.#max, this.#window);
    this.#limits.set(kind, limit);
    return limit;
  }

  /** How many lines of all kinds were omitted. */
  takeOmitted(): number {
    let omitted = 0;
    for (const limit of this.#limits.values()) omitted += limit.takeOmitted();
    return omitted;
  }
}
