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
import type { Address, Connection } from "../connection.ts";

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

  read(buffer: Uint8Array): Promise<number | null> {
    if (this.#isClosed) return Promise.reject(closedError(WHAT));
    if (this.#reader !== undefined) return Promise.reject(busyError("a read"));
    if (this.#rest !== undefined) return Promise.resolve(this.#give(this.#rest, buffer));
    if (this.#fault !== undefined && !this.#isFaultTold) {
      this.#isFaultTold = true;
      return Promise.reject(this.#fault);
    }
    if (this.#hasEnded) return Promise.resolve(null);
    this.#buffer = buffer;
    this.#reader = Promise.withResolvers();
    this.#socket.resume();
    return this.#reader.promise;
  }

  write(data: Uint8Array): Promise<number> {
    if (this.#isClosed) return Promise.reject(closedError(WHAT));
    if (this.#writer !== undefined) return Promise.reject(busyError("a write"));
    if (this.#halfClosing !== undefined) {
      return Promise.reject(systemError("EPIPE", "cannot write after closeWrite()"));
    }
    if (this.#fault !== undefined) return Promise.reject(this.#fault);
    const writer = this.#writer = Promise.withResolvers<number>();
    const bytes = data.length > MAX_WRITE ? data.subarray(0, MAX_WRITE) : data;
    this.#socket.write(bytes, (error) => {
      if (this.#isClosed) return; // close() has rejected
      this.#writer = undefined;
      if (error) writer.reject(this.#faultOf(error));
      else writer.resolve(bytes.length);
    });
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
  };

  readonly #onError = (error: Error): void => {
    if (this.#isClosed) return;
    const fault = this.#faultOf(error);
    if (this.#reader === undefined) return;
    this.#isFaultTold = true;
    this.#reader.reject(fault);
    this.#reader = undefined;
  };

  /** The error of the socket, which has destroyed it. */
  #faultOf(error: Error): unknown {
    // The error of a waiting write only says that the write was cancelled.
    return this.#fault ??= classified(this.#socket.errored ?? error, "the connection is lost");
  }

  /** Rejects a waiting read and write, in a later turn. */
  #settle(): void {
    const error = interruptedError(WHAT);
    this.#reader?.reject(error);
    this.#writer?.reject(error);
    this.#halfClosing?.reject(error);
  }

  #give(chunk: Uint8Array, buffer: Uint8Array): number {
    const count = Math.min(chunk.length, buffer.length);
    buffer.set(chunk.subarray(0, count));
    this.#rest = count < chunk.length ? chunk.subarray(count) : undefined;
    return count;
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
