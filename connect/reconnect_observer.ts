/** The observer of a reconnecting client. */

import { type Logger, withoutPlaceholders } from "../_internal/logging.ts";
import { factsOf, textOf } from "../_internal/thrown.ts";
import type { SessionEnd } from "../errors.ts";
import type { Session } from "../session.ts";
import { endRecord } from "../session/end_record.ts";
import { formatAddress } from "../transport/connection.ts";

/** Observes a reconnecting client. Errors that it throws are reported to `onError` and have no other effect. */
export interface ReconnectObserver {
  /**
   * A dial begins.
   *
   * @param address The address, such as `127.0.0.1:1234`.
   * @param attempt The number of the attempt: 1 for the first dial of the client, and after a session that did not fail.
   */
  onDial?(address: string, attempt: number): void;
  /**
   * A dial has failed or was cancelled.
   *
   * @param error The error.
   * @param attempt The number of the attempt, as in `onDial`.
   * @param retryIn Milliseconds until the next dial; `Infinity` if there is none.
   */
  onDialError?(error: unknown, attempt: number, retryIn: number): void;
  /**
   * A session begins. `setUp` is called next.
   *
   * @param session The session.
   */
  onSessionStart?(session: Session): void;
  /**
   * A session has ended, and its descriptor is free.
   *
   * @param session The session; its counters are final.
   * @param end Why and after how long.
   * @param retryIn Milliseconds until the next dial, if the loop has asked for a session by then; `Infinity` if there
   * is none.
   */
  onSessionEnd?(session: Session, end: SessionEnd, retryIn: number): void;
}

/** An observer that logs what a reconnecting client does. */
export function logReconnects(logger: Logger): Required<ReconnectObserver> {
  return {
    onDial(address, attempt): void {
      logger.debug(withoutPlaceholders(`dialling ${address}, attempt ${attempt}`), {
        address,
        attempt,
      });
    },
    onDialError(error, attempt, retryIn): void {
      const fields = { error: factsOf(error), attempt, retryIn };
      const then = retryIn === Infinity ? "giving up" : `again in ${retryIn} ms`;
      const text = `attempt ${attempt} to connect has failed (${then}): ${
        withoutPlaceholders(textOf(error))
      }`;
      logger[retryIn === Infinity ? "error" : "warn"](text, fields);
    },
    onSessionStart({ id, remoteAddr }): void {
      const address = formatAddress(remoteAddr);
      logger.info(`session ${id} with ${withoutPlaceholders(address)} started`, { id, address });
    },
    onSessionEnd(session, end, retryIn): void {
      const { id } = session;
      const address = formatAddress(session.remoteAddr);
      const { text, fields } = endRecord(session, end);
      const then = retryIn === Infinity ? "not reconnecting" : `dialling again in ${retryIn} ms`;
      const isFailure = retryIn === Infinity && end.reason === "error";
      logger[isFailure ? "error" : "info"](
        `session ${id} with ${withoutPlaceholders(address)} ended: ${text}; ${then}`,
        { id, address, ...fields, retryIn },
      );
    },
  };
}
