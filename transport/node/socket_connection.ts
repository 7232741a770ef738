import type { Socket } from "node:net";
import { classified } from "../../_internal/system_errors.ts";
import type { Address } from "../connection.ts";
import { PushedConnection } from "./pushed_connection.ts";

/** The most that one write takes, so that the progress of a slow peer can be seen. */
const MAX_WRITE = 64 * 1024;

/**
 * A connection with the documented API of `net.Socket`, for runtimes whose handles cannot be used.
 *
 * In Deno 2.9.6, a waiting write fails once the peer has half-closed, and the last data is lost.
 */
export class SocketConnection extends PushedConnection<Socket> {
  readonly reset?: () => void;

  /** @param socket A paused socket with `allowHalfOpen`. */
  constructor(socket: Socket, remoteAddr: Address, localAddr: Address) {
    super(socket, remoteAddr, localAddr);
    if (remoteAddr.transport === "tcp") {
      this.reset = () => this.closeBy(() => socket.resetAndDestroy());
    }
    const onEnd = (): void => this.onInputEnd();
    socket.on("data", (chunk: Uint8Array) => this.onInput(chunk));
    socket.pause(); // a listener for "data" makes it flow
    socket.on("end", onEnd);
    socket.on("error", (error) => this.#onError(error));
    socket.on("close", onEnd);
  }

  /**
   * Without the input that a paused socket reads ahead, 128 KiB at most: no pause prevents it, so it would end sessions that
   * only have to wait.
   */
  get held(): number {
    return this.socket.writableLength;
  }

  writeNow(data: Uint8Array): number | Promise<number> {
    const { refusal } = this;
    if (refusal !== undefined) return Promise.reject(refusal);
    const bytes = data.length > MAX_WRITE ? data.subarray(0, MAX_WRITE) : data;
    const socket = this.socket;
    let writer: PromiseWithResolvers<number> | undefined;
    let failure: Error | null | undefined;
    socket.write(bytes, (error) => {
      failure = error;
      if (writer === undefined || this.isClosed) return; // close() has rejected
      this.writer = undefined;
      if (error) writer.reject(this.#faultOf(error));
      else writer.resolve(bytes.length);
    });
    if (failure) return Promise.reject(this.#faultOf(failure));
    // Nothing is left in the socket. A socket that is destroyed, however, drops what it is given.
    if (socket.writableLength === 0 && !socket.destroyed) return bytes.length;
    this.writer = writer = Promise.withResolvers();
    return writer.promise;
  }

  protected halfClose(halfClosing: PromiseWithResolvers<void>): void {
    this.socket.end((error?: Error | null) => {
      if (error) halfClosing.reject(this.#faultOf(error));
      else halfClosing.resolve();
    });
  }

  close(): void {
    this.closeBy(() => this.socket.destroy());
  }

  setNoDelay(noDelay = true): void {
    this.socket.setNoDelay(noDelay);
  }

  #onError(error: Error): void {
    if (!this.isClosed) this.fail(this.#faultOf(error));
  }

  /** The error of the socket, which has destroyed it. */
  #faultOf(error: Error): unknown {
    // The error of a waiting write only says that the write was cancelled.
    return this.fault ??= classified(this.socket.errored ?? error, "the connection is lost");
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
