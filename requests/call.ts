/** One request, from the call until its reply has come or has been given up for good. */

import type { Link } from "../_internal/linked_list.ts";
import { MessageQueue } from "../session/queue.ts";
import type { RequestId } from "./options.ts";

/** So many frames of a stream may wait for whoever reads it; then nothing more is read. */
const AHEAD = 16;

/** What is known of a request before it is made. */
export interface CallInit<In, Out> {
  message: Out;
  id: RequestId | undefined;
  timeout: number;
  isIdempotent: boolean;
  /** Whether a frame is the last of the reply; without it, every frame is. */
  isLast: ((frame: In) => boolean) | undefined;
}

export abstract class Call<In, Out> {
  readonly id: RequestId | undefined;
  readonly timeout: number;
  /** Whether it may be sent again, although the peer may have got it. */
  readonly isIdempotent: boolean;
  /** When the timeout is over, by `performance.now()`. */
  deadline: number;
  /** What is sent; let go of once it is not needed any more. */
  message: Out | undefined;
  /** Whether it was sent over the session that there is, or ever. */
  isSent = false;
  wasSent = false;
  /** Whether the last frame of its reply has come. */
  isOver = false;
  isSettled = false;
  /** Its place in the list that holds it, if one does: the queue, later one of its matcher. */
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

  /** Takes note of whether a frame of its reply is the last one. */
  endsWith(frame: In): boolean {
    return this.isOver = this.isLast === undefined || this.isLast(frame);
  }

  /** Whether one frame more is more than may be. */
  get isFull(): boolean {
    return false;
  }

  /** Whether some of its reply waits to be read: then the silence is not the peer's. */
  get isBehind(): boolean {
    return false;
  }

  /** Resolves once there is room for another frame of its reply, or need for none; `undefined` if there is now. */
  room(): Promise<void> | undefined {
    return undefined;
  }

  /** Begins to wait anew. */
  defer(): void {
    if (this.timeout !== Infinity) this.deadline = performance.now() + this.timeout;
  }

  /** Takes a frame of the reply. */
  abstract take(frame: In): void;

  abstract reject(error: unknown): void;

  /** Forgets what has come of the reply, to be sent again, unless somebody has seen some of it. */
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
  /** May be left alone: its rejection never counts as unhandled. */
  readonly promise: Promise<unknown>;
  #resolve!: (reply: unknown) => void;
  #reject!: (error: unknown) => void;

  constructor(init: CallInit<In, Out>) {
    super(init);
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Who awaits one of several requests is not yet listening to the others when the session ends for them all.
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

  /** Nobody reads the stream any more. */
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
