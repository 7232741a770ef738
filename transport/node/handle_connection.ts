import {
  busyError,
  closedError,
  interruptedError,
  statusError,
  systemError,
} from "../../_internal/system_errors.ts";
import type { Address, Connection, InputBorrower, NetAddr } from "../connection.ts";
import { END_OF_INPUT, type Handles, type StreamHandle, type WriteRequest } from "./handles.ts";
import { moved } from "./tcp_handle.ts";

/** The most bytes that one write takes. Deno copies bytes that cannot be written at once. */
const MAX_WRITE = 128 * 1024;
/**
 * How many bytes may be written before a TCP handle of Deno is replaced, and how many a write counts for at least. So few
 * always fit into the buffer of the system, and need not wait for the peer to read.
 */
const FIRST_WRITES = 4 * 1024;
const MIN_COUNTED = 512;
/** How many bytes are received while no read waits, before reading stops. */
const EARLY = 1024;
const WHAT = "connection";

// The functions of the promise that is being made. A closure for each read would cost more than the promise.
let resolveNew!: (count: number | null) => void;
let rejectNew!: (error: unknown) => void;

function takeNew(resolve: (count: number | null) => void, reject: (error: unknown) => void): void {
  resolveNew = resolve;
  rejectNew = reject;
}

/** The addresses of a connection, and its first settings. */
export interface Ends {
  readonly remoteAddr: Address;
  readonly localAddr: Address;
  /** Whether to turn Nagle's algorithm off. */
  readonly noDelay: boolean;
}

/**
 * A connection over the handle below the streams of `node:net`.
 *
 * The system puts input into the buffer of the waiting read. Input that is lent goes into one buffer that all connections
 * share, since a handle calls back before the next one reads. Between two reads the handle stays started, which saves
 * 0.4 µs per message. Input that arrives then is copied, and reading stops.
 */
export class HandleConnection implements Connection {
  readonly remoteAddr: Address;
  readonly localAddr: Address;
  protected readonly handles: Handles;
  protected handle: StreamHandle | undefined;
  #isStarted = false;
  /** The size of the buffer that the handle reads into now, and whether it is a part of the shared buffer. */
  #size = 0;
  #isShared = false;
  /** The buffer of the read that waits. If the handle has the shared buffer, input is copied to it. */
  #into: Uint8Array | undefined;
  #borrower: InputBorrower | undefined;
  #resolveRead: ((count: number | null) => void) | undefined;
  #rejectRead: ((error: unknown) => void) | undefined;
  /** Input that arrived while no read waited. */
  #rest: Uint8Array | undefined;
  #hasEnded = false;
  #readFault: unknown;
  #writer: PromiseWithResolvers<number> | undefined;
  #writeCount = 0;
  /** How many more bytes may be written to a TCP handle of Deno. Negative if more were, since it could not be moved. */
  #writesLeft: number | undefined;
  #halfClosing: PromiseWithResolvers<void> | undefined;
  #isHalfClosed = false;

  /**
   * @param handles The handles of this runtime.
   * @param handle A connected handle, which belongs to the connection from now on.
   * @param ends The addresses and settings.
   * @throws {Error} If the handle cannot be used. It is then closed.
   */
  constructor(handles: Handles, handle: StreamHandle, { remoteAddr, localAddr, noDelay }: Ends) {
    this.remoteAddr = remoteAddr;
    this.localAddr = localAddr;
    this.handles = handles;
    let stream = handle;
    if (handle instanceof handles.Tcp) {
      if (noDelay) handle.setNoDelay(true);
      if (handles.onOpen !== undefined) stream = movedOrClosed(handles, handle);
      else if (handles.isDeno) this.#writesLeft = FIRST_WRITES;
    }
    this.handle = stream;
    stream.reader = this;
    stream.onread = onRead;
    const { descriptor } = stream;
    if (descriptor !== undefined) handles.onOpen?.(descriptor, (remoteAddr as NetAddr).port);
  }

  get held(): number {
    const copied = this.#writer !== undefined && this.handles.isDeno ? this.#writeCount : 0;
    return copied + (this.#rest?.length ?? 0);
  }

  read(buffer: Uint8Array): Promise<number | null> {
    let handle = this.handle;
    if (handle === undefined) return Promise.reject(closedError(WHAT));
    if (this.#isReading) return Promise.reject(busyError("a read"));
    if (this.#rest !== undefined) {
      const bytes = this.#takeRest(this.#rest, buffer.length);
      buffer.set(bytes);
      return Promise.resolve(bytes.length);
    }
    if (this.#readFault !== undefined) return Promise.reject(this.#takeFault());
    if (this.#hasEnded) return Promise.resolve(null);
    if (this.#writesLeft !== undefined && buffer.length > EARLY) handle = this.#move(handle);
    this.#into = buffer;
    if (this.#canChangeBuffer) {
      this.#size = buffer.length;
      this.#isShared = false;
      handle.useUserBuffer(buffer);
    } else this.#share(handle, buffer.length);
    if (!this.#isStarted) {
      const fault = this.#start(handle);
      if (fault !== undefined) return Promise.reject(fault);
    }
    const promise = new Promise<number | null>(takeNew);
    this.#resolveRead = resolveNew;
    this.#rejectRead = rejectNew;
    return promise;
  }

  readLent(size: number, borrower: InputBorrower): void {
    let { handle } = this;
    if (handle === undefined || this.#isReading) {
      const error = handle === undefined ? closedError(WHAT) : busyError("a read");
      return queueMicrotask(() => borrower.onEnd(error));
    }
    this.#borrower = borrower;
    if (this.#rest !== undefined || this.#readFault !== undefined || this.#hasEnded) {
      return queueMicrotask(() => this.#lendRest(size));
    }
    if (this.#writesLeft !== undefined && size > EARLY) handle = this.#move(handle);
    this.#share(handle, size);
    if (this.#isStarted) return;
    const fault = this.#start(handle);
    if (fault !== undefined) queueMicrotask(() => this.#endInput(fault));
  }

  write(data: Uint8Array): Promise<number> {
    const taken = this.writeNow(data);
    return typeof taken === "number" ? Promise.resolve(taken) : taken;
  }

  writeNow(data: Uint8Array): number | Promise<number> {
    let handle = this.handle;
    if (handle === undefined) return Promise.reject(closedError(WHAT));
    if (this.#writer !== undefined) return Promise.reject(busyError("a write"));
    if (this.#halfClosing !== undefined) {
      return Promise.reject(systemError("EPIPE", "cannot write after closeWrite()"));
    }
    const handles = this.handles;
    const bytes = data.length > MAX_WRITE ? data.subarray(0, MAX_WRITE) : data;
    if (this.#writesLeft !== undefined) handle = this.#handleFor(bytes.length, handle);
    const request = handles.spareRequest ??= newRequest(handles);
    const status = handle.writeBuffer(request, bytes);
    if (status !== 0) return Promise.reject(statusError(status, "cannot write"));
    if (handles.state[handles.isAsync] === 0) return bytes.length;
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
    if (status !== 0) onDone(status === 1 ? 0 : status); // on Node, 1 means that it is done already
    return promise;
  }

  close(): void {
    const handle = this.release();
    if (this.#isWaiting) handle?.close(() => this.settle());
    else handle?.close(); // a callback takes 1 µs
  }

  /**
   * Stops reading, and gives the handle away with the input that arrived while no read waited. A waiting read is rejected in
   * a later turn. Returns `undefined` if anything else has happened or is going on.
   */
  detach(): { handle: StreamHandle; rest: Uint8Array } | undefined {
    const isBusy = this.#hasEnded || this.#readFault !== undefined ||
      this.#writer !== undefined || this.#halfClosing !== undefined;
    const rest = this.#rest ?? new Uint8Array(0);
    const handle = isBusy ? undefined : this.release();
    if (handle === undefined) return;
    queueMicrotask(() => this.settle());
    return { handle, rest };
  }

  /** Removes the handle, for closing. After that, `settle()` rejects the operations that wait. */
  protected release(): StreamHandle | undefined {
    const handle = this.handle;
    if (handle === undefined) return;
    this.handle = this.#rest = undefined;
    this.#stop(handle);
    if (handle.descriptor !== undefined) this.handles.onClose?.(handle.descriptor);
    return handle;
  }

  /** Rejects the read and the write that wait, since a closed handle never calls back. */
  protected settle(): void {
    if (!this.#isWaiting) return;
    const error = interruptedError(WHAT); // with its stack, this takes 10 µs
    this.#endInput(error);
    this.#writer?.reject(error);
    this.#halfClosing?.reject(error);
    this.#writer = undefined;
  }

  /** Called when input has arrived, has ended or has failed. */
  onInput(): void {
    const { handle } = this;
    const { state, readCount, chunk } = this.handles;
    const count = state[readCount]!;
    if (handle === undefined || count === 0) return;
    if (count < 0) {
      this.#stop(handle);
      this.#hasEnded = true;
      return this.#endInput(count === END_OF_INPUT ? undefined : statusError(count, "cannot read"));
    }
    const borrower = this.#borrower;
    const resolve = this.#resolveRead;
    if (borrower === undefined && resolve === undefined) {
      this.#stop(handle);
      this.#rest = chunk.first(count).slice();
      return;
    }
    const size = this.#size;
    const isShared = this.#isShared;
    if (count >= size) this.#stop(handle); // there may be more, which would arrive while no read waits
    if (count > size) this.#rest = chunk.first(count).slice(size);
    const taken = Math.min(count, size);
    this.#borrower = this.#resolveRead = this.#rejectRead = undefined;
    if (borrower !== undefined) return borrower.onInput(chunk.first(taken));
    if (isShared) this.#into!.set(chunk.first(taken));
    this.#into = undefined;
    this.#share(handle, EARLY); // input before the next read must not overwrite the caller's buffer
    resolve!(taken);
  }

  /** Called when an asynchronous write has ended. */
  onWritten(status: number, bytes: Uint8Array): void {
    const writer = this.#writer;
    const { handle } = this;
    if (writer === undefined || handle === undefined) return;
    this.#writer = undefined;
    if (status === 0) return writer.resolve(this.#writeCount);
    const error = statusError(status, "cannot write");
    if (this.#isRefused(error) && this.#move(handle) !== handle) {
      this.write(bytes).then(writer.resolve, writer.reject);
    } else writer.reject(error);
  }

  /**
   * Whether a TCP handle of Deno has refused to write because the peer has half-closed. The first write on a handle is always
   * asynchronous, and a peer can half-close before it. Nothing was written then: what `FIRST_WRITES` allows is never taken
   * in part, but more may be.
   */
  #isRefused(error: unknown): boolean {
    const isWithin = this.#writesLeft !== undefined && this.#writesLeft >= 0;
    return isWithin && (error as { code?: string }).code === "EPIPE";
  }

  /** Whether an operation has not settled. */
  get #isWaiting(): boolean {
    const isHalfClosing = this.#halfClosing !== undefined && !this.#isHalfClosed;
    return this.#isReading || this.#writer !== undefined || isHalfClosing;
  }

  get #isReading(): boolean {
    return this.#resolveRead !== undefined || this.#borrower !== undefined;
  }

  /** Settles the read that waits, because the input has ended or failed. */
  #endInput(fault: unknown): void {
    const borrower = this.#borrower;
    const resolve = this.#resolveRead;
    const reject = this.#rejectRead;
    this.#borrower = this.#resolveRead = this.#rejectRead = undefined;
    if (borrower !== undefined) borrower.onEnd(fault);
    else if (resolve === undefined) this.#readFault = fault;
    else if (fault === undefined) resolve(null);
    else reject!(fault);
  }

  #takeFault(): unknown {
    const fault = this.#readFault;
    this.#readFault = undefined;
    return fault;
  }

  /**
   * The handle for another write. If the TCP handle has had its share, the socket is moved. It is also moved if the peer has
   * half-closed: once the handle has read that, it refuses every write.
   */
  #handleFor(bytes: number, handle: StreamHandle): StreamHandle {
    const left = this.#hasEnded ? -1 : this.#writesLeft! - Math.max(bytes, MIN_COUNTED);
    this.#writesLeft = Math.max(left, -1);
    if (left < 0) return this.#move(handle);
    return handle;
  }

  /**
   * Moves the socket to another handle. If it cannot be moved now, it stays, and the next call tries again: while a write
   * waits, or if there is no descriptor. After `closeWrite()` it stays for good: closing the TCP handle would then make the
   * system answer further input with a reset. Nothing is written any more, and reads are small.
   */
  #move(handle: StreamHandle): StreamHandle {
    if (this.#writer !== undefined || this.#halfClosing !== undefined) return handle;
    let stream;
    try {
      stream = moved(this.handles, handle);
    } catch {
      return handle;
    }
    this.#writesLeft = undefined;
    this.handle = stream;
    stream.reader = this;
    stream.onread = onRead;
    if (this.#isShared) stream.useUserBuffer(this.handles.room.first(this.#size));
    if (this.#isStarted) stream.readStart();
    return stream;
  }

  #start(handle: StreamHandle): Error | undefined {
    const status = handle.readStart();
    if (status !== 0) return statusError(status, "cannot read");
    this.#isStarted = true;
  }

  /** Whether the handle can be given another buffer for each read. */
  get #canChangeBuffer(): boolean {
    return this.handles.isDeno && this.#writesLeft === undefined;
  }

  /**
   * Makes the handle read into the shared buffer. Handles of Node keep all buffers that they were ever given, and TCP
   * handles of Deno may go on reading into the one before. So they get one buffer, once. With Node, it is the whole one,
   * and more may be read into it than is wanted.
   */
  #share(handle: StreamHandle, size: number): void {
    if (this.#isShared && this.#size === size) return;
    const { room } = this.handles;
    if (this.#canChangeBuffer) handle.useUserBuffer(room.first(size));
    else if (!this.#isShared) {
      handle.useUserBuffer(this.#writesLeft === undefined ? room.whole : room.first(EARLY));
    }
    this.#size = size;
    this.#isShared = true;
  }

  #stop(handle: StreamHandle): void {
    this.#share(handle, EARLY); // otherwise the handle would keep another buffer alive
    handle.readStop();
    this.#isStarted = false;
  }

  /** Takes at most `size` bytes of the input that arrived while no read waited. */
  #takeRest(rest: Uint8Array, size: number): Uint8Array {
    this.#rest = size < rest.length ? rest.subarray(size) : undefined;
    return rest.subarray(0, size);
  }

  /** Lends input that arrived while no read waited. */
  #lendRest(size: number): void {
    const borrower = this.#borrower;
    if (borrower === undefined || this.handle === undefined) return; // closed meanwhile
    if (this.#rest === undefined) return this.#endInput(this.#takeFault());
    this.#borrower = undefined;
    borrower.onInput(this.#takeRest(this.#rest, size));
  }
}

function movedOrClosed(handles: Handles, handle: StreamHandle): StreamHandle {
  try {
    return moved(handles, handle);
  } catch (error) {
    handle.close();
    throw error;
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
  const { writer, bytes } = this;
  this.writer = this.bytes = undefined;
  writer?.onWritten(status, bytes!);
}
