/** Input that is not read because its session holds too much. */
export interface Resting {
  /** How much it will hold if what has begun comes to its end, or to twice what there is of that. */
  readonly demand: number;
  /** Lets it hold so many bytes. */
  allow(bytes: number): void;
  /** Reads on, if it may by now. */
  resume(): void;
}

/** When a budget is to be reviewed, in bytes. */
interface Watch {
  /** Once more than this is held, and buffers have grown by more than `growth` since the last review. */
  above: number;
  growth: number;
  /** Once they have given back more than this. */
  release: number;
}

/**
 * Counts the memory that the buffers of a group of sessions hold, unread input and unsent output.
 *
 * Buffers tell it when they grow or shrink, and not what a message puts into them, so that a message costs nothing here.
 * What several outputs refer to counts for each of them: `held` is never too small, and whoever reviews it knows better.
 */
export class Budget {
  /** How many bytes are held, at most. */
  held = 0;
  /** Beyond so much, reads are small. */
  tight: number = Infinity;
  /** A session that holds more unread input and unsent output than this is not read. */
  share: number = Infinity;
  /** Whether `review()` is to be called. */
  isDue = false;
  /** Who would read if they held less. */
  readonly resting: Set<Resting> = new Set();
  #onReview: (() => void) | undefined;
  #above = Infinity;
  #growthLeft = Infinity;
  #releaseLeft = Infinity;
  #isReviewing = false;

  /** Has `onReview`, which is to call `watch()`, called now and whenever it is due. */
  limit(onReview: () => void): void {
    this.#onReview = onReview;
    this.review();
  }

  /** Says when the next review is due. */
  watch({ above, growth, release }: Watch): void {
    this.#above = above;
    this.#growthLeft = growth;
    this.#releaseLeft = release;
  }

  /** Counts a buffer that has grown, or with a number below 0 shrunk. */
  change(bytes: number): void {
    const held = this.held += bytes;
    if (bytes > 0) {
      this.#growthLeft -= bytes;
      if (this.#growthLeft < 0 && held > this.#above) this.isDue = true;
    } else {
      this.#releaseLeft += bytes;
      if (this.#releaseLeft < 0) this.#recover();
    }
  }

  /** Reviews what is held. Only for where a session may end, since it may end any of them. */
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

  /** Memory is given back in the middle of things: whatever that makes possible has to wait for their end. */
  #recover(): void {
    this.#releaseLeft = Infinity;
    queueMicrotask(() => this.review());
  }
}
