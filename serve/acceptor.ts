/** The accept loop of a server. */

import { systemErrors } from "../_internal/system_error_classes.ts";
import type { Connection, Listener } from "../transport/connection.ts";

/** How long to wait before accepting again when descriptors or memory have run out, in milliseconds. It doubles. */
const MIN_RETRY = 5;
const MAX_RETRY = 1000;
/** After how many resets in a row accepting pauses for a moment. */
const MAX_RESETS = 1000;
/** Up to this many connections, something else has taken the descriptors. */
const FEW = 8;
/** How long the known limit of descriptors is used before it is tested again, in milliseconds. It doubles. */
const MIN_AGE = 1000;
const MAX_AGE = 60_000;

/** What the accept loop asks its server, and reports to it. */
export interface AcceptorHooks {
  /** Whether to stop. */
  isStopping(): boolean;
  /** Whether to accept nothing for now. */
  isWaiting(): boolean;
  /** Whether to hold what was accepted meanwhile. */
  isSuspended(): boolean;
  /** How many connections are open. */
  count(): number;
  /** Resolves when any of these may have changed. */
  nextChange(): Promise<void>;
  /**
   * A connection was accepted. Returns `false` if it has to be held until the next change, and then offered again, or, once
   * the server has stopped, to be closed.
   */
  onConnection(connection: Connection): boolean;
  /** The last descriptor is taken, and many of them are connections: one of these should be closed. */
  onExhausted(error: unknown): void;
  /** Accepting failed. It is tried again within `retryIn` milliseconds; `Infinity` if the listener is closed. */
  onError(error: unknown, retryIn: number): void;
}

/**
 * Accepts until the server stops.
 *
 * No client can end this loop. A connection that is reset before it is accepted is ignored (its error is
 * `NotConnected`). Without descriptors, accepting fails thousands of times a second unless it is slowed down.
 *
 * The rest of the process needs descriptors, too. So when they have run out, the limit becomes one connection less than
 * there were, and further ones wait in the backlog. Linux allocates the descriptor before it looks for a connection, so
 * accepting fails as soon as the last descriptor is taken, and not when the next client comes.
 */
export async function acceptAll(listener: Listener, hooks: AcceptorHooks): Promise<void> {
  const room = new Room();
  let retryIn = 0;
  let resets = 0;
  for (;;) {
    while (!hooks.isStopping() && hooks.isWaiting()) await hooks.nextChange();
    if (hooks.isStopping()) return;
    const wait = room.fullFor(hooks.count());
    if (wait > 0) {
      await pause(wait, hooks, () => room.fullFor(hooks.count()) === 0);
      continue;
    }
    try {
      const connection = await listener.accept();
      retryIn = resets = 0;
      // The server may have stopped since the system has accepted it, and must serve it nevertheless.
      let isHeld = hooks.isSuspended() || !hooks.onConnection(connection);
      while (isHeld && !hooks.isStopping()) {
        await hooks.nextChange();
        isHeld = hooks.isStopping() || hooks.isSuspended() || !hooks.onConnection(connection);
      }
      if (isHeld) connection.close();
    } catch (error) {
      if (hooks.isStopping()) return;
      if (isTransient(error)) {
        if (++resets % MAX_RESETS === 0) await pause(MIN_RETRY, hooks); // lets other tasks run
        continue;
      }
      const isClosed = error instanceof systemErrors.BadResource; // not by this server: no retry helps
      retryIn = isClosed ? Infinity : Math.min(MAX_RETRY, Math.max(MIN_RETRY, retryIn * 2));
      if (isExhaustion(error) && hooks.count() > FEW) {
        room.learn(hooks.count());
        hooks.onExhausted(error);
        await pause(MIN_RETRY, hooks); // until there is a descriptor, also for the listeners of the event
        if (hooks.isStopping()) return;
      }
      hooks.onError(error, Math.max(retryIn, room.fullFor(hooks.count())));
      if (!isClosed) await pause(retryIn, hooks);
    }
  }
}

/** How many connections there are descriptors for, which is learnt when descriptors run out. */
class Room {
  #limit = Infinity;
  #foundAt = -Infinity;
  #age = 0;

  /** Notes that there is no room for one more connection than `count`, and no descriptor in reserve. */
  learn(count: number): void {
    const now = performance.now();
    const isRecent = now - this.#foundAt < 2 * this.#age;
    this.#age = isRecent ? Math.min(MAX_AGE, 2 * this.#age) : MIN_AGE;
    this.#foundAt = now;
    this.#limit = count - 1;
  }

  /** How long there is no room for another connection, in milliseconds. After that, it has to be tried again. */
  fullFor(count: number): number {
    if (count < this.#limit) return 0;
    return Math.max(0, Math.ceil(this.#foundAt + this.#age - performance.now()));
  }
}

/** Waits for `duration`, or until the server stops or `isSo()` holds. */
async function pause(
  duration: number,
  hooks: AcceptorHooks,
  isSo: () => boolean = () => false,
): Promise<void> {
  let isOver = false;
  const { promise: timeout, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(() => {
    isOver = true;
    resolve();
  }, duration);
  while (!isOver && !hooks.isStopping() && !isSo()) {
    await Promise.race([timeout, hooks.nextChange()]);
  }
  clearTimeout(timer);
}

/** Whether the process, or the system, has no descriptor left. */
function isExhaustion(error: unknown): boolean {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  return code === "EMFILE" || code === "ENFILE";
}

/** Whether accepting failed only for the one client. */
function isTransient(error: unknown): boolean {
  const { NotConnected, ConnectionReset, ConnectionAborted, Interrupted } = systemErrors;
  return [NotConnected, ConnectionReset, ConnectionAborted, Interrupted].some((kind) =>
    error instanceof kind
  );
}
