import { nextTick } from "node:process";

interface Flushable {
  queued: boolean;
  /** All who could run have come to wait. */
  onTurnEnd(): void;
}

/**
 * Flushes at the end of the turn: once the handlers that run now have all come to wait for something.
 *
 * `nextTick` runs when the microtasks are done, before the event loop looks for input again. So a hundred awaited
 * sends in a row are one write, and a handler that sends and then waits for a database has its bytes on the wire
 * meanwhile. One tick serves all the sessions that share the queue (0.14 µs; a `setImmediate` takes 0.7 µs).
 */
export class FlushQueue {
  #waiting: Flushable[] = [];
  #spare: Flushable[] = [];
  readonly #run = (): void => {
    const due = this.#waiting;
    this.#waiting = this.#spare;
    for (const output of due) {
      output.queued = false;
      output.onTurnEnd();
    }
    due.length = 0;
    this.#spare = due;
  };

  add(output: Flushable): void {
    output.queued = true;
    if (this.#waiting.push(output) === 1) nextTick(this.#run);
  }
}
