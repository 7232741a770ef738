/** Settles as `promise` does, or rejects with the reason of `signal` as soon as that aborts. */
export async function unlessAborted<Result>(
  promise: Promise<Result>,
  signal: AbortSignal | undefined,
): Promise<Result> {
  if (signal === undefined) return await promise;
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener("abort", onAbort);
  if (signal.aborted) onAbort();
  try {
    return await Promise.race([aborted, promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** What ends an attempt from outside. */
interface TimeLimit {
  /** How long it may take, in milliseconds; `Infinity` for ever. */
  timeout: number;
  /** Gives up when it aborts. */
  signal: AbortSignal | undefined;
  /** What it comes to when the time is over. */
  onTimeout: () => Error;
}

/**
 * Runs an attempt until it gives something, fails, is aborted or has taken too long; the latter two as `giveUp`, whose
 * reason is then what this rejects with. Neither a timer nor a listener is left over.
 *
 * @param run The attempt, which settles soon once `giveUp` has aborted.
 * @param limit What ends it from outside.
 * @returns What it gave.
 */
export async function withinLimit<Result extends { close(): void }>(
  run: (giveUp: AbortSignal) => Promise<Result>,
  { timeout, signal, onTimeout }: TimeLimit,
): Promise<Result> {
  signal?.throwIfAborted();
  const attempt = new AbortController();
  const onAbort = () => attempt.abort(signal!.reason);
  const timer = timeout < Infinity
    ? setTimeout(() => attempt.abort(onTimeout()), timeout)
    : undefined;
  signal?.addEventListener("abort", onAbort);
  try {
    const result = await run(attempt.signal);
    if (!attempt.signal.aborted) return result;
    result.close(); // it was made in the very turn in which it was given up
    throw attempt.signal.reason;
  } catch (error) {
    throw attempt.signal.aborted ? attempt.signal.reason : error;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}
