/** The events of a datagram server. */

import { type Address, formatAddress } from "../_internal/address.ts";
import { LineLimit, LineLimits } from "../_internal/line_limit.ts";
import { type Logger, withoutPlaceholders } from "../_internal/logging.ts";
import { factsOf, stackOf, textOf } from "../_internal/thrown.ts";
import type { ServerState } from "../serve/observer.ts";

/**
 * Why a datagram was dropped.
 *
 * | reason | meaning |
 * |---|---|
 * | `denied` | the address is in the list `deny`, or not in `allow` |
 * | `rate` | the address has sent more than `messageRate` |
 * | `too-large` | it has more than `maxMessageSize` bytes |
 * | `queue-full` | it came too fast: `maxQueuedBytes` were waiting |
 * | `malformed` | the codec could not decode it |
 * | `draining` | it came after `shutdown()` |
 * | `amplification` | an answer, too large for what its unproven receiver had sent |
 */
export type DatagramDropReason =
  | "denied"
  | "rate"
  | "too-large"
  | "queue-full"
  | "malformed"
  | "draining"
  | "amplification";

/** Counts of drops, all 0. */
export function noDrops(): Record<DatagramDropReason, number> {
  return {
    denied: 0,
    rate: 0,
    "too-large": 0,
    "queue-full": 0,
    malformed: 0,
    draining: 0,
    amplification: 0,
  };
}

/** A datagram that was dropped. */
export interface DatagramDrop {
  /** The address of the peer. */
  remoteAddr: Address;
  /** Why it was dropped. */
  reason: DatagramDropReason;
  /** Its size in bytes. Of one that is `too-large`, Deno shows only that it is larger. */
  size: number;
  /** The error behind the reason, if there is one, such as that of a codec. */
  cause?: unknown;
}

/** Observes a datagram server. Errors that it throws are reported to `onError` and have no other effect. */
export interface DatagramObserver {
  /**
   * The state of the server has changed.
   *
   * @param state The new state.
   * @param addr The address of the server.
   */
  onStateChange?(state: ServerState, addr: Address): void;
  /**
   * A datagram was dropped. In a flood, this is called for each.
   *
   * @param drop The peer and the reason.
   */
  onDrop?(drop: DatagramDrop): void;
  /**
   * A handler threw an error that did not come from `send()`.
   *
   * @param error The error.
   * @param remoteAddr The sender of the message.
   */
  onHandlerError?(error: unknown, remoteAddr: Address): void;
  /**
   * A datagram could not be sent.
   *
   * @param error The error.
   * @param remoteAddr The receiver.
   */
  onSendError?(error: unknown, remoteAddr: Address): void;
  /**
   * Receiving failed. The server continues.
   *
   * @param error The error.
   */
  onReceiveError?(error: unknown): void;
}

/** At most this many messages of a kind are logged within the window (in milliseconds): peers must not fill the log. */
const MAX_LINES = 10;
const WINDOW = 10_000;

/** What the log says about a dropped datagram. */
const DROPS: Record<DatagramDropReason, string> = {
  denied: "its address is denied",
  rate: "messageRate exceeded",
  "too-large": "larger than maxMessageSize",
  "queue-full": "maxQueuedBytes reached",
  malformed: "the codec cannot decode it",
  draining: "the server is stopping",
  amplification: "the answer exceeds maxAmplification",
};

/**
 * Makes an observer that logs: states as `info`, drops and errors of sending and receiving as `warn`, errors of handlers as
 * `error`. At most 10 of each kind, and 10 drops of each reason, are logged within 10 seconds; the next one says how many
 * were omitted.
 *
 * @param logger The logger.
 * @returns The observer.
 *
 * @example
 * ```ts
 * import { logDatagramObserver } from "@parley/tcp/datagram";
 * import { assertEquals } from "@std/assert";
 *
 * const lines: string[] = [];
 * const log = (line: string) => void lines.push(line);
 * const observer = logDatagramObserver({ debug: log, info: log, warn: log, error: log });
 * const remoteAddr = { transport: "udp", hostname: "192.0.2.1", port: 53 } as const;
 * observer.onDrop?.({ remoteAddr, reason: "denied", size: 5 });
 * assertEquals(lines, ["datagram of 192.0.2.1:53 dropped (5 bytes): its address is denied"]);
 * ```
 */
export function logDatagramObserver(logger: Logger): DatagramObserver {
  const drops = new LineLimits<DatagramDropReason>(MAX_LINES, WINDOW);
  const [handlerErrors, sendErrors, receiveErrors] = [limit(), limit(), limit()];
  function log(
    level: "warn" | "error",
    limit: LineLimit,
    describe: () => [text: string, fields: Record<string, unknown>],
  ): void {
    if (!limit.take()) return;
    const omitted = limit.takeOmitted();
    const [text, fields] = describe();
    const more = omitted === 0 ? "" : `; ${omitted} more such messages were not logged`;
    logger[level](withoutPlaceholders(text) + more, { ...fields, ...(omitted > 0 && { omitted }) });
  }
  return {
    onStateChange(state, addr): void {
      const address = formatAddress(addr);
      const text = state === "listening"
        ? `receiving datagrams on ${address}`
        : `${state} (datagrams on ${address})`;
      logger.info(withoutPlaceholders(text), { state, address });
    },
    onDrop: ({ remoteAddr, reason, size, cause }) =>
      log("warn", drops.of(reason), () => {
        const address = formatAddress(remoteAddr);
        const why = cause === undefined ? "" : ` (${textOf(cause)})`;
        return [`datagram of ${address} dropped (${size} bytes): ${DROPS[reason]}${why}`, {
          address,
          reason,
          size,
          ...(cause !== undefined && { cause: factsOf(cause) }),
        }];
      }),
    onHandlerError: (error, remoteAddr) =>
      log("error", handlerErrors, () => {
        const address = formatAddress(remoteAddr);
        const text = `the handler of a datagram of ${address} threw: ${stackOf(error)}`;
        return [text, { address, error: factsOf(error) }];
      }),
    onSendError: (error, remoteAddr) =>
      log("warn", sendErrors, () => {
        const address = formatAddress(remoteAddr);
        return [`cannot send to ${address}: ${textOf(error)}`, { address, error: factsOf(error) }];
      }),
    onReceiveError: (error) =>
      log(
        "warn",
        receiveErrors,
        () => [`cannot receive: ${textOf(error)}`, { error: factsOf(error) }],
      ),
  };
}

function limit(): LineLimit {
  return new LineLimit(MAX_LINES, WINDOW);
}
