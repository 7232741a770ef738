import { unlessAborted } from "../_internal/time_limit.ts";
import { ConnectTimeoutError } from "../errors.ts";
import type { Session } from "../session.ts";

/** Where a session leads to, and how long something that is done with it may take, in milliseconds. */
interface SetUpLimit {
  address: string;
  timeout: number;
  /** What takes the time, and the option that bounds it. */
  what: string;
}

/** Does something with a new session, until it is done, the session has ended, or it has taken too long. */
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
