import type { Socket } from "node:net";
import { setImmediate } from "node:timers";
import { concat } from "../../_internal/concat.ts";
import {
  busyError,
  classified,
  closedError,
  interruptedError,
  systemError,
} from "../../_internal/system_errors.ts";
import type { Address, Connection, InputBorrower } from "../connection.ts";

/** The most that one write takes, so that the progress of a slow peer can be seen. */
const MAX_WRITE = 64 * 1024;

const WHAT = "connection";

/**
 * A connection with the documented API of `net.Socket`, for runtimes whose handles cannot be used.
 *
 * In Deno 2.9.6, a waiting write fails once the peer has half-closed, and the last data is lost.
 */
export class SocketConnection implements Connection {
  readonly remoteAddr: Address;
  readonly localAddr: Address;
  readonly reset?: () => void;
  readonly #socket: Socket;
  #buffer: Uint8Array | undefined;
  #reader: PromiseWithResolvers<number | null> | undefined;
  #borrower: InputBorrower | undefined;
  /** The largest number of bytes that are lent. */
  #lentSize = 0;
  /** Input that was not read yet. */
  #rest: Uint8Array | undefined;
  #hasEnded = false;
  #fault: unknown;
  #isFaultTold = false;
  #writer: PromiseWithResolvers<number> | undefined;
  #halfClosing: PromiseWithResolvers<void> | undefined;
  #isClosed = false;

  /** @param socket A paused socket with `allowHalfOpen`. */
  constructor(socket: Socket, remoteAddr: Address, localAddr: Address) {
    this.remoteAddr = remoteAddr;
    this.localAddr = localAddr;
    this.#socket = socket;
    if (remoteAddr.transport === "tcp") {
      this.reset = () => this.#close(() => socket.resetAndDestroy());
    }
    socket.on("data", this.#onData);
    socket.pause(); // a listener for "data" makes it flow
    socket.on("end", this.#onEnd);
    socket.on("error", this.#onError);
    socket.on("close", this.#onEnd);
  }

  /**
   * Without the input that a paused socket reads ahead, 128 KiB at most: no pause prevents it, so it would end sessions that
   * only have to wait.
   */
  get held(): number {
    return this.#socket.writableLength;
  }

  read(buffer: Uint8Array): Promise<number | null> {
    if (this.#isClosed) return Promise.reject(closedError(WHAT));
    if (this.#isReading) return Promise.reject(busyError("a read"));
    if (this.#rest !== undefined) return Promise.resolve(this.#give(this.#rest, buffer));
    const fault = this.#takeFault();
    if (fault !== undefined) return Promise.reject(fault);
    if (this.#hasEnded) return Promise.resolve(null);
    this.#buffer = buffer;
    this.#reader = Promise.withResolvers();
    this.#socket.resume();
    return this.#reader.promise;
  }

  readLent(size: number, borrower: InputBorrower): void {
    if (this.#isClosed || this.#isReading) {
      const error = this.#isClosed ? closedError(WHAT) : busyError("a read");
      return queueMicrotask(() => borrower.onEnd(error));
    }
    this.#borrower = borrower;
    this.#lentSize = size;
    if (this.#rest === undefined && this.#fault === undefined && !this.#hasEnded) {
      this.#socket.resume();
    } else queueMicrotask(() => this.#lendRest());
  }

  write(data: Uint8Array): Promise<number> {
    const taken = this.writeNow(data);
    return typeof taken === "number" ? Promise.resolve(taken) : taken;
  }

  writeNow(data: Uint8Array): number | Promise<number> {
    if (this.#isClosed) return Promise.reject(closedError(WHAT));
    if (this.#writer !== undefined) return Promise.reject(busyError("a write"));
    if (this.#halfClosing !== undefined) {
      return Promise.reject(systemError("EPIPE", "cannot write after closeWrite()"));
    }
    if (this.#fault !== undefined) return Promise.reject(this.#fault);
    const bytes = data.length > MAX_WRITE ? data.subarray(0, MAX_WRITE) : data;
    const socket = this.#socket;
    let writer: PromiseWithResolvers<number> | undefined;
    let failure: Error | null | undefined;
    socket.write(bytes, (error) => {
      failure = error;
      if (writer === undefined || this.#isClosed) return; // close() has rejected
      this.#writer = undefined;
      if (error) writer.reject(this.#faultOf(error));
      else writer.resolve(bytes.length);
    });
    if (failure) return Promise.reject(this.#faultOf(failure));
    // Nothing is left in the socket. A socket that is destroyed, however, drops what it is given.
    if (socket.writableLength === 0 && !socket.destroyed) return bytes.length;
    this.#writer = writer = Promise.withResolvers();
    return writer.promise;
  }

  closeWrite(): Promise<void> {
    if (this.#isClosed) return Promise.reject(closedError(WHAT));
    if (this.#halfClosing !== undefined) return this.#halfClosing.promise;
    const halfClosing = this.#halfClosing = Promise.withResolvers();
    this.#socket.end((error?: Error | null) => {
      if (error) halfClosing.reject(this.#faultOf(error));
      else halfClosing.resolve();
    });
    return halfClosing.promise;
  }

  close(): void {
    this.#close(() => this.#socket.destroy());
  }

  #close(destroy: () => void): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#rest = undefined;
    destroy(); // frees the descriptor at once
    setImmediate(() => this.#settle());
  }

  setNoDelay(noDelay = true): void {
    this.#socket.setNoDelay(noDelay);
  }

  setKeepAlive(keepAlive: boolean | number = true): void {
    this.#socket.setKeepAlive(keepAlive !== false, typeof keepAlive === "number" ? keepAlive : 0);
  }

  readonly #onData = (chunk: Uint8Array): void => {
    const reader = this.#reader;
    if (this.#isClosed) return;
    const borrower = this.#borrower;
    if (borrower !== undefined) {
      this.#borrower = undefined;
      const bytes = this.#takeFirst(chunk, this.#lentSize);
      if (this.#rest !== undefined) this.#socket.pause();
      return borrower.onInput(bytes);
    }
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
    if (this.#isClosed) return;
    this.#hasEnded = true;
    this.#reader?.resolve(null);
    this.#reader = undefined;
    this.#endLent(undefined);
  };

  readonly #onError = (error: Error): void => {
    if (this.#isClosed) return;
    const fault = this.#faultOf(error);
    if (!this.#isReading) return;
    this.#isFaultTold = true;
    this.#reader?.reject(fault);
    this.#reader = undefined;
    this.#endLent(fault);
  };

  get #isReading(): boolean {
    return this.#reader !== undefined || this.#borrower !== undefined;
  }

  /** The error of the socket, if no read has reported it yet. */
  #takeFault(): unknown {
    if (this.#fault === undefined || this.#isFaultTold) return;
    this.#isFaultTold = true;
    return this.#fault;
  }

  #endLent(fault: unknown): void {
    const borrower = this.#borrower;
    this.#borrower = undefined;
    borrower?.onEnd(fault);
  }

  /** Lends what came before, or tells that there is no more. */
  #lendRest(): void {
    const borrower = this.#borrower;
    if (borrower === undefined || this.#isClosed) return; // closed meanwhile
    if (this.#rest === undefined) return this.#endLent(this.#takeFault());
    this.#borrower = undefined;
    borrower.onInput(this.#takeFirst(this.#rest, this.#lentSize));
  }

  /** The error of the socket, which has destroyed it. */
  #faultOf(error: Error): unknown {
    // The error of a waiting write only says that the write was cancelled.
    return this.#fault ??= classified(this.#socket.errored ?? error, "the connection is lost");
  }

  /** Rejects a waiting read and write, in a later turn. */
  #settle(): void {
    const error = interruptedError(WHAT);
    this.#reader?.reject(error);
    this.#endLent(error);
    this.#writer?.reject(error);
    this.#halfClosing?.reject(error);
  }

  #give(chunk: Uint8Array, buffer: Uint8Array): number {
    const bytes = this.#takeFirst(chunk, buffer.length);
    buffer.set(bytes);
    return bytes.length;
  }

  /** The first bytes of a chunk; the others are kept. */
  #takeFirst(chunk: Uint8Array, size: number): Uint8Array {
    if (chunk.length <= size) {
      this.#rest = undefined;
      return chunk;
    }
    this.#rest = chunk.subarray(size);
    return chunk.subarray(0, size);
  }
}

/** The address of the peer of a socket. */
export function remoteAddrOf({ remoteAddress, remotePort }: Socket): Address {
  return remoteAddress === undefined || remotePort === undefined
    ? { transport: "unix", path: "" }
    : { transport: "tcp", hostname: remoteAddress, port: remotePort };
}

/** The address of this side of a socket; `fallback` if the socket has none, as with a Unix socket. */
export function localAddrOf({ localAddress, localPort }: Socket, fallback: Address): Address {
  return localAddress === undefined || localPort === undefined
    ? fallback
    : { transport: "tcp", hostname: localAddress, port: localPort };
}
