import {
  busyError,
  closedError,
  interruptedError,
  statusError,
  systemError,
} from "../../_internal/system_errors.ts";
import type { Address, Connection } from "../connection.ts";
import { END_OF_INPUT, type Handles, type StreamHandle, type WriteRequest } from "./handles.ts";
import { streamOf } from "./tcp_handle.ts";

/** The most that one write takes: what is not written at once is copied, in Deno. */
const MAX_WRITE = 128 * 1024;
const WHAT = "connection";

// The functions of the promise that is being made: a closure for each read would cost more than the promise.
let resolveNew!: (count: number | null) => void;
let rejectNew!: (error: unknown) => void;

function takeNew(resolve: (count: number | null) => void, reject: (error: unknown) => void): void {
  resolveNew = resolve;
  rejectNew = reject;
}

/** What is known of a connection from the beginning. */
export interface Ends {
  readonly remoteAddr: Address;
  readonly localAddr: Address;
  /** Whether Nagle's algorithm is to be off. */
  readonly noDelay: boolean;
}

/**
 * A connection over the handle below the streams of `node:net`.
 *
 * The system puts input into the buffer of the waiting read. Between two reads the handle stays started, which
 * saves 0.4 µs a message; what comes then goes to a small buffer that all connections share, and stops it.
 */
export class HandleConnection implements Connection {
  readonly remoteAddr: Address;
  readonly localAddr: Address;
  protected readonly handles: Handles;
  protected handle: StreamHandle | undefined;
  #isStarted = false;
  #resolveRead: ((count: number | null) => void) | undefined;
  #rejectRead: ((error: unknown) => void) | undefined;
  /** What came while no read waited. */
  #rest: Uint8Array | undefined;
  #hasEnded = false;
  #readFault: unknown;
  #writer: PromiseWithResolvers<number> | undefined;
  #writeCount = 0;
  #halfClosing: PromiseWithResolvers<void> | undefined;
  #isHalfClosed = false;

  /**
   * @param handles Where handles come from.
   * @param handle A handle that is connected, which belongs to the connection from now on.
   * @param ends What is known of it.
   * @throws {Error} If the handle cannot be used, which is closed then.
   */
  constructor(handles: Handles, handle: StreamHandle, { remoteAddr, localAddr, noDelay }: Ends) {
    this.remoteAddr = remoteAddr;
    this.localAddr = localAddr;
    this.handles = handles;
    this.handle = streamOf(handles, handle, noDelay);
    this.handle.reader = this;
    this.handle.onread = onRead;
  }

  read(buffer: Uint8Array): Promise<number | null> {
    const handle = this.handle;
    if (handle === undefined) return Promise.reject(closedError(WHAT));
    if (this.#resolveRead !== undefined) return Promise.reject(busyError("a read"));
    if (this.#rest !== undefined) return Promise.resolve(this.#giveRest(this.#rest, buffer));
    if (this.#readFault !== undefined) {
      const fault = this.#readFault;
      this.#readFault = undefined;
      return Promise.reject(fault);
    }
    if (this.#hasEnded) return Promise.resolve(null);
    handle.useUserBuffer(buffer);
    if (!this.#isStarted) {
      const status = handle.readStart();
      if (status !== 0) return Promise.reject(statusError(status, "cannot read"));
      this.#isStarted = true;
    }
    const promise = new Promise<number | null>(takeNew);
    this.#resolveRead = resolveNew;
    this.#rejectRead = rejectNew;
    return promise;
  }

  write(data: Uint8Array): Promise<number> {
    const handle = this.handle;
    if (handle === undefined) return Promise.reject(closedError(WHAT));
    if (this.#writer !== undefined) return Promise.reject(busyError("a write"));
    if (this.#halfClosing !== undefined) {
      return Promise.reject(systemError("EPIPE", "cannot write after closeWrite()"));
    }
    const handles = this.handles;
    const bytes = data.length > MAX_WRITE ? data.subarray(0, MAX_WRITE) : data;
    const request = handles.spareRequest ??= newRequest(handles);
    const status = handle.writeBuffer(request, bytes);
    if (status !== 0) return Promise.reject(statusError(status, "cannot write"));
    if (handles.state[handles.isAsync] === 0) return Promise.resolve(bytes.length);
    handles.spareRequest = undefined;
    request.bytes = bytes;
    request.writer = this;
    this.#writeCount = bytes.length;
    this.#writer = Promise.withResolvers();
    return this.#writer.promise;
  }

  closeWrite(): Promise<void> {
    const handle = this.handle;
    if (handle === undefined) return Promise.reject(closedError(WHAT));
    if (this.#halfClosing !== undefined) return this.#halfClosing.promise;
    const { promise, resolve, reject } = this.#halfClosing = Promise.withResolvers();
    const request = new this.handles.ShutdownRequest();
    const onDone = (status: number): void => {
      if (this.handle === undefined) return; // close() has rejected
      this.#isHalfClosed = true;
      if (status === 0) resolve();
      else reject(statusError(status, "cannot half-close"));
    };
    request.oncomplete = onDone;
    const status = handle.shutdown(request);
    if (status !== 0) onDone(status === 1 ? 0 : status); // Node has 1 for what is done already
    return promise;
  }

  close(): void {
    this.release()?.close(() => this.settle());
  }

  /** Takes the handle out, to be closed: who waited is rejected once it is. */
  protected release(): StreamHandle | undefined {
    const handle = this.handle;
    if (handle === undefined) return;
    this.handle = this.#rest = undefined;
    this.#stop(handle);
    return handle;
  }

  /** Rejects a waiting read and write, since a closed handle never calls them back. */
  protected settle(): void {
    const error = interruptedError(WHAT);
    this.#rejectRead?.(error);
    this.#writer?.reject(error);
    if (!this.#isHalfClosed) this.#halfClosing?.reject(error);
    this.#resolveRead = this.#rejectRead = this.#writer = undefined;
  }

  /** Called when bytes have come or there will be none any more. */
  onInput(): void {
    const handle = this.handle;
    const { state, readCount, aside } = this.handles;
    const count = state[readCount]!;
    if (handle === undefined || count === 0) return;
    if (count < 0) return this.#onInputEnd(handle, count);
    const resolve = this.#resolveRead;
    if (resolve === undefined) {
      this.#stop(handle);
      this.#rest = aside.slice(0, count);
      return;
    }
    this.#resolveRead = this.#rejectRead = undefined;
    handle.useUserBuffer(aside); // what comes before the next read must not come where this is
    resolve(count);
  }

  /** Called when a write that had to be waited for is over. */
  onWritten(status: number): void {
    const writer = this.#writer;
    if (writer === undefined || this.handle === undefined) return;
    this.#writer = undefined;
    if (status === 0) writer.resolve(this.#writeCount);
    else writer.reject(statusError(status, "cannot write"));
  }

  #onInputEnd(handle: StreamHandle, status: number): void {
    this.#stop(handle);
    this.#hasEnded = true;
    const resolve = this.#resolveRead;
    const reject = this.#rejectRead;
    this.#resolveRead = this.#rejectRead = undefined;
    if (status === END_OF_INPUT) return resolve?.(null);
    const fault = statusError(status, "cannot read");
    if (reject === undefined) this.#readFault = fault;
    else reject(fault);
  }

  #stop(handle: StreamHandle): void {
    handle.useUserBuffer(this.handles.aside); // or it would hold the other until it is collected itself
    handle.readStop();
    this.#isStarted = false;
  }

  /** Copies as much as fits of what came while no read waited. */
  #giveRest(rest: Uint8Array, buffer: Uint8Array): number {
    const count = Math.min(rest.length, buffer.length);
    buffer.set(rest.subarray(0, count));
    this.#rest = count < rest.length ? rest.subarray(count) : undefined;
    return count;
  }
}

function onRead(this: StreamHandle): void {
  this.reader.onInput();
}

function newRequest({ WriteRequest }: Handles): WriteRequest {
  const request = new WriteRequest();
  request.oncomplete = onWritten;
  return request;
}

function onWritten(this: WriteRequest, status: number): void {
  const { writer } = this;
  this.writer = this.bytes = undefined;
  writer?.onWritten(status);
}
