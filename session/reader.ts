import { type Decoder, MORE } from "../codecs/codec.ts";
import { COPIES } from "../codecs/copying_decoder.ts";
import {
  FrameTooLargeError,
  MalformedFrameError,
  ProxyHeaderError,
  RateLimitError,
  TruncatedFrameError,
} from "../errors.ts";
import { miscount } from "../_internal/checks.ts";
import type { LazyError } from "../_internal/lazy_error.ts";
import type { Connection, InputBorrower } from "../transport/connection.ts";
import type { Tap } from "../transport/tapped.ts";
import type { Budget, PausedReader } from "./budget.ts";
import { borrowedChunks } from "./chunks.ts";
import type { Heartbeat } from "./heartbeat.ts";
import { InputBuffer } from "./input.ts";
import type { Throttle } from "./throttle.ts";
import type { IoEvents } from "./output.ts";
import { TimedWaits } from "./timed_waits.ts";
import { turn } from "./turn.ts";
import { END, isMore, type Waiting } from "./waiting.ts";

/** How many bytes are read while no reading waits: after a failed write, or if silence of the peer ends the session. */
const MAX_READ_AHEAD = 64 * 1024;

/** Reads of at least this size use the reader's own memory, so that a large frame can be handed over without a copy. */
const MIN_OWN = 16 * 1024;

const NOTHING: Uint8Array = new Uint8Array(0);

/** The errors of a decoder that mean that the peer has sent something wrong. */
const PEER_ERRORS = [
  FrameTooLargeError,
  MalformedFrameError,
  ProxyHeaderError,
  TruncatedFrameError,
];

/** The part of a connection that a reader uses. */
type Source = Pick<Connection, "read" | "readLent">;

/** The part of the output that a reader uses. */
interface Flushing {
  readonly queued: boolean;
  readonly writing: boolean;
  isUnanswered: boolean;
  readonly buffered: number;
  flush(): void;
}

/** Gets the result of the outstanding read. Each method returns whether the reader itself does not. */
interface Claim {
  /** @param bytes Valid only during the call, and empty at the end of input. */
  take(bytes: Uint8Array): boolean;
  fail(error: unknown): boolean;
}

/** What a reader uses of its session's group. */
interface Group {
  /** The error that draining throws, once it has begun. */
  readonly drained: Error | undefined;
  readonly budget: Budget;
  /** Makes the sweep frequent enough for a duration. */
  pace(duration: number): void;
}

/**
 * The input half of a session. At most one read of the connection is outstanding, whichever reading needs it.
 *
 * A read cannot be cancelled. If a reading ends while it waits, the read stays outstanding and fills the buffer for the
 * next reading.
 */
export class Reader implements InputBorrower, PausedReader {
  readonly input: InputBuffer;
  /** The number of bytes that were received. */
  bytesRead = 0;
  /** The number of frames that readings got. If it does not change while bytes are unread, a frame is incomplete. */
  frames = 0;
  /** Whether the peer has finished its side. */
  ended = false;
  /** Whether a read is outstanding. */
  reading = false;
  /** The reading that waits. */
  waiting: Waiting<unknown> | undefined;
  /** Whether a reading has stopped waiting without a frame, so that frame may still arrive. */
  wasGivenUp = false;
  /** The last error of the input that a reading threw. It is usually the peer's fault, and never the handler's. */
  inputError: Error | undefined;
  /** The last error of a decoder that is none of `PEER_ERRORS`: a bug in the decoder. */
  decoderError: Error | undefined;
  /** The heartbeat, which is called with each frame, since that may be an answer. */
  heartbeat: Heartbeat | undefined;
  /** Keeps reads within a rate, if there is one. */
  throttle: Throttle | undefined;
  /** What a loop throws between two messages, once this session has to drain. */
  #drained: Error | undefined;
  #source: Source;
  readonly #chunkSize: number;
  readonly #output: Flushing;
  readonly #group: Group;
  readonly #budget: Budget;
  readonly #events: IoEvents;
  /** The memory that the outstanding read fills. If it is `undefined`, the input will be lent. */
  #room: Uint8Array | undefined;
  /** The size of the outstanding read. */
  #size = 0;
  /** The callbacks for the promise of a read. They are made for the first such read: input that is lent needs none. */
  #settling: [(count: number | null) => void, (error: unknown) => void] | undefined;
  #last: object | undefined;
  #reads = 0;
  #readsSeen = 0;
  #watched = false;
  #timedWaits: TimedWaits | undefined;
  /** Whether `onTurn()` will be called. */
  #isDeferred = false;
  #broken = false;
  #failure: LazyError | undefined;
  #keepsInput = true;
  #isDropping = false;
  /** Called when the input has ended or failed, if the session stays open only for that. */
  #onInputEnd: (() => void) | undefined;
  #isDetached = false;
  /** How many bytes it may hold while memory is short, even if its share is smaller. */
  #allowance = 0;
  /** What gets the result of the outstanding read first. */
  #claim: Claim | undefined;

  /**
   * @param source The connection.
   * @param chunkSize The size of the first read.
   * @param output Flushed when a reading is about to wait.
   * @param group The group of the session.
   * @param events Called on failures, and when no read is outstanding any more.
   */
  constructor(
    source: Source,
    chunkSize: number,
    output: Flushing,
    group: Group,
    events: IoEvents,
  ) {
    this.#source = source;
    this.#chunkSize = chunkSize;
    this.#output = output;
    this.#group = group;
    this.#events = events;
    this.#budget = group.budget;
    this.input = new InputBuffer(chunkSize, group.budget);
  }

  /** Throws if a reading waits, or none can. */
  checkFree(): void {
    this.#checkAttached();
    if (this.waiting === undefined) return;
    throw new TypeError("another reading of this session waits already: one at a time");
  }

  #checkAttached(): void {
    if (!this.#isDetached || this.#failure !== undefined) return;
    throw new TypeError("the session is about to begin TLS: await that first");
  }

  /** The error of the last reading whose timeout was over. */
  get timeoutError(): Error | undefined {
    return this.#timedWaits?.error;
  }

  /** Decodes one frame from the unread input, without waiting. Throws the error that the reading has to throw. */
  pull<Frame>(reading: Waiting<Frame>): Frame | typeof MORE | typeof END {
    const { input } = this;
    if (this.#last !== reading) {
      this.#last = reading;
      if (reading.partial) reading.renew();
      if (reading.decoder.copies !== COPIES) input.keep(); // a callback of the reading before may have begun this one
      input.needed = 0;
      const { maxBuffered } = reading.decoder;
      input.cap = maxBuffered === Infinity ? undefined : maxBuffered; // V8 would allocate an Infinity for each session
      input.isBorrowed = reading.decoder === borrowedChunks;
    }
    if (this.#broken) throw this.inputError;
    if (input.end > input.start) {
      const frame = this.#decode(reading.decoder);
      reading.partial = isMore(frame);
      if (!reading.partial) return frame;
    }
    if (this.#failure !== undefined) throw this.#failure.error;
    if (!this.ended) return MORE;
    const left = input.unread;
    if (left === 0) return END;
    const expected = input.needed > left ? input.needed : undefined;
    throw this.inputError = new TruncatedFrameError(left, expected);
  }

  /** Lets a reading wait for input, or throws if it cannot. */
  wait(reading: Waiting<unknown>): void {
    if (this.#drained !== undefined && reading.drains && this.input.unread === 0) {
      throw this.inputError = this.#drained;
    }
    this.waiting = reading;
    this.#watched = false;
    if (reading.timeout !== undefined) {
      (this.#timedWaits ??= new TimedWaits()).begin();
      this.#group.pace(reading.timeout);
    }
    const output = this.#output;
    const wasWriting = output.writing;
    output.flush();
    // A write that is taken at once ends within this turn. A read that is begun after it takes 0.2 µs less.
    const soonOver = output.writing && !wasWriting && output.queued;
    if (!soonOver) this.resume();
  }

  /** Starts a read if a reading waits, no read is outstanding, and the session does not hold too much. */
  resume(): void {
    const budget = this.#budget;
    if (budget.isDue) budget.review(); // which may end this session
    const reading = this.waiting;
    if (reading === undefined || this.reading || this.#isDeferred) return;
    if (budget.isShort && this.#pauses(budget)) return;
    if (this.throttle === undefined) return this.#read(reading.limit);
    const size = this.throttle.admit(reading.limit ?? this.input.readSize);
    if (size > 0) this.#read(size);
  }

  get demand(): number {
    return this.input.demand + this.#output.buffered;
  }

  get growth(): number {
    return Math.max(0, this.input.demand - this.input.size);
  }

  /** How many more bytes it may hold because of `allow()`. */
  get allowed(): number {
    if (this.#held <= this.#budget.share) return 0;
    return Math.max(0, this.#allowance - this.input.size - this.#output.buffered);
  }

  get #held(): number {
    return this.input.unread + this.#output.buffered;
  }

  allow(bytes: number): void {
    this.#allowance = bytes;
  }

  /** Whether memory is short and this session holds more than it may. If so, the budget will resume it. */
  #pauses({ share, paused }: Budget): boolean {
    const held = this.#held;
    if (held <= share) this.#allowance = 0;
    const pauses = held > Math.max(share, this.#allowance);
    if (pauses) paused.add(this);
    return pauses;
  }

  /** Lets a reading wait for the next turn of the event loop, if there is unread input. Returns whether it does. */
  defer(): boolean {
    if (this.input.unread === 0) return false;
    if (!this.#isDeferred) turn.add(this);
    return this.#isDeferred = true;
  }

  onTurn(): void {
    this.#isDeferred = false;
    if (this.#failure === undefined) this.#retry();
    else this.waiting?.wake();
  }

  /** Ends the loop that waits, or else the next one, between two messages. */
  drain(): void {
    this.#drained = this.#group.drained;
    const reading = this.waiting;
    if (reading === undefined || !reading.drains || this.input.unread > 0) return;
    this.inputError = this.#drained;
    reading.reject(this.inputError);
  }

  /** Ends the input with `error`, because what follows it cannot be decoded. */
  refuse(error: Error): Error {
    this.#broken = true;
    return this.inputError = error;
  }

  unread(bytes: Uint8Array): void {
    this.#checkAttached(); // or it would be read as if it had come under TLS
    this.#last = undefined;
    this.input.unshift(bytes);
    this.waiting?.wake();
  }

  /** Fails all readings, now and later, with the error of `failure`. With `keep`, input that came before can still be read. */
  fail(failure: LazyError, keep: boolean): void {
    if (this.#failure !== undefined) return;
    this.#budget.paused.delete(this);
    this.throttle?.stop();
    this.#failure = failure;
    this.#keepsInput = keep;
    if (keep) return this.waiting?.wake(); // with what came before, or else with the error
    this.input.clear(this.waiting === undefined);
    this.waiting?.reject(failure.error);
  }

  /** Reads and drops input until it ends or fails, and then calls `done`. */
  drop(done: () => void): void {
    this.#onInputEnd = done;
    this.#isDropping = true;
    this.input.clear();
    if (this.ended) done();
    else if (!this.reading && !this.#isDetached) this.#read();
  }

  /**
   * Lets readings continue until the input ends or fails, and then fails them with `failure`. Until then it reads even if no
   * reading waits, up to `MAX_READ_AHEAD`. Calls `done` at the end.
   */
  failAtEnd(failure: LazyError, done: () => void): void {
    this.#onInputEnd = () => {
      this.fail(failure, true);
      done();
    };
    if (this.ended) this.#onInputEnd();
    else this.#readAhead();
  }

  /**
   * Called by the sweep. If there was no read for a whole sweep, it starts one, into separate memory, so that a handler
   * that only sends notices a reset. With `isHeard`, it continues like that up to `MAX_READ_AHEAD`, so that the silence of
   * a peer can be detected whatever the handler does.
   */
  watch(isHeard: boolean): void {
    const isQuiet = this.#reads === this.#readsSeen;
    this.#readsSeen = this.#reads;
    if (isQuiet && this.reading && this.#room === undefined && this.waiting !== undefined) {
      this.input.release();
    }
    const isEnough = this.#watched && !(isHeard && this.input.unread < MAX_READ_AHEAD);
    if (
      !isQuiet || this.reading || this.#isDetached || isEnough || this.ended ||
      this.#failure !== undefined || this.#held > this.#budget.share || this.throttle?.isWaiting
    ) {
      return;
    }
    this.#watched = true;
    this.#read(this.#chunkSize, true);
  }

  /**
   * Called by the sweep: rejects a reading that has waited for longer than its timeout. Returns that timeout, for the
   * pace of the sweep.
   */
  expire(now: number): number {
    const timeout = this.waiting?.timeout;
    if (timeout === undefined || this.#isDeferred) return Infinity;
    const error = this.#timedWaits!.check(now, timeout);
    if (error !== undefined) this.waiting!.reject(error);
    return timeout;
  }

  /** Stops reading until `attach()`. Returns the outstanding read, if there is one, whose bytes belong to the caller. */
  detach(): Promise<Uint8Array> | undefined {
    this.checkFree();
    this.#isDetached = true;
    this.input.clear(); // the memory of an outstanding read goes with what that brings
    if (!this.reading) return;
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    promise.catch(() => {}); // the session may end before anybody looks at it
    const earlier = this.#claim;
    this.#claim = {
      take(bytes): boolean {
        earlier?.take(bytes);
        resolve(new Uint8Array(bytes)); // slice() of a Buffer would not copy
        return true;
      },
      fail(error): boolean {
        earlier?.fail(error);
        reject(error); // the caller knows better what the error means
        return true;
      },
    };
    return promise;
  }

  /** Reads on from a source that shows `tap` what passes, and shows it the result of the outstanding read as well. */
  tap(source: Source, tap: Pick<Tap, "onInput" | "onInputEnd">): void {
    this.#source = source;
    if (!this.reading) return;
    const earlier = this.#claim;
    this.#claim = {
      take(bytes): boolean {
        if (bytes.length > 0) tap.onInput(bytes);
        else tap.onInputEnd();
        return earlier?.take(bytes) ?? false;
      },
      fail(error): boolean {
        tap.onInputEnd(error);
        return earlier?.fail(error) ?? false;
      },
    };
  }

  attach(source: Source): void {
    this.#isDetached = false;
    this.#source = source;
    if (this.#isDropping) this.#read();
  }

  #decode<Frame>(decoder: Decoder<Frame>): Frame | typeof MORE {
    const { input } = this;
    const { unread } = input;
    if (unread < input.needed && !this.ended) return MORE;
    try {
      let frame = decoder.decode(input);
      if (isMore(frame) && this.ended && decoder.finish !== undefined) {
        frame = decoder.finish(input);
      }
      if (!isMore(frame)) {
        if (frame === undefined) {
          throw new TypeError("the decoder returned undefined: it must return a frame or MORE");
        }
        if (input.unread === unread) {
          throw new TypeError("the decoder consumed nothing for a frame");
        }
        input.needed = 0;
        this.frames++;
        if (this.heartbeat !== undefined) this.heartbeat.onFrame(frame);
      } else if (input.unread > decoder.maxBuffered) {
        throw new FrameTooLargeError(decoder.maxBuffered, input.unread);
      }
      return frame;
    } catch (thrown) {
      const isError = thrown instanceof Error;
      const error = isError ? thrown : new Error("the decoder threw", { cause: thrown });
      if (!PEER_ERRORS.some((kind) => error instanceof kind)) this.decoderError = error;
      throw this.refuse(error);
    }
  }

  /**
   * @param size The most bytes to read.
   * @param isLent Whether a chunk of the input may be lent, so that it must not change.
   */
  #read(size: number = this.input.readSize, isLent = false): void {
    this.reading = true;
    this.#reads++;
    const source = this.#source;
    try {
      if (size < MIN_OWN && source.readLent !== undefined) {
        this.#size = size;
        source.readLent(size, this);
        return;
      }
      const room = this.#room = isLent ? new Uint8Array(size) : this.input.room(size);
      this.#settling ??= [(count) => this.#onRead(count), (error) => this.#onReadError(error)];
      source.read(room).then(this.#settling[0], this.#settling[1]);
    } catch (error) {
      this.#onReadError(error);
    }
  }

  #onRead(count: number | null): void {
    this.#output.isUnanswered = false;
    const room = this.#room!;
    const fault = count === null ? undefined : miscount("read", count, room.length);
    if (fault !== undefined) return this.#onReadError(fault);
    this.#room = undefined;
    this.reading = false;
    if (this.#claim !== undefined && this.#isTaken(room.subarray(0, count ?? 0))) return;
    if (count === null) this.ended = true;
    else this.#count(count);
    if (this.#isDropping) return this.#drop(room, count);
    if (count !== null && (this.#failure === undefined || this.#keepsInput)) {
      this.input.commit(room, count);
    } else this.input.abandon();
    this.#onSettled();
  }

  onInput(bytes: Uint8Array, isGiven = false): void {
    const fault = miscount("readLent", bytes.length, this.#size);
    if (fault !== undefined) return this.#onReadError(fault);
    this.reading = this.#output.isUnanswered = false;
    if (this.#claim !== undefined && this.#isTaken(bytes)) return;
    this.#count(bytes.length);
    if (this.#failure === undefined || this.#keepsInput) this.#accept(bytes, isGiven);
    if (this.#isDropping) this.#dropOn();
    else this.#onSettled();
  }

  #accept(bytes: Uint8Array, isGiven: boolean): void {
    const { input, waiting } = this;
    const canLend = waiting?.decoder.copies === COPIES && !isGiven && !this.#isDropping;
    if (canLend && this.#failure === undefined && input.lend(bytes, this.#size)) return;
    input.accept(bytes, this.#size, waiting === undefined, isGiven);
  }

  onEnd(error?: unknown): void {
    if (error !== undefined) return this.#onReadError(error);
    this.reading = this.#output.isUnanswered = false;
    if (this.#claim !== undefined && this.#isTaken(NOTHING)) return;
    this.ended = true;
    if (!this.#isDropping) return this.#onSettled();
    this.#onInputEnd!();
    this.#events.onIdle();
  }

  #count(bytes: number): void {
    this.bytesRead += bytes;
    if (this.throttle === undefined || !this.throttle.spend(bytes)) return;
    if (this.#isDropping || this.#failure !== undefined) return;
    this.#events.onFailure(new RateLimitError("readRate", this.throttle.settings));
  }

  /** Continues after a read that has brought bytes, or the end. */
  #onSettled(): void {
    if (this.#failure !== undefined) return this.#events.onIdle();
    if (this.#onInputEnd === undefined) return this.#retry();
    if (this.ended) this.#onInputEnd();
    else this.#retry();
    if (!this.reading) this.#events.onIdle();
  }

  /** Lets the waiting reading try again, and reads on if it needs more. */
  #retry(): void {
    this.waiting?.wake();
    this.input.keep();
    if (this.#budget.isDue) {
      this.#budget.review();
      if (this.#failure !== undefined) return; // the review has ended this session
    }
    if (this.#onInputEnd !== undefined) return this.#readAhead();
    if (this.waiting === undefined) return;
    if (this.#drained !== undefined) this.drain(); // what was unread may have belonged to no frame
    this.resume();
  }

  /** Reads into separate memory, since a chunk may be lent. */
  #readAhead(): void {
    const { unread } = this.input;
    if (this.waiting !== undefined) this.resume();
    else if (!this.reading && !this.#isDetached && unread < MAX_READ_AHEAD) {
      this.#read(Math.max(this.#chunkSize, unread), true);
    }
  }

  #drop(room: Uint8Array, count: number | null): void {
    if (count === null) this.#onInputEnd!();
    else {
      this.input.commit(room, count);
      return this.#dropOn();
    }
    if (!this.reading) this.#events.onIdle();
  }

  #dropOn(): void {
    this.input.consume(this.input.unread);
    this.#read();
    if (!this.reading) this.#events.onIdle();
  }

  #isTaken(bytes: Uint8Array): boolean {
    const claim = this.#claim!;
    this.#claim = undefined;
    if (!claim.take(bytes)) return false;
    this.#events.onIdle();
    return true;
  }

  #onReadError(error: unknown): void {
    this.#room = undefined;
    this.input.abandon();
    this.reading = false;
    const claim = this.#claim;
    this.#claim = undefined;
    if (claim?.fail(error)) return this.#events.onIdle();
    if (this.#onInputEnd !== undefined) this.#onInputEnd();
    else if (this.#failure === undefined) this.#events.onFailure(error);
    this.#events.onIdle();
  }
}
