/** The options of `Session` and the types of what it returns; `session.ts` publishes them. */

import {
  checkBoolean,
  checkDuration,
  checkFunction,
  checkInteger,
  checkObject,
  checkSignal,
} from "../_internal/checks.ts";
import { checkOptions, elsewhere, type Known, within } from "../_internal/options.ts";
import type { EndReason } from "../errors.ts";
import {
  HEARTBEAT_OPTIONS,
  type HeartbeatOptions,
  type HeartbeatSettings,
  resolveHeartbeat,
} from "./heartbeat.ts";
import type { PreparedMessage } from "./prepared_message.ts";
import { BYTE_RATE, type ByteRate, type ByteRateSettings, resolveByteRate } from "./throttle.ts";

/**
 * Returns the last message of a session before a deadline or a drain ends it, such as `421 timeout`.
 *
 * @param reason Why the session ends: `idle`, `read-idle`, `heartbeat-missed`, `frame-stalled`, `lifetime` or `drain`.
 * @returns What to send. With `undefined` or nothing in it, the session ends as if there were no goodbye.
 */
export type Goodbye = (
  reason: EndReason,
) => string | Uint8Array | PreparedMessage | undefined;

/** How one session behaves. All sizes are bytes, all durations milliseconds; `Infinity` means no limit. */
export interface SessionOptions {
  /**
   * The maximum size of one chunk of text, and the size of the first read, in bytes: 1 to 65536.
   *
   * @default {1024}
   */
  chunkSize?: number;
  /**
   * Whether text that is not valid UTF-8 is an error. Otherwise, invalid bytes become U+FFFD.
   *
   * @default {false}
   */
  fatal?: boolean;
  /**
   * How much output may be unsent before `send()` waits for the peer, in bytes: 1 to 2^30.
   *
   * @default {65536}
   */
  highWaterMark?: number;
  /**
   * The maximum unsent output, in bytes: at least `highWaterMark`, at most 2^40. Beyond it, the session ends with an
   * `OutputLimitError`. One larger send is allowed, since its sender waits for it.
   *
   * @default {1048576}
   */
  maxBufferedOutput?: number;
  /**
   * How long a session may go without a byte in either direction, in milliseconds.
   *
   * @default {600000}
   */
  idleTimeout?: number;
  /**
   * How long the peer may send no byte, in milliseconds, whatever it is sent meanwhile. Such a session ends with the
   * reason `read-idle`. By default, only `idleTimeout` applies: many peers listen for a long time without a word.
   *
   * It counts while the session reads, which it does even if no reading waits, until 64 KiB are unread or the peer has
   * finished its side.
   *
   * @default {Infinity}
   */
  readIdleTimeout?: number;
  /**
   * How long a reading waits for the rest of a frame, a line or a half-sent character, in milliseconds.
   *
   * @default {30000}
   */
  frameTimeout?: number;
  /**
   * How long the peer may take no output while some is unsent, in milliseconds.
   *
   * Progress is seen late: Linux buffers up to 4 MiB of a connection's output (`net.ipv4.tcp_wmem`). Once that is full,
   * Linux reports progress only when a third of it, at most 1.4 MiB, is free. So a peer is safe from this timeout if it
   * takes 1.4 MiB in each `writeTimeout`: 12 KiB/s by default.
   *
   * @default {120000}
   */
  writeTimeout?: number;
  /**
   * How long a session may last, in milliseconds.
   *
   * @default {Infinity}
   */
  maxLifetime?: number;
  /**
   * How long the peer may neither take output nor send anything after `close()`, until it finishes its side, in
   * milliseconds. By default, `writeTimeout` while output is unsent, and 5000 once the peer has taken all of it.
   */
  closeTimeout?: number;
  /**
   * How long `close()` may take in all, in milliseconds, even if the peer takes output or sends.
   *
   * @default {300000}
   */
  maxCloseTime?: number;
  /**
   * Returns the last message of a session that `idleTimeout`, `readIdleTimeout`, `frameTimeout`, `maxLifetime`, a
   * heartbeat or a drain ends. It follows what was sent before, and then the session is closed like by `close()`, within
   * `closeTimeout`, instead of being ended at once. Readings and later sends of the handler reject, so nothing follows
   * the message. If the handler is in the middle of a reply of several sends, return `undefined`.
   *
   * It is called once at most, and not if the session ends in another way, such as by `close()`, `abort()`, an error or
   * `writeTimeout`; nor after `closeWrite()`, or while TLS begins. When a server drains, it is called once the handler
   * has let the error with the reason `drain` through, or at the end of `shutdownTimeout`.
   *
   * What it throws becomes the cause of the end, and is reported to `onError` of `serve()` and `reconnect()`.
   */
  goodbye?: Goodbye;
  /**
   * What the session sends when nothing else passes, so that a peer that is gone is noticed, and a peer or a firewall in
   * between does not take this side for gone. It stops when the peer has finished its side. By default, nothing is sent.
   */
  heartbeat?: HeartbeatOptions;
  /**
   * How many bytes per second the session may receive; unlimited by default. What exceeds the rate is read later, so the
   * peer has to wait once the buffers of both systems are full. Such a wait does not count towards `frameTimeout`.
   */
  readRate?: ByteRate;
  /**
   * How many bytes per second the session may send; unlimited by default. What exceeds the rate is written later: `send()`
   * waits as for a slow peer.
   */
  writeRate?: ByteRate;
}

export const SESSION_OPTIONS: Known<SessionOptions> = {
  chunkSize: elsewhere,
  fatal: checkBoolean,
  highWaterMark: elsewhere,
  maxBufferedOutput: elsewhere,
  idleTimeout: elsewhere,
  readIdleTimeout: elsewhere,
  frameTimeout: elsewhere,
  writeTimeout: elsewhere,
  maxLifetime: elsewhere,
  closeTimeout: elsewhere,
  maxCloseTime: elsewhere,
  goodbye: checkFunction,
  heartbeat: within(HEARTBEAT_OPTIONS),
  readRate: within(BYTE_RATE),
  writeRate: within(BYTE_RATE),
};

/** The resolved options of a session. */
export interface SessionSettings
  extends Required<Omit<SessionOptions, "goodbye" | "heartbeat" | "readRate" | "writeRate">> {
  goodbye: Goodbye | undefined;
  heartbeat: HeartbeatSettings | undefined;
  readRate: ByteRateSettings | undefined;
  writeRate: ByteRateSettings | undefined;
  /** The `closeTimeout` while output is unsent. */
  flushTimeout: number;
}

/** Fills in the defaults of session options. Throws a `TypeError` or `RangeError` for an invalid one. */
export function resolveSessionOptions(options: SessionOptions): SessionSettings {
  const highWaterMark = checkInteger(
    "highWaterMark",
    options.highWaterMark ?? 64 * 1024,
    1,
    2 ** 30,
  );
  const maxBufferedOutput = options.maxBufferedOutput ?? Math.max(1024 * 1024, highWaterMark);
  const writeTimeout = checkDuration("writeTimeout", options.writeTimeout ?? 120_000);
  const closeTimeout = checkDuration("closeTimeout", options.closeTimeout ?? 5_000);
  const maxCloseTime = options.maxCloseTime ?? Math.max(300_000, closeTimeout);
  return {
    chunkSize: checkInteger("chunkSize", options.chunkSize ?? 1024, 1, 64 * 1024),
    fatal: options.fatal ?? false,
    highWaterMark,
    maxBufferedOutput: checkInteger("maxBufferedOutput", maxBufferedOutput, highWaterMark, 2 ** 40),
    idleTimeout: checkDuration("idleTimeout", options.idleTimeout ?? 600_000),
    readIdleTimeout: checkDuration("readIdleTimeout", options.readIdleTimeout ?? Infinity),
    frameTimeout: checkDuration("frameTimeout", options.frameTimeout ?? 30_000),
    writeTimeout,
    maxLifetime: checkDuration("maxLifetime", options.maxLifetime ?? Infinity),
    closeTimeout,
    flushTimeout: options.closeTimeout ?? writeTimeout,
    maxCloseTime: checkDuration("maxCloseTime", maxCloseTime),
    goodbye: options.goodbye,
    heartbeat: options.heartbeat && resolveHeartbeat(options.heartbeat),
    readRate: resolveByteRate("readRate", options.readRate),
    writeRate: resolveByteRate("writeRate", options.writeRate),
  };
}

/** Options of all readings. */
export interface ReadOptions {
  /** Cancels the wait, which then rejects with the signal's reason. No byte is lost. */
  signal?: AbortSignal;
  /**
   * How long the reading may wait, in milliseconds; a loop, at each step. Then it rejects with a `DOMException` whose
   * name is `TimeoutError`, as with `AbortSignal.timeout()`, which costs much more. The session stays open, and no byte
   * is lost: the next reading goes on where this one waited. If a handler lets the error through, its session ends
   * with the reason `error`, and it is not reported as the handler's own.
   *
   * The wait never ends early. It may end late by up to a quarter of it: 10 ms at least, 2 s at most.
   *
   * @default {Infinity}
   */
  timeout?: number;
}

export const READ_OPTIONS: Known<ReadOptions> = { signal: checkSignal, timeout: checkDuration };

/** What `checkOptions()` does for those of a reading: with each frame, its look into the table would take 60 ns more. */
export function checkReadOptions(options: ReadOptions): void {
  checkObject("options", options);
  for (const name in options) {
    if (name === "timeout") {
      if (options.timeout !== undefined) checkDuration(name, options.timeout);
    } else if (name !== "signal" || !(options.signal instanceof AbortSignal)) {
      return checkOptions(options, READ_OPTIONS);
    }
  }
}

/** Options of {@linkcode Session.text}. */
export interface TextOptions extends ReadOptions {
  /** Whether invalid UTF-8 is an error. The default is the session's option `fatal`. */
  fatal?: boolean;
}

export const TEXT_OPTIONS: Known<TextOptions> = { ...READ_OPTIONS, fatal: checkBoolean };

/** Options of {@linkcode Session.bytes}. */
export interface BytesOptions extends ReadOptions {
  /**
   * Whether chunks are valid only until the next step of the loop, and are then overwritten, by later input of the same
   * session and never of another. This saves relays a copy. Otherwise they belong to the loop. Chunks of up to 1 KiB may
   * share their `buffer` with other chunks of the session: transfer a copy, not the `buffer`.
   *
   * @default {false}
   */
  borrow?: boolean;
}

export const BYTES_OPTIONS: Known<BytesOptions> = { ...READ_OPTIONS, borrow: checkBoolean };

/** Options of {@linkcode Session.readExactly}. */
export interface ReadExactlyOptions extends ReadOptions {
  /**
   * The maximum of `count`, in bytes, since the number often comes from the peer: 1 to 2^30.
   *
   * @default {8388608}
   */
  maxLength?: number;
}

export const READ_EXACTLY_OPTIONS: Known<ReadExactlyOptions> = {
  ...READ_OPTIONS,
  maxLength: elsewhere,
};

/** A loop over a session's input. A later loop over the same reading continues where the last one stopped. */
export interface Reading<T> extends AsyncIterableIterator<T, undefined, void> {
  /** Settles a waiting `next()` as done. The session stays open, and no byte is lost for later readings. */
  return(): Promise<IteratorReturnResult<undefined>>;
}

/** A session as a stream of frames in both directions. */
export interface Frames<In, Out = In> extends Reading<In> {
  /**
   * Reads one frame.
   *
   * @param options `signal` and `timeout`: end the wait.
   * @returns The frame, or `undefined` at the end of input.
   * @throws {FrameTooLargeError | MalformedFrameError | TruncatedFrameError} If the frame is invalid for the codec.
   * @throws {SessionEndedError} If the session ends otherwise than by the peer's end of input.
   * @throws {DOMException} A `TimeoutError` after `timeout`.
   */
  read(options?: ReadOptions): Promise<In | undefined>;
  /**
   * Sends one frame, as {@linkcode Session.send} does. If it cannot be encoded, nothing is sent.
   *
   * @param frame The frame.
   * @returns Resolves as `send()` does, or rejects with what the codec threw.
   */
  send(frame: Out): Promise<void>;
}
