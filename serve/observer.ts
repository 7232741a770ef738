/**
 * The events of a server.
 *
 * The server itself never logs. It reports events to observers, for logging or for metrics.
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

import { LineLimit, LineLimits } from "../_internal/line_limit.ts";
import { type Logger, withoutPlaceholders } from "../_internal/logging.ts";
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
 * The state of a server: `listening`; `suspended` while it accepts no new sessions; `lame-duck` after `shutdown()` while
 * its `drainDelay` lasts, in which it still accepts; `draining` while its sessions end; `closed` when the last one has
 * ended. On a Unix socket whose file exists already, it begins as `starting`. Observers are not told of that state, nor of
 * the end of a server that has never listened.
 *
 * A server is ready for new clients only while it is `listening`: this is what a readiness probe has to ask.
 */
export type ServerState =
  | "starting"
  | "listening"
  | "suspended"
  | "lame-duck"
  | "draining"
  | "closed";

/**
 * Why a connection was refused.
 *
 * | reason | meaning |
 * |---|---|
 * | `maxSessions` | the server is full, and its option `overload` says to refuse |
 * | `maxSessionsPerAddress` | too many are open from the same address |
 * | `sessionRate` | too many were opened from the same address within a short time |
 * | `denied` | the address is in the list `deny`, or not in `allow` |
 * | `untrusted` | the address is not that of a trusted proxy |
 * | `proxy-header` | there was no valid PROXY header in time |
 * | `handshake` | the TLS handshake failed, or took too long |
 * | `left` | the peer left before it sent anything of a PROXY header or TLS, as many health checks do |
 * | `descriptors` | it took the last descriptor of the process, which must stay free |
 */
export type RefusalReason =
  | "maxSessions"
  | "maxSessionsPerAddress"
  | "sessionRate"
  | "denied"
  | "untrusted"
  | "proxy-header"
  | "handshake"
  | "left"
  | "descriptors";

/** A connection that was closed before it became a session. */
export interface Refusal {
  /** The address of the peer. */
  remoteAddr: Address;
  /** Why it was refused. */
  reason: RefusalReason;
  /** The error behind the reason, if there is one, such as that of a handshake. */
  cause?: unknown;
}

/**
 * The steps that a server takes when memory is short, see `maxBufferMemory` of its options. Each includes those before.
 *
 * | step | meaning |
 * |---|---|
 * | `none` | there is enough memory again |
 * | `reading-paused` | the sessions that hold most are not read, over 5/8 of the limit |
 * | `accepting-paused` | no connection is accepted, over 3/4 of the limit |
 * | `sessions-ended` | the sessions that held most for the longest time without a byte were ended |
 */
export type MemoryPressure =
  | "none"
  | "reading-paused"
  | "accepting-paused"
  | "sessions-ended";

/** A step that a server took because memory is short, or took back. */
export interface MemoryPressureEvent {
  /** What the server does now, or, for `sessions-ended`, has done. */
  pressure: MemoryPressure;
  /** How much the buffers of all sessions and their TLS layers hold, in bytes. */
  held: number;
  /** `maxBufferMemory`, in bytes. */
  limit: number;
  /** How many sessions would be read if they held less. */
  paused: number;
  /** How many sessions were ended in this step. */
  ended: number;
}

/** Observes a server. Errors that it throws are reported to `onError` and have no other effect. */
export interface ServerObserver {
  /**
   * The state of the server has changed.
   *
   * @param state The new state.
   * @param addr The address of the server.
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
   * @param refusal The peer and the reason.
   */
  onRefusal?(refusal: Refusal): void;
  /**
   * The memory of the sessions' buffers is short, or no longer short.
   *
   * @param event The step that was taken.
   */
  onMemoryPressure?(event: MemoryPressureEvent): void;
  /**
   * A connection could not be accepted. The server continues.
   *
   * @param error The error.
   * @param retryIn Within how many milliseconds the server accepts again; `Infinity` if the listener is closed. Then the
   * server drains.
   */
  onAcceptError?(error: unknown, retryIn: number): void;
  /**
   * A handler, a `goodbye` or a `heartbeat` threw an error that did not come from its session. Only that session ends.
   *
   * @param error The error.
   * @param session The session.
   */
  onHandlerError?(error: unknown, session: Session): void;
}

/** At most this many refusals of a reason are logged within the window (in milliseconds): refused peers must not fill the log. */
const MAX_REFUSALS = 10;
const REFUSAL_WINDOW = 10_000;

/** What the log says about a refusal. */
const REFUSALS: Record<RefusalReason, string> = {
  maxSessions: "maxSessions reached",
  maxSessionsPerAddress: "maxSessionsPerAddress reached",
  sessionRate: "sessionRate exceeded",
  denied: "its address is denied",
  untrusted: "it is not a trusted proxy",
  "proxy-header": "no valid PROXY header",
  handshake: "the TLS handshake failed",
  left: "it left before it sent anything",
  descriptors: "it took the last descriptor",
};

/** The log message for each step. */
const PRESSURES: Record<MemoryPressure, (ended: number) => string> = {
  none: () => "memory is sufficient again",
  "reading-paused": () => "the sessions that hold most memory are not read for now",
  "accepting-paused": () => "no connection is accepted for now",
  "sessions-ended": (ended) =>
    ended === 1
      ? "a session that held too much memory was ended"
      : `${ended} sessions that held too much memory were ended`,
};

/**
 * Makes an observer that logs: sessions and states as `info`, refusals and accept errors as `warn`, errors of handlers as
 * `error`. Refusals with the reason `left` are logged as `debug`.
 *
 * At most 10 refusals with the same reason are logged within 10 seconds. The next one with this reason, or the message of
 * the closed server, says how many were omitted.
 *
 * @param logger The logger.
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
  const refusals = new LineLimits<RefusalReason>(MAX_REFUSALS, REFUSAL_WINDOW);
  const leavers = new LineLimit(MAX_REFUSALS, REFUSAL_WINDOW);
  const pressures = new LineLimit(MAX_REFUSALS, REFUSAL_WINDOW);
  return {
    onStateChange(state, addr): void {
      const address = formatAddress(addr);
      const text = state === "listening" ? `listening on ${address}` : `${state} (${address})`;
      const omitted = state === "closed" ? refusals.takeOmitted() : 0;
      logger.info(withoutPlaceholders(text) + more(omitted), {
        state,
        address,
        ...(omitted > 0 && { omitted }),
      });
    },
    onSessionStart(session): void {
      const { id, address } = identity(session);
      logger.info(`session ${id} from ${withoutPlaceholders(address)} started`, { id, address });
    },
    onSessionEnd(session, end): void {
      const { id, address } = identity(session);
      const { text, fields } = endRecord(session, end);
      logger.info(`session ${id} from ${withoutPlaceholders(address)} ended: ${text}`, {
        id,
        address,
        ...fields,
      });
    },
    onRefusal({ remoteAddr, reason, cause }): void {
      const isLeaver = reason === "left";
      const limit = isLeaver ? leavers : refusals.of(reason);
      if (!limit.take()) return;
      const address = formatAddress(remoteAddr);
      const omitted = limit.takeOmitted();
      const why = cause === undefined || isLeaver ? "" : ` (${textOf(cause)})`;
      const level = isLeaver ? "debug" : "warn";
      logger[level](
        withoutPlaceholders(`connection from ${address} refused: ${REFUSALS[reason]}${why}`) +
          more(omitted),
        {
          address,
          reason,
          ...(cause !== undefined && { cause: factsOf(cause) }),
          ...(omitted > 0 && { omitted }),
        },
      );
    },
    onMemoryPressure({ pressure, held, limit, paused, ended }): void {
      if (!pressures.take()) return;
      const omitted = pressures.takeOmitted();
      const fields = { pressure, held, limit, paused, ended };
      const level = pressure === "none" ? "info" : "warn";
      logger[level](
        `${PRESSURES[pressure](ended)}: buffers hold ${held} bytes, maxBufferMemory is ${limit}` +
          (omitted === 0 ? "" : `; ${omitted} more such messages were not logged`),
        { ...fields, ...(omitted > 0 && { omitted }) },
      );
    },
    onAcceptError(error, retryIn): void {
      const then = retryIn === Infinity ? "shutting down" : `again within ${retryIn} ms`;
      logger.warn(`cannot accept (${then}): ${withoutPlaceholders(textOf(error))}`, {
        error: factsOf(error),
        retryIn,
      });
    },
    onHandlerError(error, session): void {
      const { id, address } = identity(session);
      const text = withoutPlaceholders(stackOf(error));
      logger.error(
        `the handler of session ${id} from ${withoutPlaceholders(address)} threw: ${text}`,
        {
          id,
          address,
          error: factsOf(error),
        },
      );
    },
  };
}

function more(omitted: number): string {
  return omitted === 0 ? "" : `; ${omitted} more were refused and not logged`;
}

function identity(session: Session): { id: number; address: string } {
  return { id: session.id, address: formatAddress(session.remoteAddr) };
}
