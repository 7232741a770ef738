import { nextTick } from "node:process";
import { Alarm } from "../_internal/alarm.ts";
import { checkDuration } from "../_internal/checks.ts";
import { LinkedList } from "../_internal/linked_list.ts";
import { checkOptions, NO_OPTIONS } from "../_internal/options.ts";
import { rejected, rejectQuietly } from "../_internal/promises.ts";
import { unlessAborted } from "../_internal/time_limit.ts";
import { Client } from "../connect/reconnect.ts";
import {
  MalformedFrameError,
  ReplyLimitError,
  RequestLimitError,
  RequestTimeoutError,
  SessionEndedError,
} from "../errors.ts";
import { MessageQueue } from "../session/queue.ts";
import { reportInputError } from "../session/frames.ts";
import type { Frames, ReadOptions } from "../session.ts";
import { type Call, type CallInit, SingleCall, StreamCall, WholeCall } from "./call.ts";
import { type Matcher, matcherOf } from "./matching.ts";
import {
  checkFrames,
  CONNECTED_OPTIONS,
  REQUEST_OPTIONS,
  type RequestOptions,
  type Requests,
  type RequestsSettings,
  STREAM_OPTIONS,
  type StreamOptions,
} from "./options.ts";

const CLOSED = "cannot make a request after close()";

/**
 * Requests over frames: queues and sends them, and reads their replies. Over the sessions of a reconnecting client,
 * requests without a reply may be sent again over the next session.
 */
export class Pipeline<In, Out> implements Requests<In, Out, unknown> {
  readonly #client: Client<Frames<In, Out>> | undefined;
  /** The frames of the current session; `undefined` while there is none. */
  #frames: Frames<In, Out> | undefined;
  /** Aborts when the current session has ended, even if no reading has noticed yet. */
  #ended: AbortSignal | undefined;
  /** Who waits for a session, in `connected()`. One promise for all would keep those who wait no longer. */
  readonly #arrivals = new Set<PromiseWithResolvers<Frames<In, Out>>>();
  readonly #settings: RequestsSettings<In, Out>;
  /** The calls that wait for their turn. */
  readonly #queue = new LinkedList<Call<In, Out>>();
  readonly #matcher: Matcher<In, Out>;
  readonly #closed = Promise.withResolvers<unknown>();
  /** How many calls are not settled, sent or not. */
  #waiting = 0;
  #isSending = false;
  #isClosing = false;
  #end: { cause: unknown } | undefined;
  readonly #alarm = new Alarm((now) => this.#timeOut(now));

  constructor(
    source: Frames<In, Out> | Client<Frames<In, Out>>,
    settings: RequestsSettings<In, Out>,
  ) {
    this.#settings = settings;
    this.#matcher = matcherOf(settings);
    const ended = source instanceof Client
      ? this.#runOverClient(this.#client = source)
      : this.#runOver(source);
    ended.then((cause) => this.#finish(cause), (error) => this.#finish(error));
  }

  get inFlight(): number {
    return this.#end === undefined ? this.#matcher.size : 0;
  }

  get queued(): number {
    return this.#end === undefined ? this.#queue.length : 0;
  }

  get closed(): Promise<unknown> {
    return this.#closed.promise;
  }

  request(message: Out, options: RequestOptions = NO_OPTIONS): Promise<unknown> {
    try {
      checkOptions(options, REQUEST_OPTIONS);
      const init = this.#init(message, options);
      const { isLast, maxReplyFrames } = this.#settings;
      const call = isLast === undefined
        ? new SingleCall(init)
        : new WholeCall(init, maxReplyFrames);
      this.#admit(call, options.signal);
      return call.promise;
    } catch (error) {
      return rejected(error);
    }
  }

  stream(
    message: Out,
    options: StreamOptions<In> = NO_OPTIONS,
  ): AsyncIterableIterator<In, undefined, void> {
    let call: StreamCall<In, Out>;
    try {
      checkOptions(options, STREAM_OPTIONS);
      call = new StreamCall(this.#init(message, options), options.signal);
      this.#admit(call, options.signal);
    } catch (error) {
      const failed = new MessageQueue<In>();
      failed.close(error);
      return failed;
    }
    return {
      next: () => call.next(),
      return: () => {
        if (!call.isSettled) this.#abandon(call, undefined);
        return call.leave();
      },
      [Symbol.asyncIterator](): AsyncIterableIterator<In, undefined, void> {
        return this;
      },
    };
  }

  async connected(options: Pick<ReadOptions, "signal"> = NO_OPTIONS): Promise<Frames<In, Out>> {
    checkOptions(options, CONNECTED_OPTIONS);
    options.signal?.throwIfAborted();
    if (this.#end !== undefined) throw this.#end.cause ?? new TypeError(CLOSED);
    if (this.#frames !== undefined) return this.#frames;
    const arrival = Promise.withResolvers<Frames<In, Out>>();
    this.#arrivals.add(arrival);
    try {
      return await unlessAborted(arrival.promise, options.signal);
    } finally {
      this.#arrivals.delete(arrival);
    }
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    this.#releaseIfDone();
    await this.#closed.promise;
    await this.#client?.close();
  }

  abort(reason: unknown = new DOMException("the requests were aborted", "AbortError")): void {
    if (this.#end === undefined) this.#client?.abort(reason);
    this.#finish(reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Whether no reply is awaited any more, and none will be. */
  get #isDone(): boolean {
    return this.#end !== undefined || (this.#isClosing && this.#waiting === 0);
  }

  /** Sends requests and reads replies over frames. Resolves when all is done, and rejects if the frames end or fail. */
  async #runOver(frames: Frames<In, Out>): Promise<void> {
    this.#frames = frames;
    this.#isSending = false;
    for (const arrival of this.#arrivals) arrival.resolve(frames);
    this.#sendNext();
    await this.#receive(frames);
  }

  /** The same over the sessions of a client. Resolves to the error that has ended the client, if this did not close it. */
  async #runOverClient(client: Client<Frames<In, Out>>): Promise<unknown> {
    await client.run(async ({ signal }, frames) => {
      checkFrames("what setUp of the client returns", frames);
      this.#ended = signal;
      try {
        await this.#runOver(frames);
      } catch (error) {
        this.#onSessionLost(error);
        throw error;
      }
      this.#releaseIfDone(); // otherwise the client would reconnect
    });
    if (this.#isClosing && this.#waiting === 0) return;
    return client.lastFailure ?? new DOMException("the client was closed", "AbortError");
  }

  /** The session has ended. Calls that may be sent again go to the front of the queue; the others fail. */
  #onSessionLost(cause: unknown): void {
    if (this.#end !== undefined) return;
    this.#frames = undefined;
    const again: Call<In, Out>[] = [];
    for (const call of this.#matcher.reset()) {
      if (call.isIdempotent && call.forget()) again.push(call);
      else this.#fail(call, cause);
    }
    for (const call of again.reverse()) {
      call.isSent = call.isOver = false;
      this.#matcher.admit(call);
      call.link = this.#queue.unshift(call);
    }
  }

  #init(
    message: Out,
    { signal, timeout, isLast, idempotent = false }: StreamOptions<In>,
  ): CallInit<In, Out> {
    const settings = this.#settings;
    const duration = timeout === undefined ? settings.timeout : checkDuration("timeout", timeout);
    signal?.throwIfAborted();
    if (this.#isClosing) throw new TypeError(CLOSED);
    if (this.#end !== undefined) throw this.#end.cause;
    const id = this.#matcher.identify(message);
    const limit = settings.maxInFlight + settings.maxQueued;
    if (this.inFlight + this.queued >= limit) throw new RequestLimitError(limit);
    return {
      message,
      id,
      timeout: duration,
      isIdempotent: idempotent,
      isLast: isLast ?? settings.isLast,
    };
  }

  #admit(call: Call<In, Out>, signal: AbortSignal | undefined): void {
    this.#waiting++;
    this.#matcher.admit(call);
    if (signal !== undefined) call.watch(signal, () => this.#abandon(call, signal.reason));
    this.#alarm.set(call.deadline);
    call.link = this.#queue.push(call);
    this.#sendNext();
  }

  /** Sends the next call, if its turn has come. Calls are sent one after the other, with the back-pressure of `send()`. */
  #sendNext(): void {
    const { maxInFlight } = this.#settings;
    const frames = this.#frames;
    if (frames === undefined || this.#isSending || this.#end !== undefined) return;
    if (this.inFlight >= maxInFlight || this.#ended?.aborted) return;
    const call = this.#queue.shift();
    if (call !== undefined) this.#send(call, frames);
  }

  async #send(call: Call<In, Out>, frames: Frames<In, Out>): Promise<void> {
    const message = call.message as Out;
    if (!call.isIdempotent) call.message = undefined;
    call.link = undefined;
    call.isSent = call.wasSent = this.#isSending = true;
    this.#matcher.add(call);
    try {
      await frames.send(message);
    } catch (error) {
      // If the session has ended, its last input may contain the reply. Then the reading fails, for all calls.
      if (frames === this.#frames && !(error instanceof SessionEndedError)) {
        this.#matcher.remove(call);
        this.#fail(call, error);
      }
    }
    if (frames !== this.#frames) return;
    this.#isSending = false;
    this.#sendNext();
  }

  /** Rejects a call that was aborted, left or timed out. Its late reply is dropped. */
  #abandon(call: Call<In, Out>, error: unknown): void {
    if (!call.isSent) {
      this.#queue.remove(call.link!);
      call.link = undefined;
      this.#matcher.remove(call);
    } else if (!call.isOver) this.#matcher.abandon(call);
    this.#fail(call, error);
    queueMicrotask(() => this.#sendNext()); // after other calls that end by the same signal or timeout
  }

  #fail(call: Call<In, Out>, error: unknown): void {
    if (call.isSettled) return;
    call.reject(error);
    this.#waiting--;
    this.#releaseIfDone();
  }

  async #receive(frames: Frames<In, Out>): Promise<void> {
    for (;;) {
      // The caller that got the last reply may call close() before input of another reading is read.
      if (this.#waiting === 0) await new Promise<void>((resolve) => nextTick(resolve));
      if (this.#isDone) return;
      const frame = await frames.read();
      if (frame === undefined) {
        if (this.#isDone) return;
        throw this.#unanswered();
      }
      const call = this.#match(frame);
      if (call === undefined) {
        this.#onUnmatched(frame);
        continue;
      }
      const room = this.#take(call, frame);
      if (room !== undefined) await room;
    }
  }

  #onUnmatched(frame: In): void {
    const handled = this.#settings.onUnmatched(frame);
    if (handled instanceof Promise) handled.catch((error) => this.#finish(error));
  }

  /** Passes a frame to its call. Returns a promise to await before the next frame is read, if the call has no room. */
  #take(call: Call<In, Out>, frame: In): Promise<void> | undefined {
    if (!call.isSettled) {
      call.take(frame);
      if (call.isSettled) this.#waiting--;
      else if (call.isFull) this.#abandon(call, new ReplyLimitError(this.#settings.maxReplyFrames));
    }
    if (!call.isOver) return call.room();
    this.#sendNext();
  }

  /** Finds the call that a frame belongs to. An impossible frame is the peer's fault, as a malformed one is. */
  #match(frame: In): Call<In, Out> | undefined {
    try {
      return this.#matcher.match(frame);
    } catch (error) {
      throw error instanceof MalformedFrameError ? this.#report(error) : error;
    }
  }

  /** The error of requests if the peer has finished its side. */
  #unanswered(): Error {
    const cause = this.#waiting === 0
      ? undefined
      : new Error(`the peer finished its side with ${this.#waiting} replies missing`);
    return this.#report(new SessionEndedError("peer", { cause }));
  }

  #report(error: Error): Error {
    if (this.#frames !== undefined) reportInputError(this.#frames, error);
    return error;
  }

  /** Stops reading the frames, and closes the client, if no reply is awaited any more. */
  #releaseIfDone(): void {
    if (!this.#isDone) return;
    this.#frames?.return().catch((error) => this.#finish(error));
    this.#client?.close();
  }

  #finish(cause: unknown): void {
    if (this.#end !== undefined) return;
    this.#end = { cause };
    this.#alarm.clear();
    for (const call of this.#calls()) call.reject(cause);
    for (const arrival of this.#arrivals) rejectQuietly(arrival, cause ?? new TypeError(CLOSED));
    this.#releaseIfDone();
    this.#closed.resolve(cause);
  }

  /** The calls that are not settled. */
  #calls(): Call<In, Out>[] {
    return [...this.#matcher, ...this.#queue].filter((call) => !call.isSettled);
  }

  /** Rejects the calls whose timeout is over. Returns the next deadline. */
  #timeOut(now: number): number {
    let next = Infinity;
    for (const call of this.#calls()) {
      if (call.isBehind) call.defer();
      if (call.deadline > now) next = Math.min(next, call.deadline);
      else this.#abandon(call, this.#timeoutError(call));
    }
    return next;
  }

  #timeoutError({ timeout, wasSent }: Call<In, Out>): Error {
    const cause = this.#frames === undefined ? this.#client?.lastFailure : undefined;
    return new RequestTimeoutError(timeout, wasSent, cause === undefined ? {} : { cause });
  }
}
