/** The options of `Session` and the types of what it returns; `session.ts` publishes them. */

import { checkDuration, checkInteger } from "../_internal/checks.ts";

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
   * @default {30000}
   */
  writeTimeout?: number;
  /**
   * How long a session may last, in milliseconds.
   *
   * @default {Infinity}
   */
  maxLifetime?: number;
  /**
   * How long `close()` waits until the peer has taken all output and finished its side, in milliseconds.
   *
   * @default {5000}
   */
  closeTimeout?: number;
}

/** Session options with nothing left to default. */
export type SessionSettings = Required<SessionOptions>;

/** Checks session options and fills in what they leave out. Throws a `TypeError` or `RangeError` for a bad one. */
export function resolveSessionOptions(options: SessionOptions): SessionSettings {
  const highWaterMark = checkInteger(
    "highWaterMark",
    options.highWaterMark ?? 64 * 1024,
    1,
    2 ** 30,
  );
  const maxBufferedOutput = options.maxBufferedOutput ?? Math.max(1024 * 1024, highWaterMark);
  return {
    chunkSize: checkInteger("chunkSize", options.chunkSize ?? 1024, 1, 64 * 1024),
    fatal: options.fatal ?? false,
    highWaterMark,
    maxBufferedOutput: checkInteger("maxBufferedOutput", maxBufferedOutput, highWaterMark, 2 ** 40),
    idleTimeout: checkDuration("idleTimeout", options.idleTimeout ?? 600_000),
    frameTimeout: checkDuration("frameTimeout", options.frameTimeout ?? 30_000),
    writeTimeout: checkDuration("writeTimeout", options.writeTimeout ?? 30_000),
    maxLifetime: checkDuration("maxLifetime", options.maxLifetime ?? Infinity),
    closeTimeout: checkDuration("closeTimeout", options.closeTimeout ?? 5_000),
  };
}

/** Options of everything that waits for input. */
export interface ReadOptions {
  /** Ends the wait: it rejects with the signal's reason, and no byte is lost. */
  signal?: AbortSignal;
}

/** Options of {@linkcode Session.text}. */
export interface TextOptions extends ReadOptions {
  /** Whether bytes that are no UTF-8 are an error. Default: as the session's option `fatal` says. */
  fatal?: boolean;
}

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

/** Options of {@linkcode Session.readExactly}. */
export interface ReadExactlyOptions extends ReadOptions {
  /**
   * The most bytes that may be asked for, since the number often comes from the peer: 1 to 2^30.
   *
   * @default {8388608}
   */
  maxLength?: number;
}

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
