/**
 * The errors that a caller of Parley may want to catch by name.
 *
 * Misuse (an invalid option, two readings at once) is a `TypeError` or a `RangeError` and is not listed here.
 *
 * @example Distinguish a line that is too long from a lost peer
 * ```ts
 * import { connect, type NetAddr, serve } from "@parley/tcp";
 * import { FrameTooLargeError, SessionEndedError } from "@parley/tcp/errors";
 *
 * await using server = serve({ port: 0 }, (session) => session.send("x".repeat(1000)));
 *
 * await using session = await connect({ port: (server.addr as NetAddr).port });
 * try {
 *   for await (const line of session.lines({ maxLength: 512 })) console.log(line);
 * } catch (error) {
 *   if (error instanceof FrameTooLargeError) console.log(`over ${error.limit} bytes`);
 *   else if (error instanceof SessionEndedError) console.log(`ended: ${error.reason}`);
 *   else throw error;
 * }
 * ```
 *
 * @module
 */

/**
 * Why a session ended.
 *
 * | reason | meaning |
 * |---|---|
 * | `peer` | the peer finished its side first, or vanished (then with a cause, such as a reset) |
 * | `local` | this side called `close()` or `abort()`, or its handler returned |
 * | `idle` | no byte passed in either direction for `idleTimeout` |
 * | `read-idle` | the peer sent no byte for `readIdleTimeout` |
 * | `heartbeat-missed` | the peer answered none of `maxMissed` heartbeats |
 * | `write-stalled` | the peer took no output for `writeTimeout`, or not all of it before the deadlines of `close()` |
 * | `frame-stalled` | a frame was not completed within `frameTimeout` |
 * | `lifetime` | the session reached `maxLifetime` |
 * | `limit` | a limit was exceeded: a frame or line too long, too much unsent output, too much memory, too many bytes a second, no descriptor left |
 * | `drain` | the server is shutting down |
 * | `handover` | another process goes on with the session |
 * | `error` | any other error, always with a cause |
 */
export type EndReason =
  | "peer"
  | "local"
  | "idle"
  | "read-idle"
  | "heartbeat-missed"
  | "write-stalled"
  | "frame-stalled"
  | "lifetime"
  | "limit"
  | "drain"
  | "handover"
  | "error";

/** How a session ended. */
export interface SessionEnd {
  /** Why. */
  reason: EndReason;
  /** The error behind the reason, if there is one: of a limit, a reset, a handler. */
  cause?: unknown;
  /** How long the session lasted, in milliseconds. */
  duration: number;
}

/** What reasons without a cause mean, with the options behind them, for those who meet them first in a message. */
const MEANINGS: Partial<Record<EndReason, string>> = {
  "idle": "no byte passed within idleTimeout",
  "read-idle": "the peer sent no byte within readIdleTimeout",
  "heartbeat-missed": "the peer answered no heartbeat, maxMissed times",
  "write-stalled":
    "the peer did not take the output within writeTimeout, or closeTimeout at the end",
  "frame-stalled": "the peer did not complete a frame within frameTimeout",
  "lifetime": "maxLifetime is over",
  "drain": "the server is shutting down",
};

/** The session has ended. Waiting readings and later sends reject with it, and it is the reason of `session.signal`. */
export class SessionEndedError extends Error {
  /** The name of the class. */
  override readonly name = "SessionEndedError";
  /** Why the session ended. */
  readonly reason: EndReason;

  /**
   * Makes the error.
   *
   * @param reason Why the session ended.
   * @param options `cause`: the error behind the reason, if there is one.
   */
  constructor(reason: EndReason, options?: ErrorOptions) {
    const meaning = options?.cause === undefined ? MEANINGS[reason] : undefined;
    const more = meaning === undefined ? "" : ` (${meaning})`;
    super(`session ended: ${describeEnd(reason, options?.cause)}${more}`, options);
    this.reason = reason;
  }
}

/** More output was waiting for a slow peer than `maxBufferedOutput` allows. */
export class OutputLimitError extends Error {
  /** The name of the class. */
  override readonly name = "OutputLimitError";
  /** The limit in bytes. */
  readonly limit: number;
  /** How much output would have been waiting, in bytes. */
  readonly received: number;

  /**
   * Makes the error.
   *
   * @param limit The limit in bytes.
   * @param received How much output would have been waiting, in bytes.
   */
  constructor(limit: number, received: number) {
    super(`${received} bytes of output wait for the peer, more than maxBufferedOutput (${limit})`);
    this.limit = limit;
    this.received = received;
  }
}

/**
 * An answer to a sender that is not proven would be larger than `maxAmplification` allows, in relation to what it has sent
 * (RFC 9000 §8.1).
 */
export class AmplificationLimitError extends Error {
  /** The name of the class. */
  override readonly name = "AmplificationLimitError";
  /** The address of the sender. */
  readonly remoteAddr: string;
  /** How many bytes may still be sent to it, with 28 bytes of headers for each datagram. */
  readonly limit: number;
  /** The size of the answer, with the headers, in bytes. */
  readonly size: number;

  /**
   * Makes the error.
   *
   * @param remoteAddr The address of the sender.
   * @param limit How many bytes may still be sent to it.
   * @param size The size of the answer in bytes.
   */
  constructor(remoteAddr: string, limit: number, size: number) {
    super(
      `an answer of ${size} bytes to ${remoteAddr}, which is not proven, exceeds what maxAmplification leaves (${limit})`,
    );
    this.remoteAddr = remoteAddr;
    this.limit = limit;
    this.size = size;
  }
}

/** A datagram is too large for the system or the path (`EMSGSIZE`). UDP over IPv4 allows 65507 bytes. */
export class DatagramTooLargeError extends Error {
  /** The name of the class. */
  override readonly name = "DatagramTooLargeError";
  /** The address of the receiver. */
  readonly remoteAddr: string;
  /** The size of the datagram in bytes. */
  readonly size: number;

  /**
   * Makes the error.
   *
   * @param remoteAddr The address of the receiver.
   * @param size The size of the datagram in bytes.
   * @param options Its cause, the error of the system.
   */
  constructor(remoteAddr: string, size: number, options?: ErrorOptions) {
    super(
      `a datagram of ${size} bytes to ${remoteAddr} is too large for the system or the path`,
      options,
    );
    this.remoteAddr = remoteAddr;
    this.size = size;
  }
}

/**
 * The buffers of all sessions of a server came near `maxBufferMemory`, and this session was one of those that held most, for
 * the longest time without a byte.
 */
export class MemoryLimitError extends Error {
  /** The name of the class. */
  override readonly name = "MemoryLimitError";
  /** The limit of all sessions together, in bytes. */
  readonly limit: number;
  /** How much this session held, in bytes. */
  readonly held: number;

  /**
   * Makes the error.
   *
   * @param limit The limit of all sessions together, in bytes.
   * @param held How much this session held, in bytes.
   */
  constructor(limit: number, held: number) {
    super(
      `the session held ${
        Math.round(held)
      } bytes when all together held too much (maxBufferMemory is ${limit})`,
    );
    this.limit = limit;
    this.held = held;
  }
}

/** More bytes were received or sent than `readRate` or `writeRate` allows. */
export class RateLimitError extends Error {
  /** The name of the class. */
  override readonly name = "RateLimitError";
  /** The rate that was exceeded, in bytes per second. */
  readonly perSecond: number;
  /** How many bytes were allowed at once, after a pause. */
  readonly burst: number;

  /**
   * Makes the error.
   *
   * @param option The option: `readRate` or `writeRate`.
   * @param rate Its value.
   */
  constructor(
    option: "readRate" | "writeRate",
    { perSecond, burst }: { perSecond: number; burst: number },
  ) {
    super(`more than ${perSecond} bytes a second, and ${burst} at once (${option})`);
    this.perSecond = perSecond;
    this.burst = burst;
  }
}

/** A frame is longer than its codec allows. Later frames cannot be found, so the input is finished. */
export class FrameTooLargeError extends Error {
  /** The name of the class. */
  override readonly name = "FrameTooLargeError";
  /** The limit in bytes. */
  readonly limit: number;
  /** The length that the frame claims, or how much of it was received, in bytes. */
  readonly received: number;

  /**
   * Makes the error.
   *
   * @param limit The limit in bytes.
   * @param received The length that the frame claims, or how much of it was received, in bytes.
   */
  constructor(limit: number, received: number) {
    super(`a frame of ${received} bytes or more exceeds the limit of ${limit}`);
    this.limit = limit;
    this.received = received;
  }
}

/** The input ended in the middle of a frame. The bytes of that frame can still be read as bytes. */
export class TruncatedFrameError extends Error {
  /** The name of the class. */
  override readonly name = "TruncatedFrameError";
  /** How many bytes of the frame were received. */
  readonly received: number;
  /** How many bytes the frame needed, if that is known. */
  readonly expected: number | undefined;

  /**
   * Makes the error.
   *
   * @param received How many bytes of the frame were received.
   * @param expected How many bytes the frame needed, if that is known.
   */
  constructor(received: number, expected?: number) {
    super(
      expected === undefined
        ? `the input ended ${received} bytes into a frame`
        : `the input ended after ${received} of ${expected} bytes`,
    );
    this.received = received;
    this.expected = expected;
  }
}

/** The input is invalid for its codec. Later frames cannot be found, so the input is finished. */
export class MalformedFrameError extends Error {
  /** The name of the class. */
  override readonly name = "MalformedFrameError";
  /** The offset of the bad byte in bytes, from the beginning of the frame. */
  readonly offset: number;

  /**
   * Makes the error.
   *
   * @param message What is wrong, in a few words.
   * @param offset The offset of the bad byte, from the beginning of the frame.
   * @param options `cause`: the underlying error, if there is one.
   */
  constructor(message: string, offset: number, options?: ErrorOptions) {
    super(`${message} (at byte ${offset} of the frame)`, options);
    this.offset = offset;
  }
}

/** A connection does not begin with a valid PROXY protocol header. */
export class ProxyHeaderError extends Error {
  /** The name of the class. */
  override readonly name = "ProxyHeaderError";
  /** The offset of the bad byte in bytes, from the beginning of the connection. */
  readonly offset: number;

  /**
   * Makes the error.
   *
   * @param problem What is wrong, in a few words.
   * @param offset The offset of the bad byte, from the beginning of the connection.
   * @param options `cause`: the underlying error, if there is one.
   */
  constructor(problem: string, offset: number, options?: ErrorOptions) {
    super(`bad PROXY header: ${problem} (at byte ${offset})`, options);
    this.offset = offset;
  }
}

/** A connection could not be made. The subclasses say why. `cause` is the system's error. */
export class ConnectError extends Error {
  /** The name of the class. */
  override readonly name: string = "ConnectError";
  /** The address that was dialled, such as `127.0.0.1:1234` or `[::1]:1234`. */
  readonly address: string;

  /**
   * Makes the error.
   *
   * @param address The address that was dialled.
   * @param problem What went wrong, in a few words.
   * @param options `cause`: the system's error.
   */
  constructor(address: string, problem: string, options?: ErrorOptions) {
    super(`cannot connect to ${address}: ${problem}`, options);
    this.address = address;
  }
}

/** Nothing listens at the address. */
export class ConnectionRefusedError extends ConnectError {
  /** The name of the class. */
  override readonly name = "ConnectionRefusedError";
}

/** There is no route to the address: its host or its network cannot be reached. */
export class UnreachableError extends ConnectError {
  /** The name of the class. */
  override readonly name = "UnreachableError";
}

/** The host name has no address. */
export class UnknownHostError extends ConnectError {
  /** The name of the class. */
  override readonly name = "UnknownHostError";
}

/** The connection was not ready within `connectTimeout`, or its session was not set up or checked within `setUpTimeout`. */
export class ConnectTimeoutError extends ConnectError {
  /** The name of the class. */
  override readonly name = "ConnectTimeoutError";
}

/** A request had no reply in time. The session can still be used: a late reply is dropped. */
export class RequestTimeoutError extends Error {
  /** The name of the class. */
  override readonly name = "RequestTimeoutError";
  /** The timeout in milliseconds. */
  readonly timeout: number;
  /** Whether the request was sent. If not, it waited for its turn all the time, and the peer has not seen it. */
  readonly sent: boolean;

  /**
   * Makes the error.
   *
   * @param timeout The timeout in milliseconds.
   * @param sent Whether the request was sent.
   * @param options `cause`: why there is no session, if the request waited for one.
   */
  constructor(timeout: number, sent: boolean, options?: ErrorOptions) {
    super(
      sent
        ? `no reply came within ${timeout} ms (timeout)`
        : `the request waited ${timeout} ms (timeout) for its turn and was not sent`,
      options,
    );
    this.timeout = timeout;
    this.sent = sent;
  }
}

/** There are as many requests as `maxInFlight` and `maxQueued` allow together. This one was not sent. */
export class RequestLimitError extends Error {
  /** The name of the class. */
  override readonly name = "RequestLimitError";
  /** The maximum number of requests, in flight and in the queue. */
  readonly limit: number;

  /**
   * Makes the error.
   *
   * @param limit The maximum number of requests, in flight and in the queue.
   */
  constructor(limit: number) {
    super(`${limit} requests are in flight or queued, as many as maxInFlight and maxQueued allow`);
    this.limit = limit;
  }
}

/** A reply has more frames than `maxReplyFrames` allows. The session can still be used: the rest of the reply is dropped. */
export class ReplyLimitError extends Error {
  /** The name of the class. */
  override readonly name = "ReplyLimitError";
  /** The maximum number of frames of a reply. */
  readonly limit: number;

  /**
   * Makes the error.
   *
   * @param limit The maximum number of frames of a reply.
   */
  constructor(limit: number) {
    super(`the reply has more frames than maxReplyFrames allows (${limit})`);
    this.limit = limit;
  }
}

/** A queue with `overflow: "end"` had no room for a message, and has ended. */
export class QueueOverflowError extends Error {
  /** The name of the class. */
  override readonly name = "QueueOverflowError";
  /** The `maxSize` of the queue. */
  readonly limit: number;

  /**
   * Makes the error.
   *
   * @param limit The `maxSize` of the queue.
   */
  constructor(limit: number) {
    super(
      `the queue has no room for another message: maxSize is ${limit}`,
    );
    this.limit = limit;
  }
}

/** A session cannot join a group, because there are too many groups. Groups that exist are not affected. */
export class GroupLimitError extends Error {
  /** The name of the class. */
  override readonly name = "GroupLimitError";
  /** The option of the hub that limits the groups. */
  readonly option: "maxGroups" | "maxGroupsPerSession";
  /** Its value. */
  readonly limit: number;

  /**
   * Makes the error.
   *
   * @param option The option of the hub that limits the groups.
   * @param limit Its value.
   */
  constructor(option: "maxGroups" | "maxGroupsPerSession", limit: number) {
    const whose = option === "maxGroups" ? "the hub" : "the session";
    super(`no further group for ${whose}: ${option} is ${limit}`);
    this.option = option;
    this.limit = limit;
  }
}

/**
 * A server with workers has stopped because one of them died as often in a row as `maxCrashes` allows, or is stuck and
 * cannot be ended. `cause` is the error of that worker.
 */
export class WorkerCrashError extends Error {
  /** The name of the class. */
  override readonly name = "WorkerCrashError";
  /** The number of the worker, from 0. */
  readonly worker: number;
  /** Why it died the last time: `error`, `memory`, `unresponsive` or `exit`. */
  readonly reason: string;

  /**
   * Makes the error.
   *
   * @param worker The number of the worker, from 0.
   * @param reason Why it died the last time.
   * @param options `cause`: the error of the worker.
   */
  constructor(worker: number, reason: string, options?: ErrorOptions) {
    super(`the server has stopped because of worker ${worker} (${reason})`, options);
    this.worker = worker;
    this.reason = reason;
  }
}

/** No session of a pool became free in time, or too many callers wait already. */
export class PoolExhaustedError extends Error {
  /** The name of the class. */
  override readonly name = "PoolExhaustedError";
  /** The maximum number of sessions of the pool. */
  readonly maxSessions: number;
  /** How many callers waited, including this one if it did. */
  readonly waiting: number;
  /** How long this caller waited, in milliseconds; 0 if it was refused at once. */
  readonly waited: number;

  /**
   * Makes the error.
   *
   * @param maxSessions The maximum number of sessions of the pool.
   * @param waiting How many callers waited.
   * @param waited How long this caller waited, in milliseconds; 0 if it was refused at once.
   * @param options `cause`: the error of the last dial, if it failed.
   */
  constructor(maxSessions: number, waiting: number, waited: number, options?: ErrorOptions) {
    super(
      waited > 0
        ? `no session of ${maxSessions} became free within ${waited} ms (waitTimeout, or timeout of the call)`
        : `${waiting} callers wait for one of ${maxSessions} sessions, as many as maxWaiting allows`,
      options,
    );
    this.maxSessions = maxSessions;
    this.waiting = waiting;
    this.waited = waited;
  }
}

/**
 * Why a TLS handshake has failed.
 *
 * | failure | meaning |
 * |---|---|
 * | `timeout` | the handshake took too long |
 * | `closed` | the connection was closed or lost before the handshake was done |
 * | `not-tls` | the peer speaks something else |
 * | `version` | no version of TLS in common |
 * | `alpn` | no application protocol in common (RFC 7301) |
 * | `server-name` | the client asked for a server name that is not served (RFC 6066 §3) |
 * | `certificate` | a certificate is missing or was not accepted |
 * | `alert` | the peer ended the handshake by an alert, for a reason other than the above |
 * | `protocol` | anything else: nothing in common, or a peer that violates the protocol |
 */
export type TlsFailure =
  | "timeout"
  | "closed"
  | "not-tls"
  | "version"
  | "alpn"
  | "server-name"
  | "certificate"
  | "alert"
  | "protocol";

/** A TLS handshake has failed. */
export class TlsHandshakeError extends Error {
  /** The name of the class. */
  override readonly name: string = "TlsHandshakeError";
  /** The address of the peer, such as `127.0.0.1:1234`. */
  readonly remoteAddr: string;
  /** What went wrong. */
  readonly code: TlsFailure;

  /**
   * Makes the error.
   *
   * @param remoteAddr The address of the peer.
   * @param code What went wrong.
   * @param problem The same in a few words.
   * @param options `cause`: the error of the TLS layer or the connection.
   */
  constructor(remoteAddr: string, code: TlsFailure, problem: string, options?: ErrorOptions) {
    super(`TLS handshake with ${remoteAddr} failed: ${problem}`, options);
    this.remoteAddr = remoteAddr;
    this.code = code;
  }
}

/**
 * A certificate is missing or was not accepted: the server's by a client, or the client's by a server. Another attempt
 * fails, too, until the certificate is replaced.
 */
export class CertificateError extends TlsHandshakeError {
  /** The name of the class. */
  override readonly name = "CertificateError";

  /**
   * Makes the error.
   *
   * @param remoteAddr The address of the peer.
   * @param problem What is wrong with the certificate, in a few words.
   * @param options `cause`: the error of the TLS layer.
   */
  constructor(remoteAddr: string, problem: string, options?: ErrorOptions) {
    super(remoteAddr, "certificate", problem, options);
  }
}

/**
 * Describes a reason and its cause in one line, for messages and logs.
 *
 * @param reason Why a session ended.
 * @param cause The error behind the reason, if there is one.
 * @returns For example `peer (ConnectionReset: connection reset by peer)`.
 *
 * @example
 * ```ts
 * import { describeEnd } from "@parley/tcp/errors";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(describeEnd("idle"), "idle");
 * assertEquals(describeEnd("error", new TypeError("no such room")), "error (TypeError: no such room)");
 * ```
 */
export function describeEnd(reason: EndReason, cause?: unknown): string {
  if (cause === undefined) return reason;
  return `${reason} (${textOf(cause)})`;
}

/** Anything can be thrown, even a value without a text. */
function textOf(cause: unknown): string {
  try {
    return cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
  } catch {
    return "an object without a text";
  }
}
