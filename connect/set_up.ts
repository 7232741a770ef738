import { unlessAborted } from "../_internal/time_limit.ts";
import { ConnectTimeoutError, RequestTimeoutError } from "../errors.ts";
import type { Lifecycle } from "../session/lifecycle.ts";
import type { Session } from "../session.ts";

/** How long a set-up may take, and what an error says about it. */
interface SetUpLimit {
  address: string;
  /** In milliseconds. */
  timeout: number;
  /** What the error calls the set-up. */
  what: string;
}

/** Sets up a new session. Rejects if the session ends, or if the set-up takes too long. */
export async function withinSetUp<Result>(
  session: Session,
  run: (session: Session) => Result | Promise<Result>,
  { address, timeout, what }: SetUpLimit,
): Promise<Result> {
  let late: Error | undefined;
  const timer = timeout === Infinity ? undefined : setTimeout(() => {
    late = new ConnectTimeoutError(address, `no ${what} within ${timeout} ms (setUpTimeout)`);
    session.abort(late);
  }, timeout);
  try {
    return await unlessAborted((async () => await run(session))(), session.signal);
  } catch (error) {
    throw late ?? error;
  } finally {
    clearTimeout(timer);
  }
}

/** Whether a set-up has failed for a reason of its own, and not because of the peer or the network. */
export function isOwnError(error: unknown, life: Lifecycle): boolean {
  const foreign = [ConnectTimeoutError, RequestTimeoutError];
  return !life.threw(error) && !life.reader.ended && !foreign.some((kind) => error instanceof kind);
}
