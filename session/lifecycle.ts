/** What a session is made of: reading, sending, deadlines. This module: how a session ends. */

import {
  type EndReason,
  type SessionEnd,
  SessionEndedError,
  TlsHandshakeError,
  TruncatedFrameError,
} from "../errors.ts";
import { type Connection, formatAddress, normalizeAddress } from "../transport/connection.ts";
import { closeQuietly, resetQuietly } from "../_internal/close_quietly.ts";
import { LazyError } from "../_internal/lazy_error.ts";
import type { Link } from "../_internal/linked_list.ts";
import type { Budget } from "./budget.ts";
import type { BufferPool } from "./buffer_pool.ts";
import { Deadlines, type Progress } from "./deadlines.ts";
import type { FlushQueue } from "./flush_queue.ts";
import { Heartbeat, type HeartbeatSettings } from "./heartbeat.ts";
import type { Goodbye, SessionSettings } from "./options.ts";
import { checkData, type IoEvents, Output } from "./output.ts";
import { PrefixedConnection } from "../transport/prefixed.ts";
import { bareOf, type Tap, TappedConnection } from "../transport/tapped.ts";
import { Reader } from "./reader.ts";
import { isCutting, reasonOf } from "./reasons.ts";
import { Throttle, type Waits } from "./throttle.ts";
import { unlessAborted } from "../_internal/time_limit.ts";

/** What a session uses of its group. */
interface Shared {
  readonly queue: FlushQueue;
  readonly pool: BufferPool;
  readonly budget: Budget;
  /** How often sessions had to wait for a rate. */
  readonly waits: Waits;
  /** What draining throws, once it has begun. */
  readonly drained: SessionEndedError | undefined;
  /** The current time, for deadlines. */
  now(): number;
  /** Makes the sweep frequent enough for a duration. */
  pace(duration: number): void;
  /** The session has ended. */
  leave(life: Lifecycle, end: SessionEnd): void;
  /** A function of the user has thrown. */
  report(session: object, error: unknown): void;
}

/**
 * How a session ends: gracefully, at once, by a deadline or by its peer, and what its users learn.
 *
 * It passes through three points, each once: the end *begins* (readings, sends and the signal get the reason), the
 * connection is *shut*, and the session is *gone* (no read or write is left, so the descriptor is free).
 */
export class Lifecycle implements IoEvents, Progress {
  readonly reader: Reader;
  readonly output: Output;
  readonly deadlines: Deadlines;
  connection: Connection;
  readonly began: number = performance.now();
  readonly session: object;
  /** Its place among the members of its group. */
  place: Link<Lifecycle> | undefined;
  /** Returns the last message before a deadline or a drain ends the session. */
  goodbye: Goodbye | undefined;
  readonly #group: Shared;
  #end: SessionEnd | undefined;
  #failure: LazyError | undefined;
  #abortion: AbortController | undefined;
  #closed: PromiseWithResolvers<SessionEnd> | undefined;
  #halfClosed: Promise<void> | undefined;
  #isUpgrading = false;
  #isReadOnly = false;
  #isShut = false;
  #isGone = false;

  constructor(
    session: object,
    connection: Connection,
    settings: SessionSettings,
    group: Shared,
  ) {
    this.session = session;
    this.connection = connection;
    this.#group = group;
    this.goodbye = settings.goodbye;
    this.deadlines = new Deadlines(settings, group.now());
    this.output = new Output(connection, group.queue, group.pool, settings, this);
    this.reader = new Reader(connection, settings.chunkSize, this.output, group, this);
    const { readRate, writeRate } = settings;
    const { reader, output } = this;
    if (readRate !== undefined) {
      reader.throttle = new Throttle(readRate, "reads", group.waits, () => reader.resume());
    }
    if (writeRate !== undefined) {
      output.throttle = new Throttle(writeRate, "writes", group.waits, () => output.onRate());
    }
    if (settings.heartbeat !== undefined) this.heartbeat = settings.heartbeat;
  }

  get heartbeat(): HeartbeatSettings | undefined {
    return this.reader.heartbeat?.settings;
  }

  set heartbeat(settings: HeartbeatSettings | undefined) {
    this.reader.heartbeat = settings && new Heartbeat(settings, this.#group.now());
  }

  /** How long no byte has passed, in milliseconds. */
  get idleFor(): number {
    return this.#group.now() - this.deadlines.quietSince;
  }

  /** The shortest duration that the sweep has to keep. */
  get shortest(): number {
    const { shortest } = this.deadlines;
    const { heartbeat } = this;
    return this.#end === undefined && heartbeat !== undefined
      ? Math.min(shortest, heartbeat.interval)
      : shortest;
  }

  get signal(): AbortSignal {
    if (this.#abortion === undefined) {
      this.#abortion = new AbortController();
      if (this.#failure !== undefined) this.#abortion.abort(this.#failure.error);
    }
    return this.#abortion.signal;
  }

  get closed(): Promise<SessionEnd> {
    if (this.#closed === undefined) {
      this.#closed = Promise.withResolvers();
      if (this.#isGone) this.#closed.resolve(this.#end!);
    }
    return this.#closed.promise;
  }

  /** Whether it is a member of its group: until no read or write is left. */
  get isMember(): boolean {
    return this.place?.isListed === true;
  }

  /** Whether the connection is closed. Operations of it may still be under way. */
  get isShut(): boolean {
    return this.#isShut;
  }

  get bytesRead(): number {
    return this.reader.bytesRead;
  }

  get bytesWritten(): number {
    return this.output.bytesWritten;
  }

  get writing(): boolean {
    return this.output.writing;
  }

  get frames(): number {
    return this.reader.frames;
  }

  get unread(): boolean {
    return this.reader.input.unread > 0;
  }

  get waiting(): boolean {
    return this.reader.waiting !== undefined && !this.reader.throttle?.isWaiting;
  }

  get reading(): boolean {
    return this.reader.reading;
  }

  closeWrite(): Promise<void> {
    return this.#halfClosed ??= this.output.end();
  }

  /**
   * Replaces the connection by what `begin` makes of it. Output that is sent meanwhile follows on the new connection.
   * There must be no unread input, including the `held` bytes, since it would pass for input of the new connection. If
   * `signal` aborts before `begin` is called, the session ends; from then on, `begin` has to handle it.
   */
  async upgrade(
    begin: (connection: Connection) => Promise<Connection>,
    held: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    this.#checkOpen();
    const { reader, output } = this;
    reader.checkFree();
    this.#refuse(reader.input.unread + held);
    const prefix = reader.detach();
    this.#isUpgrading = true;
    try {
      await unlessAborted(output.detach(), signal);
      this.#goOn(await begin(new PrefixedConnection(bareOf(this.connection), prefix)));
    } catch (error) {
      if (error instanceof Error) reader.refuse(error);
      this.terminate("error", error);
      throw this.#end?.cause === error ? error : this.#failure!.error;
    } finally {
      this.#isUpgrading = false;
      if (this.#isShut) this.#leave();
    }
    this.#checkOpen();
  }

  #checkOpen(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Bytes that an attacker injected before TLS would pass for the peer's (CVE-2011-0411). */
  #refuse(unread: number): void {
    if (unread === 0) return;
    const error = new TlsHandshakeError(
      formatAddress(normalizeAddress(this.connection.remoteAddr)),
      "protocol",
      `${unread} bytes that came unencrypted are unread (an attacker may have put them there, CVE-2011-0411)`,
    );
    this.terminate("error", this.reader.refuse(error));
    throw error;
  }

  /** Switches to another connection, for everything that follows. */
  #goOn(connection: Connection): void {
    if (this.#isShut) return closeQuietly(connection);
    const old = this.connection;
    const next = old instanceof TappedConnection ? old.over(connection) : connection;
    this.connection = next;
    this.reader.attach(next);
    this.output.attach(next);
  }

  /** Shows a tap what is read and written from now on: within TLS, if there is TLS. */
  tap(tap: Tap): void {
    if (this.#isGone) return tap.onGone(this.#end!);
    const tapped = this.connection = new TappedConnection(this.connection, tap);
    if (this.#isUpgrading) return; // it goes on with the connection that TLS will have made
    this.reader.tap(tapped, tap);
    this.output.divert(tapped);
  }

  /**
   * Ends gracefully. Without a reason, an error of the input becomes the reason, if there was one. Later calls are told of
   * the `hint`, if this side has ended the session.
   */
  close(reason?: EndReason, hint?: string): void {
    if (reason !== undefined) return this.#finish(reason, undefined);
    const { inputError, ended } = this.reader;
    const betweenFrames = inputError instanceof TruncatedFrameError && inputError.received === 0;
    if (inputError !== undefined && inputError === this.#group.drained) this.#endDrained();
    else if (inputError instanceof SessionEndedError) this.#finish(inputError.reason, undefined);
    else if (inputError !== undefined && !betweenFrames) {
      this.#finish(reasonOf(inputError), inputError);
    } else if (ended) this.#finish("peer", undefined);
    else this.#finish("local", undefined, false, hint);
  }

  /** Whether the session can be handed to another user: it is open, and no input is unread or waited for. */
  get canBeHandedOver(): boolean {
    if (!this.#canSend) return false;
    const { ended, inputError, waiting, input } = this.reader;
    return !ended && inputError === undefined && waiting === undefined && input.unread === 0;
  }

  /** Whether another process can go on with it: it waits for the next message, and has sent everything. */
  get canMove(): boolean {
    const { reader, output } = this;
    const isSent = output.buffered === 0 && !output.writing;
    return this.#canSend && isSent && reader.waiting?.drains === true && !reader.ended;
  }

  /** Whether the session threw this error, and not because of a bug in a decoder. A handler may let such errors through. */
  threw(error: unknown): boolean {
    if (error === undefined || error === this.reader.decoderError) return false;
    const { inputError, timeoutError } = this.reader;
    if (this.#failure?.is(error)) return true;
    return [inputError, timeoutError, this.#group.drained].includes(error as Error);
  }

  /** Ends gracefully because the handler of a server returned. */
  onReturned(): void {
    this.close(undefined, "the handler has returned");
  }

  /** Ends gracefully because the handler of a server threw, and reports that unless the session is the cause. */
  onThrown(error: unknown): void {
    if (!this.threw(error)) this.#group.report(this.session, error);
    this.fail(error);
  }

  /** Ends gracefully because the handler threw. */
  fail(error: unknown): void {
    if (error !== undefined && error === this.#group.drained) this.#endDrained();
    else if (error !== undefined && error === this.reader.timeoutError) {
      this.#finish("error", error);
    } else if (this.threw(error)) this.close();
    else this.#finish("error", error, true);
  }

  /** Ends at once. */
  terminate(reason: EndReason, cause: unknown, keepInput = false): void {
    if (this.#isShut) return;
    const isCut = this.#end === undefined && this.#halfClosed === undefined && isCutting(reason);
    if (this.#end === undefined) this.#begin(reason, cause, keepInput ? "keep" : "drop");
    else this.#lose(reason, cause);
    this.#shut(isCut || this.output.buffered > 0);
  }

  /** Ends gracefully because the server drains and the handler is done. */
  #endDrained(): void {
    this.#finish("drain", this.#sayGoodbye("drain"));
  }

  /** Ends because a deadline is over: gracefully after a goodbye, at once without one. */
  expire(reason: EndReason): void {
    if (this.#end !== undefined || reason === "write-stalled") {
      return this.terminate(reason, undefined);
    }
    const before = this.output.accepted;
    const fault = this.#sayGoodbye(reason);
    this.deadlines.isHurried = true;
    if (this.#end !== undefined) return; // the user's function has ended the session
    if (this.output.accepted === before) return this.terminate(reason, fault);
    this.#finish(reason, fault);
  }

  /** Sends the last message, if there is one and it can be sent. Returns what the user's function has thrown. */
  #sayGoodbye(reason: EndReason): unknown {
    const { goodbye } = this;
    if (goodbye === undefined || !this.#canSend) return;
    this.goodbye = undefined; // before it is called, since it may end the session
    try {
      this.#say(goodbye(reason));
    } catch (error) {
      this.#group.report(this.session, error);
      return error;
    }
  }

  get #canSend(): boolean {
    return this.#end === undefined && this.#halfClosed === undefined && !this.#isUpgrading;
  }

  /** Sends what a function of the user has returned. */
  #say(message: unknown): void {
    if (message === undefined) return;
    if (message instanceof Promise) message.catch(() => {}); // what is wrong is that it is a promise
    checkData(message);
    this.output.send(message as string);
  }

  /** Checks the deadlines. Returns the shortest duration, by which the next sweep is timed. */
  sweep(now: number): number {
    if (this.#isShut) return Infinity;
    const reason = this.deadlines.check(now, this);
    if (reason !== undefined) this.expire(reason);
    const { heartbeat } = this.reader;
    if (heartbeat !== undefined) this.#beat(heartbeat, now);
    if (this.#end === undefined) {
      const isHeard = heartbeat !== undefined || this.deadlines.readIdleTimeout < Infinity;
      this.reader.watch(isHeard);
      this.reader.input.shrink();
    }
    return Math.min(this.shortest, this.reader.expire(now));
  }

  /** Sends a heartbeat if it is due, or ends the session if too many were missed. */
  #beat(heartbeat: Heartbeat, now: number): void {
    const { reader, output } = this;
    if (!this.#canSend || reader.ended) return;
    const verdict = heartbeat.check(now, reader, output);
    if (verdict === "missed") return this.expire("heartbeat-missed");
    if (verdict === undefined) return;
    const { message } = heartbeat.settings;
    const before = output.accepted;
    try {
      this.#say(typeof message === "function" ? message() : message);
    } catch (error) {
      this.#group.report(this.session, error);
      return this.terminate("error", error);
    }
    if (output.accepted > before) heartbeat.sent(now, output.accepted);
  }

  onFailure(error: unknown): void {
    const reason = reasonOf(error);
    this.terminate(reason, error, reason === "peer");
  }

  /** Goes on reading: the peer's last bytes, which may say why it closed, may not have been read yet. */
  onWriteFailure(error: unknown): void {
    if (this.#end !== undefined) return this.onFailure(error);
    this.#isReadOnly = true;
    this.output.fail(this.#begin(reasonOf(error), error, "read"));
    if (!this.#isShut) this.#limit();
  }

  onIdle(): void {
    if (this.#isShut) this.#leave();
    else this.reader.resume();
  }

  onBlocked(): void {
    this.reader.resume();
  }

  #begin(
    reason: EndReason,
    cause: unknown,
    input: "drop" | "keep" | "read",
    hint?: string,
  ): LazyError {
    this.#end = { reason, duration: 0, ...(cause !== undefined && { cause }) };
    const failure = this.#failure = new LazyError(() =>
      new SessionEndedError(reason, { cause: hint === undefined ? cause : new Error(hint) })
    );
    if (input === "read") this.reader.failAtEnd(failure, () => this.#shut());
    else this.reader.fail(failure, input === "keep");
    this.#abortion?.abort(failure.error);
    return failure;
  }

  /** Starts the deadlines of closing. */
  #limit(): void {
    this.deadlines.close(this.#group.now());
    this.#group.pace(this.deadlines.shortest);
  }

  #finish(reason: EndReason, cause: unknown, isCut?: boolean, hint?: string): void {
    if (this.#isReadOnly) { // the handler is done, so nothing reads the rest
      this.reader.fail(this.#failure!, false);
      this.#shut();
    }
    if (this.#end !== undefined) return;
    const failure = this.#begin(reason, cause, "drop", hint);
    if (this.#isShut) return; // a listener of the signal has aborted it
    this.output.close(failure);
    const isTold = this.#halfClosed !== undefined;
    if (isCut && !isTold && this.connection.reset !== undefined) return this.#cut();
    // Without TLS, closing tells the peer that no more comes. TLS needs a close_notify for that.
    const tells = this.connection.tls === undefined;
    if (tells && this.reader.ended && this.output.buffered === 0) return this.#shut();
    this.#linger();
  }

  /**
   * If a socket with unread input is closed, the kernel resets it, and the reset discards what the peer has not read
   * yet. So input is read and dropped until the peer has seen our end and finished its own side. That begins while
   * output is still flushed, because a peer that floods reads nothing before it has sent everything.
   */
  #linger(): void {
    let left = 2;
    const done = () => {
      if (--left === 0) this.#shut();
    };
    this.#limit();
    // If output was lost by a failure, `onFailure()` was called.
    this.closeWrite().then(done, () => this.#shut());
    this.reader.drop(done);
  }

  /** Writes what was sent, which may say what is wrong, and then resets, so that the peer sees an incomplete end. */
  #cut(): void {
    this.#limit();
    this.output.flushed().then(() => this.#shut(true), () => this.#shut());
    this.reader.drop(() => {});
  }

  /** Changes the reason of the end, if output that was accepted before `close()` is lost. */
  #lose(reason: EndReason, cause: unknown): void {
    const end = this.#end!;
    const isDeadline = this.deadlines.isHurried && end.reason === "drain";
    const harmless = !isDeadline && end.cause === undefined &&
      ["local", "peer", "drain"].includes(end.reason);
    if (!harmless || this.output.buffered === 0) return;
    end.reason = reason;
    if (cause !== undefined) end.cause = cause;
  }

  #shut(isCut = false): void {
    if (this.#isShut) return;
    this.#isShut = true;
    this.reader.fail(this.#failure!, true);
    this.output.fail(this.#failure!);
    if (isCut) resetQuietly(this.connection);
    else closeQuietly(this.connection);
    this.#leave();
  }

  #leave(): void {
    if (this.#isGone || this.#isUpgrading || this.reader.reading || this.output.writing) return;
    this.#isGone = true;
    this.reader.input.leave();
    const end = this.#end!;
    end.duration = performance.now() - this.began;
    if (this.connection instanceof TappedConnection) this.connection.gone(end);
    this.#group.leave(this, end);
    this.#closed?.resolve(end);
  }
}
