import { busyError, closedError } from "./system_errors.ts";

/** Connections that were not accepted yet, and the accept that waits for one. */
export class AcceptQueue<Connection extends { close(): void }> {
  #connections: Connection[] = [];
  #waiting: PromiseWithResolvers<Connection> | undefined;
  #isClosed = false;

  /** How many connections wait. */
  get length(): number {
    return this.#connections.length;
  }

  get isWaiting(): boolean {
    return this.#waiting !== undefined;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  accept(): Promise<Connection> {
    if (this.#isClosed) return Promise.reject(closedError("listener"));
    if (this.#waiting !== undefined) return Promise.reject(busyError("an accept"));
    const connection = this.#connections.shift();
    if (connection !== undefined) return Promise.resolve(connection);
    this.#waiting = Promise.withResolvers();
    return this.#waiting.promise;
  }

  push(connection: Connection): void {
    if (this.#waiting === undefined) this.#connections.push(connection);
    else this.#waiting.resolve(connection);
    this.#waiting = undefined;
  }

  /** The connections that wait. They belong to the caller then. */
  takeAll(): Connection[] {
    return this.#connections.splice(0);
  }

  /** Rejects the accept that waits. */
  fail(error: unknown): void {
    this.#waiting?.reject(error);
    this.#waiting = undefined;
  }

  /** Closes the connections that wait, and rejects the accept that waits. */
  close(): void {
    this.#isClosed = true;
    this.fail(closedError("listener"));
    for (const connection of this.takeAll()) connection.close();
  }
}
