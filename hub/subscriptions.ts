import type { Bus } from "./bus.ts";

/** How many groups may be subscribed at a time that the bus has not confirmed. */
const MAX_PENDING = 256;

/** A subscription that is not confirmed yet. */
interface Waiting {
  /** Whether the group has members. */
  isWanted: boolean;
  resolve(): void;
}

/**
 * The subscriptions of a hub to its groups.
 *
 * A bus that is away or stands still confirms none. It is then asked for a bounded number of groups, and for none that was
 * left meanwhile: sessions that join and leave again and again take no memory.
 */
export class Subscriptions {
  readonly #bus: Bus;
  readonly #onError: (error: unknown) => void;
  readonly #waiting = new Map<string, Waiting>();
  /** Those that the bus was not asked for yet. */
  readonly #due = new Set<string>();
  #isClosed = false;

  constructor(bus: Bus, onError: (error: unknown) => void) {
    this.#bus = bus;
    this.#onError = onError;
  }

  /** Subscribes to a group. Resolves once its messages arrive, or it is removed. */
  add(group: string): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const left = this.#waiting.get(group);
    if (left !== undefined) Object.assign(left, { isWanted: true, resolve });
    else {
      this.#waiting.set(group, { isWanted: true, resolve });
      this.#due.add(group);
      this.#askNext();
    }
    return promise;
  }

  /** Ends the subscription to a group. */
  remove(group: string): void {
    const waiting = this.#waiting.get(group);
    if (waiting === undefined) return this.#bus.unsubscribe(group);
    waiting.isWanted = false;
    waiting.resolve();
    if (this.#due.delete(group)) this.#waiting.delete(group);
  }

  /** The bus is being closed, and ends what is left by itself. */
  close(): void {
    this.#isClosed = true;
  }

  #askNext(): void {
    for (const group of this.#due) {
      if (this.#waiting.size - this.#due.size >= MAX_PENDING) return;
      this.#due.delete(group);
      this.#ask(group);
    }
  }

  async #ask(group: string): Promise<void> {
    try {
      await this.#bus.subscribe(group);
    } catch (error) {
      this.#onError(error);
    }
    const { isWanted, resolve } = this.#waiting.get(group)!;
    this.#waiting.delete(group);
    if (isWanted) resolve();
    else if (!this.#isClosed) this.#bus.unsubscribe(group);
    this.#askNext();
  }
}
