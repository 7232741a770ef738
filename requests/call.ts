/** One request, from the call until its reply has come or is not awaited any more. */

import type { Link } from "../_internal/linked_list.ts";
import { MessageQueue } from "../session/queue.ts";
import type { RequestId } from "./options.ts";

/** How many frames of a stream may wait to be read before the session is not read any more. */
const AHEAD = 16;

/** The parameters of a request. */
export interface CallInit<In, Out> {
  message: Out;
  id: RequestId | undefined;
  timeout: number;
  isIdempotent: boolean;
  /** Whether a frame is the last one of the reply. Without it, every frame is. */
  isLast: ((frame: In) => boolean) | undefined;
}

export abstract class Call<In, Out> {
  readonly id: RequestId | undefined;
  readonly timeout: number;
  /** Whether it may be sent again, although the peer may have received it. */
  readonly isIdempotent: boolean;
  /** When the timeout is over, by `performance.now()`. */
  deadline: number;
  /** The request, until it is not needed any more. */
  message: Out | undefined;
  /** Whether it was sent over the current session. */
  isSent = false;
  /** Whether it was ever sent. */
  wasSent = false;
  /** Whether the last frame of its reply has come. */
  isOver = false;
  isSettled = false;
  /** Its place in a list, if it is in one: the queue, and later a list of the matcher. */
  link: Link<Call<In, Out>> | undefined;
  readonly isLast: ((frame: In) => boolean) | undefined;
  #signal: AbortSignal | undefined;
  #onAbort: (() => void) | undefined;

  constructor(init: CallInit<In, Out>) {
    this.message = init.message;
    this.id = init.id;
    this.timeout = init.timeout;
    this.isIdempotent = init.isIdempotent;
    this.isLast = init.isLast;
    this.deadline = init.timeout === Infinity ? Infinity : performance.now() + init.timeout;
  }

  /** Calls `onAbort` if the signal aborts before the call is settled. */
  watch(signal: AbortSignal, onAbort: () => void): void {
    this.#signal = signal;
    this.#onAbort = onAbort;
    signal.addEventListener("abort", onAbort);
  }

  /** Records whether a frame is the last one of the reply, and returns it. */
  endsWith(frame: In): boolean {
    return this.isOver = this.isLast === undefined || this.isLast(frame);
  }

  /** Whether the reply has as many frames as it may have. */
  get isFull(): boolean {
    return false;
  }

  /** Whether frames of the reply wait to be read. Then the peer is not the one who is late. */
  get isBehind(): boolean {
    return false;
  }

  /** Resolves once another frame of the reply may be read; `undefined` if it may be read now. */
  room(): Promise<void> | undefined {
    return undefined;
  }

  /** Starts the timeout again. */
  defer(): void {
    if (this.timeout !== Infinity) this.deadline = performance.now() + this.timeout;
  }

  /** Takes a frame of the reply. */
  abstract take(frame: In): void;

  abstract reject(error: unknown): void;

  /** Drops what has come of the reply, so that the request can be sent again. Returns whether it can. */
  abstract forget(): boolean;

  protected settle(): void {
    this.isSettled = true;
    this.message = undefined;
    if (this.#onAbort !== undefined) this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#signal = this.#onAbort = undefined;
  }
}

/** A request whose reply is one frame. */
export class SingleCall<In, Out> extends Call<In, Out> {
  /** Its rejection never counts as unhandled. */
  readonly promise: Promise<unknown>;
  #resolve!: (reply: unknown) => void;
  #reject!: (error: unknown) => void;

  constructor(init: CallInit<In, Out>) {
    super(init);
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // If the session ends while the caller awaits one of several requests, the others reject without a listener.
    this.promise.catch(() => {});
  }

  override take(frame: In): void {
    this.resolve(frame);
  }

  override reject(error: unknown): void {
    this.settle();
    this.#reject(error);
  }

  override forget(): boolean {
    return true;
  }

  protected resolve(reply: unknown): void {
    this.settle();
    this.#resolve(reply);
  }
}

/** A request whose reply is all frames up to the last. */
export class WholeCall<In, Out> extends SingleCall<In, Out> {
  readonly #maxFrames: number;
  #frames: In[] = [];

  constructor(init: CallInit<In, Out>, maxFrames: number) {
    super(init);
    this.#maxFrames = maxFrames;
  }

  override get isFull(): boolean {
    return this.#frames.length === this.#maxFrames;
  }

  override take(frame: In): void {
    this.#frames.push(frame);
    if (this.isOver) this.resolve(this.#frames);
  }

  override reject(error: unknown): void {
    this.#frames = [];
    super.reject(error);
  }

  override forget(): boolean {
    this.#frames = [];
    return true;
  }
}

const LEFT: IteratorReturnResult<undefined> = { done: true, value: undefined };

/** A request whose reply is read frame by frame, as it comes. */
export class StreamCall<In, Out> extends Call<In, Out> {
  readonly #frames: MessageQueue<In>;
  #hasBegun = false;
  /** Whether the loop was left. */
  #hasLeft = false;
  #resume: (() => void) | undefined;

  constructor(init: CallInit<In, Out>, signal: AbortSignal | undefined) {
    super(init);
    this.#frames = new MessageQueue({ maxSize: AHEAD, ...(signal && { signal }) });
  }

  override get isBehind(): boolean {
    return this.#frames.length > 0;
  }

  override room(): Promise<void> | undefined {
    if (this.isSettled || this.#frames.length < AHEAD) return;
    return new Promise((resolve) => void (this.#resume = resolve));
  }

  next(): Promise<IteratorResult<In, undefined>> {
    if (this.#hasLeft) return Promise.resolve(LEFT);
    const next = this.#frames.next();
    if (!this.isSettled) this.defer();
    this.#goOn();
    return next;
  }

  /** The loop was left. */
  leave(): Promise<IteratorReturnResult<undefined>> {
    this.#hasLeft = true;
    return this.#frames.return();
  }

  override take(frame: In): void {
    this.#hasBegun = true;
    this.#frames.push(frame);
    if (!this.isOver) return this.defer();
    this.settle();
    this.#frames.close();
  }

  override reject(error: unknown): void {
    this.settle();
    this.#frames.close(error);
    this.#goOn();
  }

  override forget(): boolean {
    return !this.#hasBegun;
  }

  #goOn(): void {
    this.#resume?.();
    this.#resume = undefined;
  }
}
