/** Who is told what a client does that comes back. */

import { type Logger, plain } from "../_internal/logging.ts";
import { factsOf, textOf } from "../_internal/thrown.ts";
import type { SessionEnd } from "../errors.ts";
import type { Session } from "../session.ts";
import { endRecord } from "../session/end_record.ts";
import { formatAddress } from "../transport/connection.ts";

/** Is told what a reconnecting client does. What it throws is reported to `onError` and harms nothing else. */
export interface ReconnectObserver {
  /**
   * A dial begins.
   *
   * @param address Where to, such as `127.0.0.1:1234`.
   * @param attempt The number of the dial since the client began or had a session that lasted: from 1.
   */
  onDial?(address: string, attempt: number): void;
  /**
   * A dial has failed or was called off.
   *
   * @param error What happened.
   * @param attempt The number that `onDial` was told.
   * @param retryIn After how many milliseconds the next dial begins; `Infinity` if there is none.
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
   * @param retryIn After how many milliseconds the next dial begins, if the loop has come to ask for it by then;
   * `Infinity` if there is none.
   */
  onSessionEnd?(session: Session, end: SessionEnd, retryIn: number): void;
}

/** An observer that logs what a client does that comes back. */
export function logReconnects(logger: Logger): Required<ReconnectObserver> {
  return {
    onDial(address, attempt): void {
      logger.debug(plain(`dialling ${address}, attempt ${attempt}`), { address, attempt });
    },
    onDialError(error, attempt, retryIn): void {
      const fields = { error: factsOf(error), attempt, retryIn };
      const then = retryIn === Infinity ? "giving up" : `again in ${retryIn} ms`;
      const text = `attempt ${attempt} to connect has failed (${then}): ${plain(textOf(error))}`;
      logger[retryIn === Infinity ? "error" : "warn"](text, fields);
    },
    onSessionStart({ id, remoteAddr }): void {
      const address = formatAddress(remoteAddr);
      logger.info(`session ${id} with ${plain(address)} started`, { id, address });
    },
    onSessionEnd(session, end, retryIn): void {
      const { id } = session;
      const address = formatAddress(session.remoteAddr);
      const { text, fields } = endRecord(session, end);
      const then = retryIn === Infinity ? "not coming back" : `dialling again in ${retryIn} ms`;
      const isFailure = retryIn === Infinity && end.reason === "error";
      logger[isFailure ? "error" : "info"](
        `session ${id} with ${plain(address)} ended: ${text}; ${then}`,
        { id, address, ...fields, retryIn },
      );
    },
  };
}
