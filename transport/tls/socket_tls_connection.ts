import type { EventEmitter } from "node:events";
import { setImmediate } from "node:timers";
import type { TLSSocket } from "node:tls";
import { closeQuietly, resetQuietly } from "../../_internal/close_quietly.ts";
import { concat } from "../../_internal/concat.ts";
import { isBun, runtimeName } from "../../_internal/runtime.ts";
import { systemErrors } from "../../_internal/system_error_classes.ts";
import { busyError, closedError, interruptedError } from "../../_internal/system_errors.ts";
import type { Address, Connection, ProxyHeader, TlsInfo } from "../connection.ts";
import { CUT } from "./connection.ts";
import type { ConnectionStream, StreamOwner } from "./connection_stream.ts";
import { explainLive } from "./errors.ts";

/** The most bytes that one write takes. A larger write to a slow peer would show no progress for too long. */
const MAX_WRITE = 64 * 1024;
const WHAT = "connection";

/** A connection over TLS by a `TLSSocket`, after the handshake. */
export class SocketTlsConnection implements Connection, StreamOwner {
  readonly remoteAddr: Address;
  readonly localAddr: Address;
  readonly tls: TlsInfo;
  readonly proxy?: ProxyHeader;
  readonly #raw: Connection;
  readonly #stream: ConnectionStream;
  readonly #socket: TLSSocket;
  #reader: PromiseWithResolvers<number | null> | undefined;
  #buffer: Uint8Array | undefined;
  /** Received data that was not read yet. */
  #rest: Uint8Array | undefined;
  /** Whether the peer has sent close_notify. */
  #hasEnded = false;
  #hasFailed = false;
  #readFault: { readonly error: unknown } | undefined;
  #isFaultTold = false;
  #writer: PromiseWithResolvers<number> | undefined;
  /** The length of the write that waits, once the TLS layer has encrypted it. */
  #writeCount = 0;
  #writeFault: unknown;
  #halfClosing: PromiseWithResolvers<void> | undefined;
  #isClosed = false;

  /**
   * @param raw The connection under TLS.
   * @param stream The stream over it. This connection becomes its owner.
   * @param socket The TLS socket over the stream, just after the handshake.
   * @param tls What the handshake has negotiated.
   */
  constructor(raw: Connection, stream: ConnectionStream, socket: TLSSocket, tls: TlsInfo) {
    this.remoteAddr = raw.remoteAddr;
    this.localAddr = raw.localAddr;
    this.tls = tls;
    if (raw.proxy !== undefined) this.proxy = raw.proxy;
    this.#raw = raw;
    this.#stream = stream;
    this.#socket = socket;
    stream.owner = this;
    socket.on("data", this.#onData);
    socket.pause(); // a listener for "data" makes it flow
    socket.on("end", this.#onEnd);
    socket.on("error", this.#onError);
    // Of what is wrong with a record from a client, Bun 1.4 tells by this event alone, and then by a plain "end".
    if (isBun) (socket as EventEmitter).on("_tlsError", this.#onError);
    socket.on("close", this.#onClose);
  }

  get held(): number {
    const stream = this.#stream.duplex;
    const output = this.#socket.writableLength + stream.writableLength;
    const input = this.#socket.readableLength + stream.readableLength + (this.#rest?.length ?? 0);
    return output + input + (this.#raw.held ?? 0);
  }

  read(buffer: Uint8Array): Promise<number | null> {
    if (this.#isClosed) return Promise.reject(closedError(WHAT));
    if (this.#reader !== undefined) return Promise.reject(busyError("a read"));
    if (this.#rest !== undefined) return Promise.resolve(this.#give(this.#rest, buffer));
    if (this.#hasEnded || this.#isFaultTold) return Promise.resolve(null);
    this.#buffer = buffer;
    const { promise } = this.#reader = Promise.withResolvers();
    this.#socket.resume();
    if (this.#readFault !== undefined) setImmediate(this.#tellFault);
    return promise;
  }

  write(data: Uint8Array): Promise<number> {
    if (this.#isClosed) return Promise.reject(closedError(WHAT));
    if (this.#writer !== undefined) return Promise.reject(busyError("a write"));
    if (this.#writeFault !== undefined) return Promise.reject(this.#writeFault);
    if (this.#halfClosing !== undefined) {
      return Promise.reject(new systemErrors.BrokenPipe("cannot write after closeWrite()"));
    }
    if (data.length === 0) return Promise.resolve(0);
    const bytes = data.length > MAX_WRITE ? data.subarray(0, MAX_WRITE) : data;
    const writer = this.#writer = Promise.withResolvers();
    this.#socket.write(bytes, (error) => {
      if (this.#isClosed || this.#writer !== writer) return;
      if (error) return this.#onError(error);
      this.#writeCount = bytes.length;
      if (this.#stream.duplex.writableLength === 0) this.onWritten();
    });
    return writer.promise;
  }

  /** Sends close_notify (RFC 8446 §6.1), then half-closes the raw connection. */
  closeWrite(): Promise<void> {
    if (this.#isClosed) return Promise.reject(closedError(WHAT));
    if (this.#halfClosing !== undefined) return this.#halfClosing.promise;
    if (this.#writeFault !== undefined) return Promise.reject(this.#writeFault);
    const { promise } = this.#halfClosing = Promise.withResolvers();
    this.#socket.end();
    return promise;
  }

  /** Sends no close_notify. Without `closeWrite()` before, the peer can tell that data may be missing. */
  close(): void {
    this.#close(closeQuietly);
  }

  /** Closes, and resets the raw connection if it can. */
  reset(): void {
    this.#close(resetQuietly);
  }

  #close(closeRaw: (raw: Connection) => void): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#rest = undefined;
    closeRaw(this.#raw); // before the socket, which would send close_notify
    this.#socket.destroy();
    setImmediate(() => {
      const error = interruptedError(WHAT);
      this.#reader?.reject(error);
      this.#writer?.reject(error);
      this.#halfClosing?.reject(error);
    });
  }

  setNoDelay(noDelay?: boolean): void {
    this.#raw.setNoDelay?.(noDelay);
  }

  setKeepAlive(keepAlive?: boolean | number): void {
    this.#raw.setKeepAlive?.(keepAlive);
  }

  onInputEnd(error: unknown): void {
    this.#failReading(error ?? new systemErrors.UnexpectedEof(CUT));
  }

  onWriteError(error: unknown): void {
    if (this.#isClosed) return;
    this.#writeFault ??= error;
    this.#writer?.reject(error);
    this.#halfClosing?.reject(error);
    this.#writer = undefined;
  }

  /** Needed because Bun 1.4 calls the callback of a write as soon as it has encrypted the bytes. */
  onWritten(): void {
    if (this.#writeCount === 0) return;
    this.#writer?.resolve(this.#writeCount);
    this.#writer = undefined;
    this.#writeCount = 0;
  }

  onHalfClosed(): void {
    this.#halfClosing?.resolve();
  }

  readonly #onData = (chunk: Uint8Array): void => {
    const reader = this.#reader;
    if (this.#isClosed) return;
    if (reader === undefined) {
      this.#socket.pause();
      this.#rest = this.#rest === undefined ? chunk : concat([this.#rest, chunk]);
      return;
    }
    this.#reader = undefined;
    const count = this.#give(chunk, this.#buffer!);
    if (this.#rest !== undefined) this.#socket.pause();
    reader.resolve(count);
  };

  readonly #onEnd = (): void => {
    // Bun 1.4 also emits "end" after a fatal error. Once this side has sent close_notify, it drops what the peer sends.
    if (this.#hasFailed) return;
    if (isBun && this.#halfClosing !== undefined) return this.#onInputLost();
    this.#hasEnded = true;
    this.#reader?.resolve(null);
    this.#reader = undefined;
  };

  /** The TLS layer has failed and destroyed the socket. Data that came before can still be read. */
  readonly #onError = (error: Error): void => {
    if (this.#isClosed) return;
    this.#hasFailed = true;
    const explained = explainLive(this.remoteAddr, error);
    const left: Uint8Array | null = this.#socket.read();
    if (left !== null) this.#rest = this.#rest === undefined ? left : concat([this.#rest, left]);
    this.#failReading(explained);
    this.onWriteError(explained);
  };

  readonly #onClose = (): void => {
    if (!this.#hasEnded) {
      this.#onError(new systemErrors.ConnectionAborted("the TLS layer has closed the connection"));
    }
  };

  #onInputLost(): void {
    const problem = `${runtimeName()} cannot read from a TLS connection after a half-close`;
    this.#failReading(new systemErrors.ConnectionAborted(problem));
  }

  /** Fails reads, after those that take the data that came before. */
  #failReading(error: unknown): void {
    if (this.#isClosed) return;
    this.#readFault ??= { error };
    setImmediate(this.#tellFault);
  }

  /** Rejects the read that waits, unless the socket still has data for it. */
  readonly #tellFault = (): void => {
    const isDone = this.#stream.duplex.readableLength + this.#socket.readableLength === 0;
    if (this.#reader === undefined || this.#isClosed || !isDone && !this.#socket.destroyed) return;
    this.#isFaultTold = true;
    this.#reader.reject(this.#readFault!.error);
    this.#reader = undefined;
  };

  #give(chunk: Uint8Array, buffer: Uint8Array): number {
    const count = Math.min(chunk.length, buffer.length);
    buffer.set(chunk.subarray(0, count));
    this.#rest = count < chunk.length ? chunk.subarray(count) : undefined;
    return count;
  }
}
