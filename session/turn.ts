import { setImmediate } from "node:timers";

/** How long one turn of the event loop may take before readings are deferred, in milliseconds. */
const MAX_TURN = 4;
/** How often that is checked: after this number of frames, and at most once in this number of milliseconds. */
const CHECK_INTERVAL = 1;
const CHECK_FRAMES = 64;
/** How long readings are deferred: for this number of rounds of the event loop, and at most this number of milliseconds. */
const DEFER_ROUNDS = 64;
const MAX_DEFER = 2;

/** A reading that waits for the next turn. */
interface Deferred {
  onTurn(): void;
}

/**
 * Lets the event loop run even if many frames are in memory. A loop over them takes only microtasks, so no other session
 * and no timer would run before the last of them.
 *
 * A clock decides. Reading it takes 0.1 µs, so it is read only now and then. A `setImmediate` (1 µs) tells whether the
 * event loop has run since: nearly all work is done sooner, and must not be interrupted, since that costs another write.
 * A deferral takes many rounds, 0.3 ms if there is nothing else to do, because Deno 2.9 looks for input only in each 61st
 * round while there is an immediate to run. A timer would take 2 ms.
 */
class Turn {
  /** Whether input in memory has to wait for the next turn. */
  isOver = false;
  #framesLeft = CHECK_FRAMES;
  #askedAt = 0;
  /** Whether the event loop has not run since the last check. */
  #isLong = false;
  #deferred: Deferred[] = [];
  #deferUntil = 0;
  #roundsLeft = 0;

  /** Counts a frame that is read. */
  count(): void {
    if (--this.#framesLeft === 0) this.#check();
  }

  /** Calls `onTurn()` when the next turn has come. */
  add(reader: Deferred): void {
    if (this.#deferred.push(reader) > 1) return;
    this.#roundsLeft = DEFER_ROUNDS;
    this.#deferUntil = performance.now() + MAX_DEFER;
    setImmediate(this.#onDeferral);
  }

  #check(): void {
    this.#framesLeft = CHECK_FRAMES;
    const now = performance.now();
    const taken = now - this.#askedAt;
    if (this.#isLong) {
      if (taken >= MAX_TURN) this.isOver = true;
    } else if (taken >= CHECK_INTERVAL) {
      this.#askedAt = now;
      this.#isLong = true;
      setImmediate(this.#onRound);
    }
  }

  readonly #onRound = (): void => {
    this.#isLong = false;
    if (this.#deferred.length === 0) this.isOver = false;
  };

  readonly #onDeferral = (): void => {
    if (--this.#roundsLeft > 0 && performance.now() < this.#deferUntil) {
      setImmediate(this.#onDeferral);
      return;
    }
    const due = this.#deferred;
    this.#deferred = [];
    this.isOver = false;
    for (const reader of due) reader.onTurn();
  };
}

/**
 * The turn of this thread's event loop. All sessions of all servers and clients share it: if each session had its own
 * limit, a thousand of them would take a thousand times as long.
 */
export const turn: Turn = new Turn();
