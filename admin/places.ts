import type { Session } from "../session.ts";

/** How many connections there may be. */
const MAX_CONNECTIONS = 64;

/**
 * The places for connections. If there is none left for a new one, the connection is ended that has waited the longest for its
 * request, or for its client to take the answer and close: no number of silent clients keeps a probe from being answered.
 */
export class Places {
  readonly #open: Set<Session> = new Set();
  /** Those that may be ended, from the oldest to the newest. */
  readonly #waiting: Set<Session> = new Set();

  /** A connection takes a place until it is closed. It waits for its request. */
  enter(session: Session): void {
    if (this.#open.size >= MAX_CONNECTIONS) this.#endOldest();
    this.#open.add(session);
    this.#waiting.add(session);
    session.closed.then(() => this.#leave(session));
  }

  /** The request of a connection has come, and is worked on. */
  hold(session: Session): void {
    this.#waiting.delete(session);
  }

  /** The answer is there. The connection waits for its client again. */
  release(session: Session): void {
    if (this.#open.has(session)) this.#waiting.add(session);
  }

  #endOldest(): void {
    const [oldest] = this.#waiting;
    if (oldest === undefined) return;
    this.#leave(oldest);
    oldest.abort(new Error(`there are more than ${MAX_CONNECTIONS} connections`));
  }

  #leave(session: Session): void {
    this.#open.delete(session);
    this.#waiting.delete(session);
  }
}
