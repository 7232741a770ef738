/** The options of `Session` and the types of what it returns; `session.ts` publishes them. */

import { checkBoolean, checkDuration, checkInteger, checkSignal } from "../_internal/checks.ts";
import { elsewhere, type Known } from "../_internal/options.ts";

/** How one session behaves. All sizes are bytes, all durations milliseconds; `Infinity` means no limit. */
export interface SessionOptions {
  /**
   * The most input that one chunk of text holds, and the size of the first read: 1 to 65536 bytes.
   *
   * @default {1024}
   */
  chunkSize?: number;
  /**
   * Whether chunks of text that are no UTF-8 are an error. Otherwise bad bytes become U+FFFD.
   *
   * @default {false}
   */
  fatal?: boolean;
  /**
   * From this much unsent output on, `send()` waits for the peer: 1 to 2^30 bytes.
   *
   * @default {65536}
   */
  highWaterMark?: number;
  /**
   * The most unsent output, in bytes; past it the session ends with an `OutputLimitError`. One send that is larger
   * by itself is let through, since its sender waits for it. At least `highWaterMark`, at most 2^40.
   *
   * @default {1048576}
   */
  maxBufferedOutput?: number;
  /**
   * How long no byte may pass either way, in milliseconds.
   *
   * @default {600000}
   */
  idleTimeout?: number;
  /**
   * How long a reading waits for the rest of a frame, a line or a half-sent character, in milliseconds.
   *
   * @default {30000}
   */
  frameTimeout?: number;
  /**
   * How long the peer may take no output while some waits, in milliseconds.
   *
   * What it takes shows late. Linux keeps up to 4 MiB of a connection's output (`net.ipv4.tcp_wmem`), and once that is
   * full it says nothing until a third of it is free, which holds 1.4 MiB at most. So the least rate at which a peer
   * surely stays is 1.4 MiB in each `writeTimeout`: 12 KiB/s by default.
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
   * How long, after `close()`, the peer may neither take output nor send anything before it finishes its side, in
   * milliseconds. By default `writeTimeout` while output waits, and 5000 once the peer has taken all of it.
   */
  closeTimeout?: number;
  /**
   * How long `close()` may take in all, in milliseconds, although the peer takes output or sends.
   *
   * @default {300000}
   */
  maxCloseTime?: number;
}

export const SESSION_OPTIONS: Known<SessionOptions> = {
  chunkSize: elsewhere,
  fatal: checkBoolean,
  highWaterMark: elsewhere,
  maxBufferedOutput: elsewhere,
  idleTimeout: elsewhere,
  frameTimeout: elsewhere,
  writeTimeout: elsewhere,
  maxLifetime: elsewhere,
  closeTimeout: elsewhere,
  maxCloseTime: elsewhere,
};

/** Session options with nothing left to default. */
export interface SessionSettings extends Required<SessionOptions> {
  /** What `closeTimeout` is while output waits to be taken. */
  flushTimeout: number;
}

/** Fills in what session options leave out. Throws a `TypeError` or `RangeError` for one that is out of range. */
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
    frameTimeout: checkDuration("frameTimeout", options.frameTimeout ?? 30_000),
    writeTimeout,
    maxLifetime: checkDuration("maxLifetime", options.maxLifetime ?? Infinity),
    closeTimeout,
    flushTimeout: options.closeTimeout ?? writeTimeout,
    maxCloseTime: checkDuration("maxCloseTime", maxCloseTime),
  };
}

/** Options of everything that waits for input. */
export interface ReadOptions {
  /** Ends the wait: it rejects with the signal's reason, and no byte is lost. */
  signal?: AbortSignal;
}

export const READ_OPTIONS: Known<ReadOptions> = { signal: checkSignal };

/** Options of {@linkcode Session.text}. */
export interface TextOptions extends ReadOptions {
  /** Whether bytes that are no UTF-8 are an error. Default: as the session's option `fatal` says. */
  fatal?: boolean;
}

export const TEXT_OPTIONS: Known<TextOptions> = { ...READ_OPTIONS, fatal: checkBoolean };

/** Options of {@linkcode Session.bytes}. */
export interface BytesOptions extends ReadOptions {
  /**
   * Whether chunks are lent until the next step of the loop, and then overwritten. It saves relays a copy.
   * Otherwise they belong to the loop; those of up to 1 KiB may lie in memory that other chunks of the session have a
   * part of, so transfer a copy of them, not their `buffer`.
   *
   * @default {false}
   */
  borrow?: boolean;
}

export const BYTES_OPTIONS: Known<BytesOptions> = { ...READ_OPTIONS, borrow: checkBoolean };

/** Options of {@linkcode Session.readExactly}. */
export interface ReadExactlyOptions extends ReadOptions {
  /**
   * The most bytes that may be asked for, since the number often comes from the peer: 1 to 2^30.
   *
   * @default {8388608}
   */
  maxLength?: number;
}

export const READ_EXACTLY_OPTIONS: Known<ReadExactlyOptions> = {
  ...READ_OPTIONS,
  maxLength: elsewhere,
};

/** A reading: one way of looping over a session's input. A later loop over it goes on where the last one left. */
export interface Reading<T> extends AsyncIterableIterator<T, undefined, void> {
  /** Settles a waiting `next()` as done. The session stays open, and later readings miss nothing. */
  return(): Promise<IteratorReturnResult<undefined>>;
}

/** A session as a stream of frames, both ways. */
export interface Frames<In, Out = In> extends Reading<In> {
  /**
   * Takes one frame.
   *
   * @param options `signal`: ends the wait.
   * @returns The frame, or `undefined` at the end of input.
   * @throws {FrameTooLargeError | MalformedFrameError | TruncatedFrameError} As the codec says.
   * @throws {SessionEndedError} If the session ends otherwise than by the peer's finishing.
   */
  read(options?: ReadOptions): Promise<In | undefined>;
  /**
   * Sends one frame, as {@linkcode Session.send} does. A frame that cannot be encoded leaves nothing behind.
   *
   * @param frame The frame.
   * @returns Resolves as `send()` does, or rejects with what the codec threw.
   */
  send(frame: Out): Promise<void>;
}
