/**
 * A session: one live connection, read as an async iterator and written with `send()`.
 *
 * A server's handler is given one, and `connect()` resolves to one. To put one over a connection of your own, see
 * {@linkcode Session}.
 *
 * @example A handler that reads a line, then as many bytes as it says, then lines again
 * ```ts
 * import { Session } from "@parley/tcp/session";
 * import { memoryPair } from "@parley/tcp/transport";
 * import { assertEquals } from "@std/assert";
 *
 * async function count(session: Session) {
 *   for await (const line of session.lines()) {
 *     const body = await session.readExactly(Number(line));
 *     await session.send(`${body.length} bytes\n`);
 *   }
 * }
 *
 * const [left, right] = memoryPair();
 * const server = new Session(left);
 * const counted = count(server).then(() => server.close());
 * const client = new Session(right);
 * await client.send("3\nabc");
 * assertEquals(await client.readLine(), "3 bytes");
 * await client.close();
 * await counted;
 * ```
 *
 * @module
 */

import { borrowedChunks, ownedChunks, textChunks } from "./session/chunks.ts";
import { checkBytes, checkFunction, checkInteger, checkMethods } from "./_internal/checks.ts";
import { checkDenoSocket } from "./_internal/deno_sockets.ts";
import { checkOptions, type Known, NO_OPTIONS } from "./_internal/options.ts";
import { Lifecycle } from "./session/lifecycle.ts";
import type { Output } from "./session/output.ts";
import type { PreparedMessage } from "./session/prepared_message.ts";
import type { Reader } from "./session/reader.ts";
import { SessionFrames } from "./session/frames.ts";
import { type HeartbeatOptions, resolveHeartbeat } from "./session/heartbeat.ts";
import { Reading as SessionReading } from "./session/reading.ts";
import { SessionGroup } from "./session/group.ts";
import { setInsideOf } from "./session/inside.ts";
import { InputStream, writableOf } from "./session/web_streams.ts";
import type { Codec } from "./codecs/codec.ts";
import { Exactly } from "./codecs/exactly.ts";
import { LINES_OPTIONS, type LinesOptions, makeLines } from "./codecs/lines.ts";
import { FrameTooLargeError, type SessionEnd, TruncatedFrameError } from "./errors.ts";
import {
  BYTES_OPTIONS,
  type BytesOptions,
  type Frames,
  type Goodbye,
  READ_EXACTLY_OPTIONS,
  READ_OPTIONS,
  type ReadExactlyOptions,
  type Reading,
  type ReadOptions,
  resolveSessionOptions,
  SESSION_OPTIONS,
  type SessionOptions,
  TEXT_OPTIONS,
  type TextOptions,
} from "./session/options.ts";
import {
  hostOf,
  refuseOptions,
  tlsDialler,
  type UpgradeTlsOptions,
} from "./session/upgrade_tls.ts";
import {
  type Address,
  type Connection,
  normalizeAddress,
  type ProxyHeader,
  type TlsInfo,
} from "./transport/connection.ts";

export {
  type Codec,
  type Decoder,
  type DecoderInput,
  type FrameWriter,
  MORE,
  type PrefixedOptions,
  type PrefixWidth,
} from "./codecs/codec.ts";
export type { PreparedMessage } from "./session/prepared_message.ts";
export type { LinesOptions } from "./codecs/lines.ts";
export type { EndReason, SessionEnd } from "./errors.ts";
export type {
  BytesOptions,
  Frames,
  Goodbye,
  ReadExactlyOptions,
  Reading,
  ReadOptions,
  SessionOptions,
  TextOptions,
} from "./session/options.ts";
export type { HeartbeatOptions } from "./session/heartbeat.ts";
export type { ByteRate } from "./session/throttle.ts";
export { prepare } from "./session/prepare.ts";
export { MessageQueue, type MessageQueueOptions, type OverflowPolicy } from "./session/queue.ts";
export type { UpgradeTlsOptions } from "./session/upgrade_tls.ts";
export type {
  Address,
  Connection,
  MemoryAddr,
  NetAddr,
  PeerCertificate,
  ProxyHeader,
  ProxyTls,
  ProxyTlv,
  TlsInfo,
  UnixAddr,
  VsockAddr,
} from "./transport/connection.ts";

const CONNECTION_METHODS = ["read", "write", "closeWrite", "close"] as const;
const CODEC_METHODS = ["decoder", "encode"] as const;
const LINES_AND_READ_OPTIONS: Known<LinesOptions & ReadOptions> = {
  ...LINES_OPTIONS,
  ...READ_OPTIONS,
};

/**
 * One live connection.
 *
 * Read the input as chunks of text (the session itself is iterable), {@linkcode bytes}, {@linkcode lines} or
 * {@linkcode frames}, and change the way of reading whenever the protocol needs it. Leaving a loop neither closes the
 * session nor loses a byte. Output is buffered and written automatically, in few writes.
 *
 * @example Over a connection of your own
 * ```ts
 * import { Session } from "@parley/tcp/session";
 *
 * using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
 * const connection = await Deno.connect({ hostname: "127.0.0.1", port: listener.addr.port });
 * const client = new Session(connection, { idleTimeout: 60_000 });
 * const server = new Session(await listener.accept());
 * await server.send("welcome!");
 * console.log((await client.text().next()).value);
 * await Promise.all([client.close(), server.close()]);
 * ```
 */
export class Session implements AsyncIterable<string>, AsyncDisposable {
  /** The session's number, from 1, among those of its server. */
  readonly id: number;
  readonly #startedAt = Date.now();
  readonly #group: SessionGroup<Session>;
  readonly #chunkSize: number;
  readonly #fatal: boolean;
  readonly #life: Lifecycle;
  readonly #reader: Reader;
  readonly #output: Output;
  #readable: InputStream | undefined;
  #writable: WritableStream<string | Uint8Array> | undefined;

  static {
    setInsideOf((session) => ({
      life: (session as Session).#life,
      isServed: (session as Session).#group.acceptTls !== undefined,
    }));
  }

  /**
   * Creates a session over a connection, which the session owns from then on.
   *
   * @param connection The connection, such as a `Deno.Conn`.
   * @param options Limits and deadlines.
   * @param group Private to this package.
   * @throws {TypeError | RangeError} If an option is wrong.
   */
  constructor(
    connection: Connection,
    options: SessionOptions = {},
    group: SessionGroup<Session> = new SessionGroup(),
  ) {
    checkMethods("connection", connection, CONNECTION_METHODS);
    checkDenoSocket(connection, "a session over a Deno.Conn", "connect() or serve()");
    if (group.settings === undefined) checkOptions(options, SESSION_OPTIONS);
    const settings = group.settings ?? resolveSessionOptions(options);
    this.#life = new Lifecycle(this, connection, settings, group as SessionGroup<object>);
    this.#reader = this.#life.reader;
    this.#output = this.#life.output;
    this.#group = group;
    this.#chunkSize = settings.chunkSize;
    this.#fatal = settings.fatal;
    this.id = group.join(this.#life);
  }

  /** When the session began. */
  get startedAt(): Date {
    return new Date(this.#startedAt);
  }

  /** The address of the peer. An IPv4-mapped IPv6 address is shown as IPv4. */
  get remoteAddr(): Address {
    return normalizeAddress(this.#life.connection.remoteAddr);
  }

  /** The address of this side. */
  get localAddr(): Address {
    return normalizeAddress(this.#life.connection.localAddr);
  }

  /** The negotiated parameters of TLS, if the session has TLS. */
  get tls(): TlsInfo | undefined {
    return this.#life.connection.tls;
  }

  /** The PROXY header, if there was one. It determines `remoteAddr` and `localAddr`. */
  get proxy(): ProxyHeader | undefined {
    return this.#life.connection.proxy;
  }

  /** How many bytes were received from the peer. */
  get bytesRead(): number {
    return this.#reader.bytesRead;
  }

  /** How many bytes were written to the connection. */
  get bytesWritten(): number {
    return this.#output.bytesWritten;
  }

  /** How many bytes were sent but not yet written to the connection. */
  get bytesBuffered(): number {
    return this.#output.buffered;
  }

  /** How long the session may go without a byte in either direction, in milliseconds. It can be set at any time. */
  get idleTimeout(): number {
    return this.#life.deadlines.idleTimeout;
  }

  set idleTimeout(value: number) {
    this.#life.deadlines.idleTimeout = value;
    if (this.#life.isMember) this.#group.pace(value);
  }

  /**
   * How long the peer may send no byte, whatever it is sent meanwhile, in milliseconds. It can be set at any time, and
   * counts from the last byte, at the earliest from when it was first set.
   */
  get readIdleTimeout(): number {
    return this.#life.deadlines.readIdleTimeout;
  }

  set readIdleTimeout(value: number) {
    this.#life.deadlines.readIdleTimeout = value;
    if (this.#life.isMember) this.#group.pace(value);
  }

  /**
   * Returns the last message of the session before a deadline or a drain ends it, as the option of the same name says.
   * It can be set at any time, for example while the handler is in the middle of a reply, and is `undefined` once it
   * was called.
   */
  get goodbye(): Goodbye | undefined {
    return this.#life.goodbye;
  }

  set goodbye(value: Goodbye | undefined) {
    if (value !== undefined) checkFunction("goodbye", value);
    this.#life.goodbye = value;
  }

  /**
   * What the session sends when nothing else passes, as the option of the same name says. It can be set at any time, for
   * example to another interval by `session.heartbeat = { ...heartbeat, interval: 5_000 }`; `undefined` stops it.
   */
  get heartbeat(): HeartbeatOptions | undefined {
    return this.#life.heartbeat;
  }

  set heartbeat(value: HeartbeatOptions | undefined) {
    this.#life.heartbeat = value === undefined ? undefined : resolveHeartbeat(value);
    if (value !== undefined && this.#life.isMember) this.#group.pace(value.interval);
  }

  /** Aborts, with a {@linkcode SessionEndedError} as its reason, as soon as the session is closed, aborted or lost. */
  get signal(): AbortSignal {
    return this.#life.signal;
  }

  /** Aborts when the server begins to drain: finish what has begun, and begin nothing new. */
  get draining(): AbortSignal {
    return this.#group.draining;
  }

  /** Resolves, with the reason, once the session has ended and its descriptor is free. Never rejects. */
  get closed(): Promise<SessionEnd> {
    return this.#life.closed;
  }

  /**
   * Loops over chunks of text, as {@linkcode text} does without options.
   *
   * @returns The reading.
   */
  [Symbol.asyncIterator](): Reading<string> {
    return this.text();
  }

  /**
   * Loops over chunks of text: the bytes of one read, at most `chunkSize`, decoded as UTF-8. A character that is split
   * over reads is yielded whole. No chunk is empty.
   *
   * @param options `signal`, `timeout`, and `fatal`: whether invalid bytes are a `MalformedFrameError`.
   * @returns The reading.
   */
  text(options: TextOptions = NO_OPTIONS): Reading<string> {
    checkOptions(options, TEXT_OPTIONS);
    const chunks = textChunks(this.#chunkSize, options.fatal ?? this.#fatal);
    return new SessionReading(this.#reader, chunks, {
      signal: options.signal,
      timeout: options.timeout,
      limit: this.#chunkSize,
      drains: true,
    });
  }

  /**
   * Loops over bytes as they arrive, in chunks that grow up to 64 KiB while reads come back full, or up to 128 KiB if they
   * are borrowed.
   *
   * @param options `signal`, `timeout`, and `borrow`: whether chunks are valid only until the next step.
   * @returns The reading.
   */
  bytes(options: BytesOptions = NO_OPTIONS): Reading<Uint8Array> {
    checkOptions(options, BYTES_OPTIONS);
    const { borrow, signal, timeout } = options;
    return new SessionReading(this.#reader, borrow ? borrowedChunks : ownedChunks, {
      signal,
      timeout,
    });
  }

  /**
   * Loops over lines, without their ends. The same as `frames(lines(options))`.
   *
   * @param options Those of the codec, `signal` and `timeout`.
   * @returns The reading.
   */
  lines(options: LinesOptions & ReadOptions = NO_OPTIONS): Frames<string> {
    checkOptions(options, LINES_AND_READ_OPTIONS);
    return new SessionFrames(this.#reader, this.#output, makeLines(options), options);
  }

  /**
   * Reads and sends frames.
   *
   * @param codec Decodes and encodes the frames.
   * @param options `signal`: makes the loop reject with its reason. `timeout`: how long each step may wait.
   * @returns The reading, which can also `read()` one frame and `send()` one.
   * @throws {TypeError} If `codec` is not a codec.
   */
  frames<In, Out = In>(codec: Codec<In, Out>, options: ReadOptions = NO_OPTIONS): Frames<In, Out> {
    checkMethods("codec", codec, CODEC_METHODS);
    checkOptions(options, READ_OPTIONS);
    return new SessionFrames(this.#reader, this.#output, codec, options);
  }

  /**
   * Reads exactly `count` bytes.
   *
   * @param count How many bytes, from 0.
   * @param options `signal`, `timeout`, and `maxLength`: the maximum of `count`.
   * @returns The bytes, which belong to the caller.
   * @throws {FrameTooLargeError} If `count` is over `maxLength`.
   * @throws {TruncatedFrameError} If the input ends first. The bytes that have arrived stay unread.
   * @throws {DOMException} A `TimeoutError` after `timeout`. The bytes that have arrived stay unread.
   */
  async readExactly(count: number, options: ReadExactlyOptions = NO_OPTIONS): Promise<Uint8Array> {
    checkOptions(options, READ_EXACTLY_OPTIONS);
    const maxLength = checkInteger("maxLength", options.maxLength ?? 8 * 1024 * 1024, 1, 2 ** 30);
    checkInteger("count", count, 0, Number.MAX_SAFE_INTEGER);
    if (count > maxLength) {
      this.#reader.checkFree();
      throw this.#reader.refuse(new FrameTooLargeError(maxLength, count));
    }
    if (count === 0) return new Uint8Array(0);
    const bytes = await new SessionReading(this.#reader, new Exactly(count)).read(options);
    if (bytes === undefined) throw this.#reader.inputError = new TruncatedFrameError(0, count);
    return bytes;
  }

  /**
   * Reads one line, without its end.
   *
   * @param options Those of the codec {@linkcode lines}, `signal` and `timeout`.
   * @returns The line, or `undefined` at the end of input.
   * @throws {FrameTooLargeError} If the line is too long.
   * @throws {DOMException} A `TimeoutError` after `timeout`. What has arrived of the line stays unread.
   */
  readLine(options: LinesOptions & ReadOptions = NO_OPTIONS): Promise<string | undefined> {
    checkOptions(options, LINES_AND_READ_OPTIONS);
    return new SessionReading(this.#reader, makeLines(options)).read(options);
  }

  /**
   * The input as a web stream, for `pipeThrough()` and similar. The session is read only when the stream is. Cancelling
   * it leaves the session open, and the rest of the input to later readings. A read of the stream that was abandoned by
   * `releaseLock()` goes on, and its bytes stay in the stream. TLS cannot begin while the stream is locked.
   */
  get readable(): ReadableStream<Uint8Array<ArrayBuffer>> {
    return (this.#readable ??= new InputStream(this.#reader)).stream;
  }

  /**
   * The output as a web stream of text or bytes, with the back-pressure of {@linkcode send}. Closing it half-closes the
   * session, and aborting it aborts the session. A character that is split over two chunks of text is joined.
   */
  get writable(): WritableStream<string | Uint8Array> {
    return this.#writable ??= writableOf(this.#life);
  }

  /**
   * Puts bytes back: the next reading begins with them.
   *
   * @param bytes The bytes, which are copied.
   * @throws {TypeError} While TLS begins, because the bytes came before it.
   */
  unread(bytes: Uint8Array): void {
    this.#reader.unread(checkBytes("bytes to unread", bytes));
  }

  /**
   * Sends text or bytes. They are buffered in the order of the calls, and written when the handler waits.
   *
   * @param data Text, which is sent as UTF-8, or bytes, or a message of {@linkcode prepare}. Fewer than 16 KiB of bytes
   * are copied; larger ones must not change until the promise settles. Half a surrogate pair at the end of a text
   * becomes U+FFFD: see {@linkcode writable}.
   * @returns Resolves at once while less than `highWaterMark` is unsent, and otherwise when the peer has taken enough.
   * For 16 KiB of bytes or more, it resolves when they are written. It need not be awaited: its rejection never counts
   * as unhandled.
   * @throws {SessionEndedError} If the session has ended. If a write failed, the last data of the peer, which often says
   * why, can still be read. After it, readings throw the same error.
   */
  send(data: string | Uint8Array | PreparedMessage): Promise<void> {
    return this.#output.send(data);
  }

  /**
   * Writes everything that was sent so far.
   *
   * @returns Resolves once it is written to the connection.
   * @throws {SessionEndedError} If the session ends first.
   */
  flush(): Promise<void> {
    return this.#output.flushed();
  }

  /**
   * Begins TLS on a session without it (STARTTLS), once both sides have agreed on it in plaintext. Data that was sent
   * before is written first. Data that is sent meanwhile follows encrypted. No reading may wait.
   *
   * A session of `serve()` acts as the TLS server, with the server's `tls` options, whose `mode` must be `starttls` or
   * `detect`. Any other session acts as the client.
   *
   * If there is unread input from before, in the session or in {@linkcode readable}, the session ends with an error:
   * that input was not protected, but would be read as if it were (CVE-2011-0411, RFC 3207 §6).
   *
   * @param options Options of a client. A session of a server takes none.
   * @returns The negotiated parameters.
   * @throws {TlsHandshakeError} If the handshake failed. The session has ended then.
   * @throws {TypeError | RangeError} If a reading waits, `readable` is locked, the session has TLS already, or an option
   * is invalid.
   *
   * @example
   * ```ts ignore
   * // the server's handler
   * const lines = session.lines({ ending: "\r\n", strict: true });
   * for await (const line of lines) {
   *   if (line !== "STARTTLS") continue;
   *   await lines.send("220 go ahead");
   *   await session.upgradeTls();
   * }
   * ```
   */
  async upgradeTls(options: UpgradeTlsOptions = {}): Promise<TlsInfo> {
    if (this.tls !== undefined) throw new TypeError("the session has TLS already");
    const { acceptTls, serverName } = this.#group;
    if (acceptTls !== undefined) refuseOptions(options);
    const begin = acceptTls?.() ?? tlsDialler(options, serverName ?? hostOf(this.remoteAddr));
    const signal = acceptTls === undefined ? options.signal : undefined;
    await this.#life.upgrade(begin, this.#readable?.held ?? 0, signal);
    return this.tls!;
  }

  /**
   * Flushes, then half-closes: the peer sees the end of input, and its own output can still be read.
   *
   * @returns Resolves once the connection is half-closed.
   * @throws {SessionEndedError} If the session ends first.
   */
  closeWrite(): Promise<void> {
    return this.#life.closeWrite();
  }

  /**
   * Ends the session gracefully: what was sent arrives, unless the peer stops reading for `closeTimeout` or needs longer
   * than `maxCloseTime` in all. Unread and later input is dropped. Waiting readings reject.
   *
   * @returns {@linkcode closed}.
   */
  close(): Promise<SessionEnd> {
    this.#life.close();
    return this.#life.closed;
  }

  /**
   * Ends the session at once and discards unsent output. The peer sees that it was cut off, by a reset or by a missing
   * close_notify of TLS, if the transport can do so: the sockets of `Deno.listen` cannot reset.
   *
   * @param reason Becomes the cause of the end.
   */
  abort(reason?: unknown): void {
    this.#life.terminate("local", reason);
  }

  /** Closes the session: for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
