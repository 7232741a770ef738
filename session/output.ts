import { systemErrors } from "../_internal/system_error_classes.ts";
import type { Codec } from "../codecs/codec.ts";
import { OutputLimitError, RateLimitError } from "../errors.ts";
import { miscount, shown } from "../_internal/checks.ts";
import { LazyError } from "../_internal/lazy_error.ts";
import type { BufferPool } from "./buffer_pool.ts";
import type { FlushQueue } from "./flush_queue.ts";
import { LARGE, MAX_GATHERED, OutputBuffer } from "./output_buffer.ts";
import { bytesOf, PreparedMessage } from "./prepared_message.ts";
import type { Throttle } from "./throttle.ts";
import { rejected, rejectQuietly } from "../_internal/promises.ts";

const DONE: Promise<void> = Promise.resolve();
const ENCODING = "encode() cannot send: it has to write to its FrameWriter";
const DATA = "data to send";
const WANTED = "must be a string, a Uint8Array or a PreparedMessage";

/** How many writes may be nested, each started from the completion of the one before. */
const MAX_DEPTH = 8;

function unsendable(data: unknown, name: string): TypeError {
  return new TypeError(`${name} ${WANTED}, got ${shown(data)}`);
}

/** Throws unless `data` can be sent. */
export function checkData(data: unknown, name: string = DATA): void {
  const isSendable = typeof data === "string" || data instanceof Uint8Array ||
    data instanceof PreparedMessage;
  if (!isSendable) throw unsendable(data, name);
}

/** The part of a connection that an output uses. */
interface Sink {
  write(data: Uint8Array): Promise<number>;
  writeNow?(data: Uint8Array): number | Promise<number>;
  closeWrite(): Promise<void>;
}

interface OutputLimits {
  highWaterMark: number;
  maxBufferedOutput: number;
}

/** What the two halves of a session report to its lifecycle. */
export interface IoEvents {
  /** Reading or writing failed. The listener calls `fail()`. */
  onFailure(error: unknown): void;
  /** A write failed, so the connection takes no more. The listener calls `fail()`. */
  onWriteFailure(error: unknown): void;
  /** A read or write has settled and no other of its kind is under way. */
  onIdle(): void;
  /** A write is still under way at the end of the turn, because the connection has not taken it at once. */
  onBlocked(): void;
}

interface Waiter {
  target: number;
  taken: PromiseWithResolvers<void>;
}

/**
 * The output half of a session: writes what is buffered, piece by piece, and tells senders when to continue.
 *
 * At most one write is outstanding. What is sent meanwhile is buffered and follows as one piece.
 */
export class Output extends OutputBuffer {
  /** Bytes that the connection has taken. */
  bytesWritten = 0;
  /** Whether this output is in the flush queue. */
  queued = false;
  /** Whether anything was written since the last read. */
  isUnanswered = false;
  /** Keeps writes within a rate, if there is one. */
  throttle: Throttle | undefined;
  #sink: Sink;
  readonly #queue: FlushQueue;
  readonly #highWaterMark: number;
  readonly #limit: number;
  readonly #events: IoEvents;
  /**
   * The memory of the piece that is being written. A view of its bytes is made for each write and not kept: in an old
   * object, a new one costs more.
   */
  #memory: Uint8Array | undefined;
  #isGathered = false;
  /** The length of the piece, and how much of it the connection has taken. */
  #length = 0;
  #taken = 0;
  /** A large send may exceed the limit, since its sender waits. It begins and ends at these totals of accepted bytes. */
  #exemptFrom = 0;
  #exemptTo = 0;
  /** The callbacks for the promise of a write, which are made for the first write. */
  #settling: [(count: number) => void, (error: unknown) => void] | undefined;
  #waiters: Waiter[] | undefined;
  #drained: PromiseWithResolvers<void> | undefined;
  #closed: LazyError | undefined;
  #failed = false;
  /** How many writes are nested now. */
  #depth = 0;
  /** Whether a codec encodes a message now, and whether a write had to wait for it. */
  #isEncoding = false;
  #isHeldBack = false;
  /**
   * While detached: up to which total of accepted bytes output may be written, and what waits for `attach()`. V8 would
   * allocate an `Infinity` for each session.
   */
  #barrier: number | undefined;
  #attached: PromiseWithResolvers<void> | undefined;

  constructor(
    sink: Sink,
    queue: FlushQueue,
    pool: BufferPool,
    limits: OutputLimits,
    events: IoEvents,
  ) {
    super(pool);
    this.#sink = sink;
    this.#queue = queue;
    this.#highWaterMark = limits.highWaterMark;
    this.#limit = limits.maxBufferedOutput;
    this.#events = events;
  }

  /** Bytes that were accepted and not yet taken by the connection. */
  get buffered(): number {
    return this.accepted - this.bytesWritten;
  }

  send(data: string | Uint8Array | PreparedMessage): Promise<void> {
    if (this.#isEncoding) return rejected(new TypeError(ENCODING));
    if (this.#closed !== undefined) return rejected(this.#closed.error);
    // What is short can be gathered, and is not large. Before anything else, the gathered text is encoded anyway.
    const isShort = typeof data === "string" && data.length <= MAX_GATHERED;
    const before = isShort ? this.acceptedAtLeast : this.accepted;
    if (typeof data === "string") this.addText(data);
    else if (data instanceof Uint8Array) this.add(data);
    else if (data instanceof PreparedMessage) this.addShared(bytesOf(data));
    else return rejected(unsendable(data, DATA));
    return this.#settle(before);
  }

  /** Encodes and sends a message. If the codec throws, nothing is sent. */
  sendFrame<Message>(
    codec: Pick<Codec<unknown, Message>, "encode">,
    message: Message,
  ): Promise<void> {
    if (this.#isEncoding) return rejected(new TypeError(ENCODING));
    if (this.#closed !== undefined) return rejected(this.#closed.error);
    const before = this.acceptedAtLeast;
    this.#isEncoding = true;
    try {
      this.addFrame(codec, message);
    } catch (error) {
      if (this.#failed) this.clear();
      return rejected(error);
    } finally {
      this.#isEncoding = false;
      if (this.#isHeldBack) this.#catchUp();
    }
    return this.#settle(before);
  }

  protected override checkOpen(): void {
    if (this.#closed !== undefined) throw this.#closed.error;
  }

  /** Starts to write the buffered output. If a write is under way, the output follows it anyway. */
  flush(): void {
    if (!this.writing && !this.#failed) this.#writeNext();
  }

  /**
   * Writes everything that was sent so far, and buffers later sends until `attach()`.
   *
   * @returns Resolves once the connection has taken everything that was sent so far.
   */
  detach(): Promise<void> {
    this.seal();
    this.#barrier = this.accepted;
    this.#attached = Promise.withResolvers();
    return this.flushed();
  }

  /** Writes to another sink. A write that is under way goes on in the old one. */
  divert(sink: Sink): void {
    this.#sink = sink;
  }

  attach(sink: Sink): void {
    this.#barrier = undefined;
    this.#sink = sink;
    this.#attached?.resolve();
    this.#attached = undefined;
    this.flush();
  }

  onTurnEnd(): void {
    if (this.writing) this.#events.onBlocked();
    else this.flush();
  }

  /** Resolves once the connection has taken everything that was accepted so far. */
  flushed(): Promise<void> {
    if (this.#isEncoding) { // the message may still be taken back
      const flushed = DONE.then(() => this.flushed());
      flushed.catch(() => {});
      return flushed;
    }
    if (this.buffered > 0) this.flush();
    return this.#wait(this.accepted);
  }

  /** How many bytes of memory are held, including those that are being written. */
  override get size(): number {
    return super.size + (this.#memory?.length ?? 0);
  }

  override showReferenced(show: (bytes: Uint8Array) => void): void {
    if (this.#memory !== undefined && !this.#isGathered) show(this.#memory);
    super.showReferenced(show);
  }

  /** Accepts no more output. What was accepted before is still written. Later sends reject with the error of `failure`. */
  close(failure: LazyError): void {
    this.#closed = failure;
  }

  /** Flushes, then half-closes the connection. Like a send, it need not be awaited. */
  end(): Promise<void> {
    this.#closed ??= new LazyError(() => new TypeError("cannot send after closeWrite()"));
    const ended = this.#end();
    ended.catch(() => {});
    return ended;
  }

  async #end(): Promise<void> {
    await this.flushed();
    while (this.#attached !== undefined) await this.#attached.promise;
    if (this.#failed) throw this.#closed!.error;
    await this.#sink.closeWrite();
  }

  /** Ends the output: nothing more is written, and all waiting promises reject. */
  fail(failure: LazyError): void {
    if (this.#failed) return;
    this.#failed = true;
    this.throttle?.stop();
    this.#closed = failure;
    this.clear();
    if (!this.writing) this.#dropPiece();
    const taken = (this.#waiters ?? []).map((waiter) => waiter.taken);
    for (const waiting of [...taken, this.#drained, this.#attached]) {
      if (waiting !== undefined) rejectQuietly(waiting, failure.error);
    }
    this.#waiters = this.#drained = undefined;
  }

  /** Decides when the bytes of a send are written, and returns its promise. `before` is the total before the send. */
  #settle(before: number): Promise<void> {
    const referenced = this.referenced;
    if (this.budget.isDue) {
      this.budget.review();
      if (this.#failed) return rejected(this.#closed!.error);
    }
    const from = this.bytesWritten;
    const isLow = this.acceptedAtMost - from < this.#highWaterMark ||
      this.accepted - from < this.#highWaterMark;
    if (!referenced && isLow) {
      if (!this.queued && !this.writing) this.#queue.add(this);
      return DONE;
    }
    this.referenced = false;
    const large = this.accepted - before >= LARGE && this.bytesWritten >= this.#exemptTo;
    if (large && this.buffered > this.#limit) { // not a small one, which would take the exemption away
      this.#exemptFrom = before;
      this.#exemptTo = this.accepted;
    }
    const exempt = this.#exemptTo - Math.max(this.#exemptFrom, this.bytesWritten);
    const waiting = this.buffered - Math.max(0, exempt);
    if (waiting > this.#limit) {
      const error = new OutputLimitError(this.#limit, waiting);
      this.#events.onFailure(error);
      return rejected(this.#closed?.error ?? error);
    }
    if (referenced) {
      this.flush();
      return this.#wait(this.accepted);
    }
    this.flush();
    if (this.#failed) return rejected(this.#closed!.error);
    if (this.buffered < this.#highWaterMark) return DONE;
    return (this.#drained ??= Promise.withResolvers()).promise;
  }

  /** Resolves once `target` bytes have been written since the beginning. */
  #wait(target: number): Promise<void> {
    if (this.#failed) return rejected(this.#closed!.error);
    if (this.bytesWritten === target) return DONE;
    this.#waiters ??= [];
    const last = this.#waiters.at(-1);
    if (last?.target === target) return last.taken.promise;
    const added: Waiter = { target, taken: Promise.withResolvers() };
    this.#waiters.push(added);
    return added.taken.promise;
  }

  /** Starts the write that had to wait for the end of encoding, because a failed encoding is taken back. */
  #catchUp(): void {
    this.#isHeldBack = false;
    this.flush();
  }

  /** Writes the next piece, unless there is none or it has to wait. */
  #writeNext(): void {
    if (this.#isEncoding) {
      this.#isHeldBack = true;
      return;
    }
    this.encodeText();
    if (this.isEmpty || this.#isBarred || this.throttle?.isWaiting) return;
    const { bytes, gathered } = this.take();
    this.#memory = gathered ?? bytes;
    this.#isGathered = gathered !== undefined;
    this.#length = bytes.length;
    this.#taken = 0;
    this.#write(bytes);
  }

  get #isBarred(): boolean {
    return this.#barrier !== undefined && this.bytesWritten >= this.#barrier;
  }

  /** Writes the rest of the piece. */
  #write(rest: Uint8Array): void {
    let current = rest;
    if (this.throttle !== undefined) {
      const count = this.throttle.admit(current.length);
      if (count === 0) return; // it goes on by itself
      current = current.subarray(0, count);
    }
    this.writing = this.isUnanswered = true;
    const sink = this.#sink;
    let taken;
    try {
      taken = sink.writeNow === undefined ? sink.write(current) : sink.writeNow(current);
      if (typeof taken === "number" && this.#depth === MAX_DEPTH) taken = Promise.resolve(taken);
      if (typeof taken !== "number") {
        this.#settling ??= [
          (count) => this.#onWritten(count),
          (error) => this.#onWriteError(error),
        ];
        taken.then(this.#settling[0], this.#settling[1]);
        return;
      }
    } catch (error) {
      return this.#onWriteError(error);
    }
    this.#depth++;
    this.#onWritten(taken);
    this.#depth--;
  }

  #onWritten(count: number): void {
    this.writing = false;
    const left = this.#length - this.#taken;
    const fault = miscount("write", count, this.#failed ? Infinity : left);
    if (fault !== undefined) return this.#endSession(fault);
    this.bytesWritten += count;
    if (this.throttle?.spend(count) && !this.#failed) {
      return this.#endSession(new RateLimitError("writeRate", this.throttle.settings));
    }
    if (this.#failed) {
      this.#dropPiece();
      return this.#events.onIdle();
    }
    if (count < left) {
      if (count <= 0) {
        return this.#endSession(new systemErrors.WriteZero("the connection took no bytes"));
      }
      this.#taken += count;
      this.#write(this.#rest());
    } else {
      const memory = this.#memory!;
      this.#memory = undefined;
      if (this.#isGathered) this.pool.give(memory);
      else this.budget.change(-this.#length);
      this.#writeNext();
    }
    if (this.#drained !== undefined && this.buffered < this.#highWaterMark) {
      this.#drained.resolve();
      this.#drained = undefined;
    }
    if (this.#waiters !== undefined) this.#wake(this.#waiters);
    if (!this.writing) this.#events.onIdle();
  }

  #onWriteError(error: unknown): void {
    this.writing = false;
    if (this.#failed) this.#dropPiece();
    else this.#events.onWriteFailure(error);
    this.#events.onIdle();
  }

  /** Drops the piece that was being written. */
  #dropPiece(): void {
    const memory = this.#memory;
    this.#memory = undefined;
    if (memory === undefined) return;
    if (this.#isGathered) this.pool.drop(memory);
    else this.budget.change(-this.#length);
  }

  /** Continues a write that had to wait for the rate. */
  onRate(): void {
    this.#write(this.#rest());
  }

  #rest(): Uint8Array {
    return this.#memory!.subarray(this.#taken, this.#length);
  }

  /** A rate was exceeded, or the connection has violated its contract, so that its results cannot be trusted. */
  #endSession(error: Error): void {
    this.#events.onFailure(error);
    this.#events.onIdle();
  }

  /** Targets rise in the order of the calls. */
  #wake(waiters: Waiter[]): void {
    let done = 0;
    for (const waiter of waiters) {
      if (waiter.target > this.bytesWritten) break;
      waiter.taken.resolve();
      done++;
    }
    if (done < waiters.length) waiters.splice(0, done);
    else this.#waiters = undefined;
  }
}
