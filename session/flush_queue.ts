import { nextTick } from "node:process";

interface Flushable {
  queued: boolean;
  /** Called when all handlers that could run wait for something. */
  onTurnEnd(): void;
}

/**
 * Flushes outputs at the end of the turn: when all handlers that could run wait for something.
 *
 * `nextTick` runs when the microtasks are done, before the event loop looks for input again. So a hundred awaited sends
 * in a row become one write, and the output of a handler that then waits for a database is sent meanwhile. One tick
 * serves all sessions that share the queue (0.14 µs; a `setImmediate` takes 0.7 µs).
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
