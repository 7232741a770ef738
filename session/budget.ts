/** A reader that is paused because its session holds too much memory. */
export interface PausedReader {
  /** How many bytes it will hold once the current frame is complete, or has doubled if its length is unknown. */
  readonly demand: number;
  /** How much its buffer grows until then. */
  readonly growth: number;
  /** Allows it to hold this many bytes. */
  allow(bytes: number): void;
  /** Reads on, if it may by now. */
  resume(): void;
}

/** The next review of a budget, in bytes. */
interface Watch {
  /** A session that holds more unread input and unsent output than this is not read. */
  share: number;
  /** If more is held, memory is tight. */
  tight: number;
  /** A review is due when more than this is held, and buffers have grown by more than `growth` since the last one. */
  above: number;
  growth: number;
  /** A review is also due when buffers have shrunk by more than this. */
  release: number;
}

/**
 * Counts the memory of the buffers of a group of sessions: unread input and unsent output.
 *
 * Only the growing and shrinking of buffers is counted, so a message that fits into a buffer costs nothing here. Memory to
 * which several outputs refer counts for each of them. So `held` is never too small, and the review computes it exactly.
 */
export class Budget {
  /** How many bytes are held, at most. */
  held = 0;
  /** Whether reads have to be small. */
  isTight = false;
  /** Whether memory is short, so that a session that holds more than `share` is not read. */
  isShort = false;
  share: number = Infinity;
  /** Whether `review()` has to be called. */
  isDue = false;
  /** The readers that are paused. */
  readonly paused: Set<PausedReader> = new Set();
  #onReview: (() => void) | undefined;
  #tight = Infinity;
  #above = Infinity;
  #growthLeft = Infinity;
  #releaseLeft = Infinity;
  #isReviewing = false;

  /** Calls `onReview` now and whenever a review is due. It has to call `watch()`. */
  limit(onReview: () => void): void {
    this.#onReview = onReview;
    this.review();
  }

  /** Sets when the next review is due. */
  watch({ share, tight, above, growth, release }: Watch): void {
    this.share = share;
    this.isShort = share < Infinity;
    this.#tight = tight;
    this.isTight = this.held > tight;
    this.#above = above;
    this.#growthLeft = growth;
    this.#releaseLeft = release;
  }

  /** Counts a buffer that has grown by `bytes`, or shrunk if the number is negative. */
  change(bytes: number): void {
    const held = this.held += bytes;
    this.isTight = held > this.#tight;
    if (bytes > 0) {
      this.#growthLeft -= bytes;
      if (this.#growthLeft < 0 && held > this.#above) this.isDue = true;
    } else {
      this.#releaseLeft += bytes;
      if (this.#releaseLeft < 0) this.#recover();
    }
  }

  /** Reviews what is held. This may end any session, so call it only where that is possible. */
  review(): void {
    this.isDue = false;
    if (this.#isReviewing) return;
    this.#isReviewing = true;
    try {
      this.#onReview?.();
    } finally {
      this.#isReviewing = false;
    }
  }

  /** Reviews in a microtask: buffers shrink in the middle of operations, which have to end first. */
  #recover(): void {
    this.#releaseLeft = Infinity;
    queueMicrotask(() => this.review());
  }
}
