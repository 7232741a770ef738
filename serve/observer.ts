/**
 * What a server tells about itself.
 *
 * The server never logs. It tells an observer; logging is one observer, metrics another.
 *
 * @example Count the sessions by how they ended
 * ```ts
 * import { serve } from "@parley/tcp";
 *
 * const ends = new Map<string, number>();
 * await using server = serve({
 *   port: 0,
 *   observer: {
 *     onSessionEnd: (_session, { reason }) => ends.set(reason, (ends.get(reason) ?? 0) + 1),
 *   },
 * }, (session) => session.send("welcome!"));
 * ```
 *
 * @module
 */

import { type Logger, plain } from "../_internal/logging.ts";
import { factsOf, stackOf, textOf } from "../_internal/thrown.ts";
import type { SessionEnd } from "../errors.ts";
import type { Session } from "../session.ts";
import { endRecord } from "../session/end_record.ts";
import { type Address, formatAddress } from "../transport/connection.ts";

export type { LogFields, Logger } from "../_internal/logging.ts";
export { printable } from "../_internal/printable.ts";
export type { SessionEnd } from "../errors.ts";
export type { Session } from "../session.ts";
export type { Address } from "../transport/connection.ts";

/**
 * What a server does: it is `listening`; `suspended` while it takes no new sessions; `draining` from `shutdown()`
 * on; `closed` when its last session has ended. On a Unix socket whose file is there already it begins as `starting`,
 * of which observers are not told; nor are they of its end if it turns out that it cannot listen there.
 */
export type ServerState = "starting" | "listening" | "suspended" | "draining" | "closed";

/**
 * Why a connection was refused.
 *
 * | reason | meaning |
 * |---|---|
 * | `maxSessions` | the server is full, and its option `overload` says to refuse |
 * | `maxSessionsPerAddress` | too many are open from the same address |
 * | `denied` | the address is in the list `deny`, or not in `allow` |
 * | `untrusted` | the address is not that of a trusted proxy |
 * | `proxy-header` | there was no valid PROXY header in time |
 * | `handshake` | the TLS handshake failed, or took too long |
 * | `left` | the peer left before it had sent anything, a PROXY header or TLS, as many health checks do |
 * | `descriptors` | it took the last descriptor of the process, which is kept free |
 */
export type RefusalReason =
  | "maxSessions"
  | "maxSessionsPerAddress"
  | "denied"
  | "untrusted"
  | "proxy-header"
  | "handshake"
  | "left"
  | "descriptors";

/** A connection that was closed before it became a session. */
export interface Refusal {
  /** Who it was. */
  remoteAddr: Address;
  /** Why. */
  reason: RefusalReason;
  /** What lies behind the reason, where something does, such as the error of a handshake. */
  cause?: unknown;
}

/** Is told what happens in a server. What it throws is reported to `onError` and harms nothing else. */
export interface ServerObserver {
  /**
   * The server has come to another state.
   *
   * @param state The state.
   * @param addr The address that is, or was, listened on.
   */
  onStateChange?(state: ServerState, addr: Address): void;
  /**
   * A session begins. Its handler is called next.
   *
   * @param session The session.
   */
  onSessionStart?(session: Session): void;
  /**
   * A session has ended, and its descriptor is free.
   *
   * @param session The session; its counters are final.
   * @param end Why and after how long.
   */
  onSessionEnd?(session: Session, end: SessionEnd): void;
  /**
   * A connection was refused.
   *
   * @param refusal Who and why.
   */
  onRefusal?(refusal: Refusal): void;
  /**
   * A connection could not be accepted. The server goes on by itself.
   *
   * @param error What happened.
   * @param retryIn Within how many milliseconds it accepts again; `Infinity` if the listener is closed, so that the
   * server drains.
   */
  onAcceptError?(error: unknown, retryIn: number): void;
  /**
   * A handler threw something of its own, that is, not what its session threw at it. Only its session ends.
   *
   * @param error What it threw.
   * @param session Its session.
   */
  onHandlerError?(error: unknown, session: Session): void;
}

/** Prints the errors of a server that has been given nobody to tell: otherwise its handlers would fail in silence. */
export const printErrors: Required<Pick<ServerObserver, "onHandlerError" | "onAcceptError">> = {
  onHandlerError: (error): void => console.error(stackOf(error)),
  onAcceptError: (error): void => console.error(stackOf(error)),
};

/** At most so many refusals are logged within so many milliseconds: who is refused must not be able to fill the log. */
const MAX_REFUSALS = 10;
const REFUSAL_WINDOW = 10_000;

/** What the log says of a refusal. */
const REFUSALS: Record<RefusalReason, string> = {
  maxSessions: "maxSessions reached",
  maxSessionsPerAddress: "maxSessionsPerAddress reached",
  denied: "its address is denied",
  untrusted: "it is no trusted proxy",
  "proxy-header": "no valid PROXY header",
  handshake: "the TLS handshake failed",
  left: "it left before it had sent anything",
  descriptors: "it took the last descriptor",
};

/**
 * An observer that logs: sessions and states as `info`, refusals and accept errors as `warn`, handlers that throw as
 * `error`. That a peer left before it had sent anything (`left`) is logged as `debug`.
 *
 * Of refusals it logs 10 within 10 seconds at most, and as many of those that are logged as `debug`. How many were left
 * out is said by the next one that is logged, or when the server has closed.
 *
 * @param logger Where to.
 * @returns The observer.
 *
 * @example
 * ```ts
 * import { logObserver } from "@parley/tcp/observer";
 * import { assertEquals } from "@std/assert";
 *
 * const lines: string[] = [];
 * const log = (line: string) => void lines.push(line);
 * const observer = logObserver({ debug: log, info: log, warn: log, error: log });
 * observer.onStateChange?.("listening", { transport: "tcp", hostname: "127.0.0.1", port: 1234 });
 * assertEquals(lines, ["listening on 127.0.0.1:1234"]);
 * ```
 */
export function logObserver(logger: Logger): ServerObserver {
  const refusals = new LineLimit(MAX_REFUSALS, REFUSAL_WINDOW);
  const leavers = new LineLimit(MAX_REFUSALS, REFUSAL_WINDOW);
  return {
    onStateChange(state, addr): void {
      const address = formatAddress(addr);
      const text = state === "listening" ? `listening on ${address}` : `${state} (${address})`;
      const omitted = state === "closed" ? refusals.takeOmitted() : 0;
      logger.info(plain(text) + more(omitted), {
        state,
        address,
        ...(omitted > 0 && { omitted }),
      });
    },
    onSessionStart(session): void {
      const { id, address } = identity(session);
      logger.info(`session ${id} from ${plain(address)} started`, { id, address });
    },
    onSessionEnd(session, end): void {
      const { id, address } = identity(session);
      const { text, fields } = endRecord(session, end);
      logger.info(`session ${id} from ${plain(address)} ended: ${text}`, {
        id,
        address,
        ...fields,
      });
    },
    onRefusal({ remoteAddr, reason, cause }): void {
      const isLeaver = reason === "left";
      const limit = isLeaver ? leavers : refusals;
      if (!limit.take()) return;
      const address = formatAddress(remoteAddr);
      const omitted = limit.takeOmitted();
      const why = cause === undefined || isLeaver ? "" : ` (${textOf(cause)})`;
      const level = isLeaver ? "debug" : "warn";
      logger[level](
        plain(`connection from ${address} refused: ${REFUSALS[reason]}${why}`) + more(omitted),
        {
          address,
          reason,
          ...(cause !== undefined && { cause: factsOf(cause) }),
          ...(omitted > 0 && { omitted }),
        },
      );
    },
    onAcceptError(error, retryIn): void {
      const then = retryIn === Infinity ? "shutting down" : `again within ${retryIn} ms`;
      logger.warn(`cannot accept (${then}): ${plain(textOf(error))}`, {
        error: factsOf(error),
        retryIn,
      });
    },
    onHandlerError(error, session): void {
      const { id, address } = identity(session);
      const text = plain(stackOf(error));
      logger.error(`the handler of session ${id} from ${plain(address)} threw: ${text}`, {
        id,
        address,
        error: factsOf(error),
      });
    },
  };
}

/** Lets so many lines pass within so many milliseconds, and counts the others. */
class LineLimit {
  readonly #max: number;
  readonly #window: number;
  #begin = -Infinity;
  #lines = 0;
  #omitted = 0;

  constructor(max: number, window: number) {
    this.#max = max;
    this.#window = window;
  }

  /** Whether a line may pass now. */
  take(): boolean {
    const now = performance.now();
    if (now - this.#begin >= this.#window) {
      this.#begin = now;
      this.#lines = 0;
    }
    const passes = this.#lines < this.#max;
    if (passes) this.#lines++;
    else this.#omitted++;
    return passes;
  }

  /** How many were left out since this was last asked. */
  takeOmitted(): number {
    const omitted = this.#omitted;
    this.#omitted = 0;
    return omitted;
  }
}

function more(omitted: number): string {
  return omitted === 0 ? "" : `; ${omitted} more were refused and not logged`;
}

function identity(session: Session): { id: number; address: string } {
  return { id: session.id, address: formatAddress(session.remoteAddr) };
}
