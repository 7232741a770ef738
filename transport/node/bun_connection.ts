import { classified, systemError } from "../../_internal/system_errors.ts";
import type { Address } from "../connection.ts";
import type { BunSocket } from "./bun_sockets.ts";
import { PushedConnection } from "./pushed_connection.ts";

/** A connection over a socket of `Bun.listen`, which has accepted it. */
export class BunConnection extends PushedConnection<BunSocket<BunConnection>> {
  readonly reset?: () => void;
  #isNoDelay: boolean | undefined;
  /** Whether the system has not taken all bytes of the last write. It calls back once it takes some again. */
  #isFull = false;
  /** The bytes of the write that waits. */
  #unsent: Uint8Array | undefined;
  #isShutDown = false;

  /** @param socket A paused socket with `allowHalfOpen`. */
  constructor(socket: BunSocket<BunConnection>, remoteAddr: Address, localAddr: Address) {
    super(socket, remoteAddr, localAddr);
    if (remoteAddr.transport === "tcp") {
      this.reset = () => this.closeBy(() => socket.terminate());
    }
  }

  writeNow(data: Uint8Array): number | Promise<number> {
    const { refusal } = this;
    if (refusal !== undefined) return Promise.reject(refusal);
    const count = this.#isFull ? 0 : this.#send(data);
    if (count > 0) return count;
    if (count < 0) return Promise.reject(this.#lost());
    this.#unsent = data;
    this.writer = Promise.withResolvers();
    return this.writer.promise;
  }

  protected halfClose(): void {
    if (this.writer === undefined) this.#shutDown();
  }

  close(): void {
    this.closeBy(() => this.socket.close());
  }

  setNoDelay(noDelay = true): void {
    if (noDelay === this.#isNoDelay) return;
    this.#isNoDelay = noDelay;
    this.socket.setNoDelay(noDelay);
  }

  /** The system takes bytes again. */
  onDrain(): void {
    this.#isFull = false;
    const { writer } = this;
    if (writer === undefined || this.isClosed) return;
    const count = this.#send(this.#unsent!);
    if (count === 0) return;
    this.writer = this.#unsent = undefined;
    if (count > 0) writer.resolve(count);
    else writer.reject(this.#lost());
    if (this.halfClosing !== undefined) this.#shutDown();
  }

  /** The socket has closed by itself. */
  onClosed(error: Error | undefined): void {
    if (this.isClosed) return;
    if (error === undefined) this.onInputEnd();
    else this.fail(classified(error, "the connection is lost"));
    this.hasEnded = true;
    this.writer?.reject(this.#lost());
    this.writer = this.#unsent = undefined;
    if (!this.#isShutDown) this.halfClosing?.reject(this.#lost());
  }

  /** Writes. Returns the number of bytes, or -1 if the connection is lost. */
  #send(data: Uint8Array): number {
    const count = this.socket.write(data);
    this.#isFull = count < data.length;
    return count;
  }

  #shutDown(): void {
    if (this.fault !== undefined) return this.halfClosing!.reject(this.fault);
    this.#isShutDown = true;
    this.socket.shutdown(); // which closes the socket if the peer has half-closed
    this.halfClosing!.resolve();
  }

  /** Why nothing can be written. The socket does not tell: a peer that has not half-closed must have reset. */
  #lost(): unknown {
    const code = this.hasEnded ? "EPIPE" : "ECONNRESET";
    return this.fault ??= systemError(code, "the connection is lost");
  }
}
