import { setImmediate } from "node:timers";
import { concat } from "../../_internal/concat.ts";
import {
  busyError,
  closedError,
  interruptedError,
  systemError,
} from "../../_internal/system_errors.ts";
import type { Address, Connection, InputBorrower } from "../connection.ts";

const WHAT = "connection";

/** What the sockets of all runtimes have. */
interface PushedSocket {
  /** Makes the runtime push input. */
  resume(): unknown;
  /** Makes the runtime push no more input, except what it has read already. */
  pause(): unknown;
  /** The delay is in milliseconds; 0 is the default of the system. */
  setKeepAlive(keepAlive: boolean, delay: number): unknown;
}

/**
 * A connection whose runtime calls back with each piece of input, unless it is paused.
 *
 * Between two reads it is not paused. Input that arrives then is kept, and it is paused.
 */
export abstract class PushedConnection<Socket extends PushedSocket> implements Connection {
  readonly remoteAddr: Address;
  readonly localAddr: Address;
  protected readonly socket: Socket;
  /** Why the connection is lost. */
  protected fault: unknown;
  /** The write that waits. */
  protected writer: PromiseWithResolvers<number> | undefined;
  protected halfClosing: PromiseWithResolvers<void> | undefined;
  protected hasEnded = false;
  protected isClosed = false;
  #isPaused = true;
  #buffer: Uint8Array | undefined;
  #reader: PromiseWithResolvers<number | null> | undefined;
  #borrower: InputBorrower | undefined;
  /** The largest number of bytes that are lent. */
  #lentSize = 0;
  /** Input that was not read yet. */
  #rest: Uint8Array | undefined;
  #isFaultTold = false;

  /** @param socket A paused socket with `allowHalfOpen`. */
  constructor(socket: Socket, remoteAddr: Address, localAddr: Address) {
    this.socket = socket;
    this.remoteAddr = remoteAddr;
    this.localAddr = localAddr;
  }

  abstract writeNow(data: Uint8Array): number | Promise<number>;
  /** Half-closes once, and then settles `halfClosing`. */
  protected abstract halfClose(halfClosing: PromiseWithResolvers<void>): void;
  abstract close(): void;

  read(buffer: Uint8Array): Promise<number | null> {
    if (this.isClosed) return Promise.reject(closedError(WHAT));
    if (this.#isReading) return Promise.reject(busyError("a read"));
    if (this.#rest !== undefined) return Promise.resolve(this.#give(this.#rest, buffer));
    const fault = this.#takeFault();
    if (fault !== undefined) return Promise.reject(fault);
    if (this.hasEnded) return Promise.resolve(null);
    this.#buffer = buffer;
    this.#reader = Promise.withResolvers();
    this.#start();
    return this.#reader.promise;
  }

  readLent(size: number, borrower: InputBorrower): void {
    if (this.isClosed || this.#isReading) {
      const error = this.isClosed ? closedError(WHAT) : busyError("a read");
      return queueMicrotask(() => borrower.onEnd(error));
    }
    this.#borrower = borrower;
    this.#lentSize = size;
    if (this.#rest === undefined && this.fault === undefined && !this.hasEnded) this.#start();
    else queueMicrotask(() => this.#lendRest());
  }

  write(data: Uint8Array): Promise<number> {
    const taken = this.writeNow(data);
    return typeof taken === "number" ? Promise.resolve(taken) : taken;
  }

  closeWrite(): Promise<void> {
    if (this.isClosed) return Promise.reject(closedError(WHAT));
    if (this.halfClosing === undefined) {
      this.halfClosing = Promise.withResolvers();
      this.halfClose(this.halfClosing);
    }
    return this.halfClosing.promise;
  }

  setKeepAlive(keepAlive: boolean | number = true): void {
    this.socket.setKeepAlive(keepAlive !== false, typeof keepAlive === "number" ? keepAlive : 0);
  }

  /** Closes by a function, and rejects what waits in a later turn. */
  protected closeBy(destroy: () => void): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.#rest = undefined;
    destroy(); // frees the descriptor at once
    setImmediate(() => this.#settle());
  }

  /** The error with which a write has to reject at once, if there is one. */
  protected get refusal(): unknown {
    if (this.isClosed) return closedError(WHAT);
    if (this.writer !== undefined) return busyError("a write");
    if (this.halfClosing !== undefined) {
      return systemError("EPIPE", "cannot write after closeWrite()");
    }
    return this.fault;
  }

  /**
   * Called by the runtime with input, which it does not change any more.
   *
   * @param isGiven Whether nobody else has the memory.
   */
  onInput(chunk: Uint8Array, isGiven = false): void {
    if (this.isClosed) return;
    const borrower = this.#isRestDue ? undefined : this.#borrower;
    if (borrower !== undefined) {
      this.#borrower = undefined;
      const bytes = this.#takeFirst(chunk, this.#lentSize);
      const isWhole = this.#rest === undefined;
      if (!isWhole) this.#stop();
      return borrower.onInput(bytes, isGiven && isWhole);
    }
    const reader = this.#reader;
    if (reader === undefined) {
      this.#stop();
      this.#rest = this.#rest === undefined ? chunk : concat([this.#rest, chunk]);
      return;
    }
    this.#reader = undefined;
    const count = this.#give(chunk, this.#buffer!);
    if (this.#rest !== undefined) this.#stop();
    reader.resolve(count);
  }

  /** Called by the runtime at the end of input, and when the connection is lost. */
  onInputEnd(): void {
    if (this.isClosed) return;
    this.hasEnded = true;
    this.#reader?.resolve(null);
    this.#reader = undefined;
    if (!this.#isRestDue) this.#endLent(undefined);
  }

  /** The connection is lost. A read that waits is rejected, or else the next one, unless the input had ended before. */
  protected fail(fault: unknown): void {
    this.fault = fault;
    if (this.hasEnded) this.#isFaultTold = true;
    if (!this.#isReading || this.#isRestDue) return;
    this.#isFaultTold = true;
    this.#reader?.reject(fault);
    this.#reader = undefined;
    this.#endLent(fault);
  }

  get #isReading(): boolean {
    return this.#reader !== undefined || this.#borrower !== undefined;
  }

  /**
   * Whether `#lendRest()` will lend what came before. The runtime can call back earlier: Deno and Node run the callbacks of
   * `process.nextTick()` first. What they bring comes later, then.
   */
  get #isRestDue(): boolean {
    return this.#borrower !== undefined && this.#rest !== undefined;
  }

  #start(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.socket.resume();
  }

  #stop(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.socket.pause();
  }

  /** The fault, if no read has reported it yet. */
  #takeFault(): unknown {
    if (this.#isFaultTold) return;
    this.#isFaultTold = this.fault !== undefined;
    return this.fault;
  }

  #endLent(fault: unknown): void {
    const borrower = this.#borrower;
    this.#borrower = undefined;
    borrower?.onEnd(fault);
  }

  /** Lends what came before, or tells that there is no more. */
  #lendRest(): void {
    const borrower = this.#borrower;
    if (borrower === undefined || this.isClosed) return; // closed meanwhile
    if (this.#rest === undefined) return this.#endLent(this.#takeFault());
    this.#borrower = undefined;
    borrower.onInput(this.#takeFirst(this.#rest, this.#lentSize));
  }

  /** Rejects a waiting read and write. */
  #settle(): void {
    const error = interruptedError(WHAT);
    this.#reader?.reject(error);
    this.#endLent(error);
    this.writer?.reject(error);
    this.halfClosing?.reject(error);
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
