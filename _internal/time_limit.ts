/** Settles as `promise` does, or rejects with the reason of `signal` when it aborts. */
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

/** The limits of an attempt. */
interface TimeLimit {
  /** How long it may take, in milliseconds; `Infinity` for no limit. */
  timeout: number;
  /** Cancels the attempt. */
  signal: AbortSignal | undefined;
  /** Makes the error for the end of the time. */
  onTimeout: () => Error;
}

/**
 * Runs an attempt that can be cancelled and has a time limit. In both cases, the signal that it gets aborts, and this
 * rejects with the signal's reason. No timer and no listener is left.
 *
 * @param run The attempt. It must settle soon after its signal has aborted.
 * @param limit The limits.
 * @returns The result of the attempt.
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
    result.close(); // it was made in the turn in which the attempt was cancelled
    throw attempt.signal.reason;
  } catch (error) {
    throw attempt.signal.aborted ? attempt.signal.reason : error;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}
