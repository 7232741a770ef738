/** Which request a reply belongs to: by its place in the order, or by an id. */

import { shown } from "../_internal/checks.ts";
import { type Link, LinkedList } from "../_internal/linked_list.ts";
import { MalformedFrameError } from "../errors.ts";
import type { RequestId, RequestsSettings } from "./options.ts";

/** One request, from the call until its reply has come or has been given up for good. */
export class Call<In, Out> {
  /** May be left alone: its rejection never counts as unhandled. */
  readonly promise: Promise<In>;
  readonly id: RequestId | undefined;
  readonly timeout: number;
  /** When the timeout is over, by `performance.now()`. */
  readonly deadline: number;
  /** What is sent; let go of once it was. */
  message: Out | undefined;
  isSent = false;
  isSettled = false;
  /** Its place in the list that holds it, if one does: the queue, later one of its matcher. */
  link: Link<Call<In, Out>> | undefined;
  #signal: AbortSignal | undefined;
  #onAbort: (() => void) | undefined;
  #resolve!: (reply: In) => void;
  #reject!: (error: unknown) => void;

  constructor(message: Out, id: RequestId | undefined, timeout: number) {
    this.message = message;
    this.id = id;
    this.timeout = timeout;
    this.deadline = timeout === Infinity ? Infinity : performance.now() + timeout;
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Who awaits one of several requests is not yet listening to the others when the session ends for them all.
    this.promise.catch(() => {});
  }

  /** Calls `onAbort` if the signal aborts before the call is settled. */
  watch(signal: AbortSignal, onAbort: () => void): void {
    this.#signal = signal;
    this.#onAbort = onAbort;
    signal.addEventListener("abort", onAbort);
  }

  resolve(reply: In): void {
    this.#settle();
    this.#resolve(reply);
  }

  reject(error: unknown): void {
    this.#settle();
    this.#reject(error);
  }

  #settle(): void {
    this.isSettled = true;
    this.message = undefined;
    if (this.#onAbort !== undefined) this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#signal = this.#onAbort = undefined;
  }
}

/** The calls that have been sent and have no reply yet, those that were given up included. */
export interface Matcher<In, Out> extends Iterable<Call<In, Out>> {
  /** How many there are, as far as they count to `maxInFlight`. */
  readonly size: number;
  /** Reads the id of a message, where there are ids. Throws if it cannot be used. */
  identify(message: Out): RequestId | undefined;
  /** Takes note of a call before its turn to be sent. */
  admit(call: Call<In, Out>): void;
  /** The call is being sent. */
  add(call: Call<In, Out>): void;
  /** The call was not sent after all. */
  remove(call: Call<In, Out>): void;
  /** The call was sent, and nobody waits for its reply any more. */
  abandon(call: Call<In, Out>): void;
  /** Takes the call that a frame replies to. */
  match(frame: In): Call<In, Out> | undefined;
}

/** The matcher that the options ask for. */
export function matcherOf<In, Out>(
  { ids, maxInFlight }: RequestsSettings<In, Out>,
): Matcher<In, Out> {
  return ids === undefined ? new InOrder() : new ById(ids, maxInFlight);
}

/** The n-th reply belongs to the n-th request. A call that was given up keeps its place, so that no reply shifts. */
class InOrder<In, Out> implements Matcher<In, Out> {
  readonly #calls = new LinkedList<Call<In, Out>>();

  get size(): number {
    return this.#calls.length;
  }

  identify(): undefined {}

  admit(): void {}

  add(call: Call<In, Out>): void {
    call.link = this.#calls.push(call);
  }

  remove(call: Call<In, Out>): void {
    if (call.link !== undefined) this.#calls.remove(call.link);
  }

  abandon(): void {}

  match(): Call<In, Out> {
    const call = this.#calls.shift();
    if (call !== undefined) return call;
    const problem = "a reply that no request asked for: replies and requests are out of step";
    throw new MalformedFrameError(problem, 0);
  }

  [Symbol.iterator](): Iterator<Call<In, Out>> {
    return this.#calls[Symbol.iterator]();
  }
}

/**
 * A reply names its request. The id of a call that was given up is remembered, so that its late reply is not taken
 * for that of another call; but only as many as may be in flight, since such a reply may never come.
 */
class ById<In, Out> implements Matcher<In, Out> {
  /** By id, those that wait for their turn and those that were given up included. */
  readonly #calls = new Map<unknown, Call<In, Out>>();
  readonly #abandoned = new LinkedList<Call<In, Out>>();
  readonly #ofRequest: (message: Out) => RequestId;
  readonly #ofReply: (frame: In) => unknown;
  readonly #maxAbandoned: number;
  size = 0;

  constructor(ids: NonNullable<RequestsSettings<In, Out>["ids"]>, maxAbandoned: number) {
    this.#ofRequest = ids.ofRequest;
    this.#ofReply = ids.ofReply;
    this.#maxAbandoned = maxAbandoned;
  }

  identify(message: Out): RequestId {
    const id = this.#ofRequest(message);
    if (typeof id !== "string" && typeof id !== "number" && typeof id !== "bigint") {
      throw new TypeError(`an id must be a string, a number or a bigint, got ${shown(id)}`);
    }
    if (!this.#calls.has(id)) return id;
    throw new TypeError(`the id ${String(id)} belongs to a request that has no reply yet`);
  }

  admit(call: Call<In, Out>): void {
    this.#calls.set(call.id, call);
  }

  add(): void {
    this.size++;
  }

  remove(call: Call<In, Out>): void {
    if (this.#calls.get(call.id) === call) this.#take(call);
  }

  abandon(call: Call<In, Out>): void {
    this.size--;
    call.link = this.#abandoned.push(call);
    if (this.#abandoned.length > this.#maxAbandoned) {
      this.#calls.delete(this.#abandoned.shift()!.id);
    }
  }

  match(frame: In): Call<In, Out> | undefined {
    const call = this.#calls.get(this.#ofReply(frame));
    if (!call?.isSent) return undefined; // a peer may guess an id whose turn has not come
    this.#take(call);
    return call;
  }

  *[Symbol.iterator](): Generator<Call<In, Out>> {
    for (const call of this.#calls.values()) if (call.isSent) yield call;
  }

  #take(call: Call<In, Out>): void {
    this.#calls.delete(call.id);
    if (call.link !== undefined) this.#abandoned.remove(call.link);
    else if (call.isSent) this.size--;
  }
}
