/** How a server accepts. */

import type { Connection, Listener } from "../transport/connection.ts";

/** Out of descriptors or memory, accepting is tried again after these many milliseconds, doubling. */
const MIN_RETRY = 5;
const MAX_RETRY = 1000;
/** After so many resets in a row, accepting rests for a moment. */
const MAX_RESETS = 1000;

/** What accepting asks and tells its server. */
export interface AcceptorHooks {
  /** Whether to stop. */
  isStopping(): boolean;
  /** Whether to accept nothing for now. */
  isWaiting(): boolean;
  /** Whether to hold what was accepted meanwhile. */
  isSuspended(): boolean;
  /** Resolves when any of these may have changed. */
  nextChange(): Promise<void>;
  /** A connection was accepted. */
  onConnection(connection: Connection): void;
  /** Accepting failed, and is tried again after so many milliseconds; `Infinity` if the listener is closed. */
  onError(error: unknown, retryIn: number): void;
}

/**
 * Accepts until the server stops.
 *
 * No client can end this loop. A connection that is reset before it was accepted is nothing (the error is told as
 * `NotConnected`); out of descriptors, accepting fails thousands of times a second unless it is slowed down.
 */
export async function acceptAll(listener: Listener, hooks: AcceptorHooks): Promise<void> {
  let retryIn = 0;
  let resets = 0;
  for (;;) {
    while (!hooks.isStopping() && hooks.isWaiting()) await hooks.nextChange();
    if (hooks.isStopping()) return;
    try {
      const connection = await listener.accept();
      retryIn = resets = 0;
      while (!hooks.isStopping() && hooks.isSuspended()) await hooks.nextChange();
      if (hooks.isStopping()) connection.close();
      else hooks.onConnection(connection);
    } catch (error) {
      if (hooks.isStopping()) return;
      if (isTransient(error)) {
        if (++resets % MAX_RESETS === 0) await pause(MIN_RETRY, hooks); // so that others have their turn
        continue;
      }
      const isClosed = error instanceof Deno.errors.BadResource; // by somebody else: no retry helps
      retryIn = isClosed ? Infinity : Math.min(MAX_RETRY, Math.max(MIN_RETRY, retryIn * 2));
      hooks.onError(error, retryIn);
      if (!isClosed) await pause(retryIn, hooks);
    }
  }
}

/** Waits for so long, or until the server stops. */
async function pause(duration: number, hooks: AcceptorHooks): Promise<void> {
  let isOver = false;
  const { promise: timeout, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(() => {
    isOver = true;
    resolve();
  }, duration);
  while (!isOver && !hooks.isStopping()) await Promise.race([timeout, hooks.nextChange()]);
  clearTimeout(timer);
}

/** Whether accepting failed only because of the one client that was to be accepted. */
function isTransient(error: unknown): boolean {
  const { NotConnected, ConnectionReset, ConnectionAborted, Interrupted } = Deno.errors;
  return [NotConnected, ConnectionReset, ConnectionAborted, Interrupted].some((kind) =>
    error instanceof kind
  );
}
