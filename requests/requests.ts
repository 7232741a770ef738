/** Requests and their replies over the frames of a session. Here: `requests()`. */

import { nextTick } from "node:process";
import { Alarm } from "../_internal/alarm.ts";
import { BLAME } from "../session/blame.ts";
import { checkDuration, shown } from "../_internal/checks.ts";
import { LinkedList } from "../_internal/linked_list.ts";
import {
  MalformedFrameError,
  RequestLimitError,
  RequestTimeoutError,
  SessionEndedError,
} from "../errors.ts";
import { Call, type Matcher, matcherOf } from "./matching.ts";
import {
  type RequestOptions,
  type Requests,
  type RequestsOptions,
  type RequestsSettings,
  resolveRequestsOptions,
} from "./options.ts";
import type { Frames } from "../session.ts";

export type { RequestId, RequestOptions, Requests, RequestsOptions } from "./options.ts";

/**
 * Makes requests over frames: each gets its own reply, and many may be in flight on one session.
 *
 * Replies belong to requests by their order, as in Redis, SMTP or memcached, or by an id, if the options say where
 * it stands. A request that is aborted or comes to its timeout fails by itself; its late reply is dropped and never
 * taken for that of another. In order, a reply that nothing asked for ends the requests with a `MalformedFrameError`,
 * since what follows would be given to the wrong ones. With ids, one that belongs to nothing is dropped, or handed to `onUnmatched`.
 *
 * Frames are read from the next turn of the event loop on, for as long as the requests are not closed: meanwhile
 * nothing else may read the session.
 *
 * @param frames The frames of a session. Other messages can be sent through them as before.
 * @param options How replies find their requests, and what bounds them.
 * @returns The requests.
 * @throws {TypeError | RangeError} If an option is wrong.
 *
 * @example In order
 * ```ts
 * import { requests } from "@parley/tcp";
 * import { lines } from "@parley/tcp/codecs";
 * import { sessionPair } from "@parley/tcp/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const [client, server] = sessionPair();
 * const serving = (async () => {
 *   for await (const name of server.lines()) await server.send(`hello, ${name}!\n`);
 *   await server.close();
 * })();
 *
 * const greetings = requests(client.frames(lines()), { timeout: 5_000 });
 * assertEquals(
 *   await Promise.all(["rose", "think"].map((name) => greetings.request(name))),
 *   ["hello, rose!", "hello, think!"],
 * );
 * await greetings.close();
 * await Promise.all([client.close(), serving]);
 * ```
 *
 * @example By an id
 * ```ts
 * import { requests } from "@parley/tcp";
 * import { jsonLines } from "@parley/tcp/codecs";
 * import { sessionPair } from "@parley/tcp/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const [client, server] = sessionPair();
 * const rpc = requests(client.frames(jsonLines<{ id: number; sum?: number }>()), {
 *   requestId: ({ id }) => id,
 *   replyId: ({ id }) => id,
 * });
 * const replies = Promise.all([rpc.request({ id: 7 }), rpc.request({ id: 8 })]);
 * await server.send('{"id":8,"sum":80}\n{"id":7,"sum":70}\n');
 * assertEquals((await replies).map(({ sum }) => sum), [70, 80]);
 * await rpc.close();
 * await Promise.all([client.close(), server.close()]);
 * ```
 */
export function requests<In, Out = In>(
  frames: Frames<In, Out>,
  options: RequestsOptions<In, Out> = {},
): Requests<In, Out> {
  if (typeof frames?.read !== "function" || typeof frames.send !== "function") {
    throw new TypeError(`frames must be what session.frames() returns, got ${shown(frames)}`);
  }
  return new FrameRequests(frames, resolveRequestsOptions(options));
}

class FrameRequests<In, Out> implements Requests<In, Out> {
  readonly #frames: Frames<In, Out>;
  readonly #settings: RequestsSettings<In, Out>;
  /** Those that wait for their turn. */
  readonly #queue = new LinkedList<Call<In, Out>>();
  readonly #matcher: Matcher<In, Out>;
  readonly #closed = Promise.withResolvers<unknown>();
  /** How many calls are not settled, sent or not. */
  #waiting = 0;
  #isSending = false;
  #isClosing = false;
  #end: { cause: unknown } | undefined;
  readonly #alarm = new Alarm((now) => this.#timeOut(now));

  constructor(frames: Frames<In, Out>, settings: RequestsSettings<In, Out>) {
    this.#frames = frames;
    this.#settings = settings;
    this.#matcher = matcherOf(settings);
    this.#receive();
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

  request(message: Out, options: RequestOptions = {}): Promise<In> {
    try {
      return this.#admit(message, options);
    } catch (error) {
      const failed = Promise.reject(error);
      failed.catch(() => {});
      return failed;
    }
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    this.#stopReading();
    await this.#closed.promise;
  }

  abort(reason: unknown = new DOMException("the requests were aborted", "AbortError")): void {
    this.#finish(reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Whether nothing is left to be read for. */
  get #isDone(): boolean {
    return this.#end !== undefined || (this.#isClosing && this.#waiting === 0);
  }

  #admit(message: Out, { signal, timeout }: RequestOptions): Promise<In> {
    const duration = timeout === undefined
      ? this.#settings.timeout
      : checkDuration("timeout", timeout);
    signal?.throwIfAborted();
    if (this.#isClosing) throw new TypeError("cannot make a request after close()");
    if (this.#end !== undefined) throw this.#end.cause;
    const id = this.#matcher.identify(message);
    const limit = this.#settings.maxInFlight + this.#settings.maxQueued;
    if (this.inFlight + this.queued >= limit) throw new RequestLimitError(limit);

    const call = new Call<In, Out>(message, id, duration);
    this.#waiting++;
    this.#matcher.admit(call);
    if (signal !== undefined) call.watch(signal, () => this.#giveUp(call, signal.reason));
    this.#alarm.set(call.deadline);
    call.link = this.#queue.push(call);
    this.#sendNext();
    return call.promise;
  }

  /** Sends what has its turn, one after the other: the next waits until the session has room for more output. */
  #sendNext(): void {
    const { maxInFlight } = this.#settings;
    if (this.#isSending || this.#end !== undefined || this.inFlight >= maxInFlight) return;
    const call = this.#queue.shift();
    if (call !== undefined) this.#send(call);
  }

  async #send(call: Call<In, Out>): Promise<void> {
    const message = call.message as Out;
    call.message = call.link = undefined;
    call.isSent = this.#isSending = true;
    this.#matcher.add(call);
    try {
      await this.#frames.send(message);
    } catch (error) {
      // Of a session that has ended, what is read last may be the reply; then comes the error, for all.
      if (!(error instanceof SessionEndedError)) {
        this.#matcher.remove(call);
        this.#fail(call, error);
      }
    }
    this.#isSending = false;
    this.#sendNext();
  }

  /** Rejects a call that its caller, or its timeout, has no more patience with. */
  #giveUp(call: Call<In, Out>, error: unknown): void {
    if (call.isSent) this.#matcher.abandon(call);
    else {
      this.#queue.remove(call.link!);
      call.link = undefined;
      this.#matcher.remove(call);
    }
    this.#fail(call, error);
    queueMicrotask(() => this.#sendNext()); // first, all go that the same signal or moment ends
  }

  #fail(call: Call<In, Out>, error: unknown): void {
    if (call.isSettled) return;
    call.reject(error);
    this.#waiting--;
    this.#stopReading();
  }

  async #receive(): Promise<void> {
    try {
      for (;;) {
        // Whoever got the last reply may close() before anything is read that belongs to another reading.
        if (this.#waiting === 0) await new Promise<void>((resolve) => nextTick(resolve));
        if (this.#isDone) break;
        const frame = await this.#frames.read();
        if (frame !== undefined) this.#onFrame(frame);
        else if (!this.#isDone) throw this.#unanswered();
      }
      this.#finish(undefined);
    } catch (error) {
      this.#finish(error);
    }
  }

  #onFrame(frame: In): void {
    const call = this.#match(frame);
    if (call === undefined) {
      const handled = this.#settings.onUnmatched(frame);
      if (handled instanceof Promise) handled.catch((error) => this.#finish(error));
      return;
    }
    if (!call.isSettled) {
      call.resolve(frame);
      this.#waiting--;
    }
    this.#sendNext();
  }

  /** The call that a frame replies to. A frame that cannot be is the peer's fault, as one that cannot be decoded is. */
  #match(frame: In): Call<In, Out> | undefined {
    try {
      return this.#settings.isReply(frame) ? this.#matcher.match(frame) : undefined;
    } catch (error) {
      throw error instanceof MalformedFrameError ? this.#blame(error) : error;
    }
  }

  /** What requests are told of a peer that has finished its side. */
  #unanswered(): Error {
    const cause = this.#waiting === 0
      ? undefined
      : new Error(`the peer finished its side, replies still to come: ${this.#waiting}`);
    return this.#blame(new SessionEndedError("peer", { cause }));
  }

  #blame(error: Error): Error {
    (this.#frames as { [BLAME]?(error: Error): void })[BLAME]?.(error);
    return error;
  }

  /** Lets go of the frames if there is nothing left to wait for. */
  #stopReading(): void {
    if (this.#isDone) this.#frames.return().catch((error) => this.#finish(error));
  }

  #finish(cause: unknown): void {
    if (this.#end !== undefined) return;
    this.#end = { cause };
    this.#alarm.clear();
    for (const call of this.#calls()) call.reject(cause);
    this.#stopReading();
    this.#closed.resolve(cause);
  }

  /** Those that are waited for. */
  #calls(): Call<In, Out>[] {
    return [...this.#matcher, ...this.#queue].filter((call) => !call.isSettled);
  }

  /** Gives up what is over, and returns when to look again. */
  #timeOut(now: number): number {
    let next = Infinity;
    for (const call of this.#calls()) {
      if (call.deadline > now) next = Math.min(next, call.deadline);
      else this.#giveUp(call, new RequestTimeoutError(call.timeout, call.isSent));
    }
    return next;
  }
}
