import { setImmediate } from "node:timers";

/** A turn of the event loop that has taken so many milliseconds is over. */
const LONGEST = 4;
/** Whether a turn takes long is asked no more often than this, in milliseconds, and after so many frames. */
const SHORT = 1;
const FRAMES = 64;
/** What rests does so until the event loop has come round so often, or for so many milliseconds. */
const ROUNDS = 64;
const REST = 2;

/** What waits for the next turn. */
interface Resting {
  onTurn(): void;
}

/**
 * Gives the event loop its turn, however many frames there are in memory: a loop over them takes microtasks alone, so
 * that no other session and no timer would run before the last of them.
 *
 * A clock decides, which takes 0.1 µs and so is looked at now and then, and a `setImmediate` (1 µs) that tells whether
 * the event loop has come round meanwhile: what is worked off sooner, as nearly everything is, must not be cut in two,
 * since that takes another write. A rest is many rounds, 0.3 ms if there is nothing else to do, because Deno 2.9 looks
 * for input in each 61st only as long as there is an immediate to run; a timer takes 2 ms.
 */
class Turn {
  /** Whether what is in memory has to wait for the next turn. */
  isOver = false;
  #framesLeft = FRAMES;
  #askedAt = 0;
  /** Whether the event loop has not come round since that was last asked. */
  #isLong = false;
  #resting: Resting[] = [];
  #restUntil = 0;
  #roundsLeft = 0;

  /** Counts a frame that is asked for. */
  count(): void {
    if (--this.#framesLeft === 0) this.#look();
  }

  /** Has somebody called when the next turn has come. */
  add(resting: Resting): void {
    if (this.#resting.push(resting) > 1) return;
    this.#roundsLeft = ROUNDS;
    this.#restUntil = performance.now() + REST;
    setImmediate(this.#onRest);
  }

  #look(): void {
    this.#framesLeft = FRAMES;
    const now = performance.now();
    const taken = now - this.#askedAt;
    if (this.#isLong) this.isOver = taken >= LONGEST;
    else if (taken >= SHORT) {
      this.#askedAt = now;
      this.#isLong = true;
      setImmediate(this.#onRound);
    }
  }

  readonly #onRound = (): void => {
    this.#isLong = false;
    if (this.#resting.length === 0) this.isOver = false;
  };

  readonly #onRest = (): void => {
    if (--this.#roundsLeft > 0 && performance.now() < this.#restUntil) {
      setImmediate(this.#onRest);
      return;
    }
    const due = this.#resting;
    this.#resting = [];
    this.isOver = false;
    for (const resting of due) resting.onTurn();
  };
}

/**
 * The turn of this thread's event loop. All sessions share it, whichever server or client they belong to: if each had
 * a time of its own, a thousand of them would take a thousand times as long.
 */
export const turn: Turn = new Turn();
