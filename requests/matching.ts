/** Matches replies with requests: by their order, or by an id. */

import { shown } from "../_internal/checks.ts";
import { LinkedList } from "../_internal/linked_list.ts";
import { SlotMap } from "../_internal/slot_map.ts";
import { MalformedFrameError } from "../errors.ts";
import type { Call } from "./call.ts";
import type { RequestId, RequestsSettings } from "./options.ts";

/** The calls that were sent and whose replies are not complete, including abandoned ones. */
export interface Matcher<In, Out> extends Iterable<Call<In, Out>> {
  /** How many calls count for `maxInFlight`. */
  readonly size: number;
  /** Reads the id of a message, if there are ids. Throws if the id is invalid. */
  identify(message: Out): RequestId | undefined;
  /** Registers a call before it is sent. */
  admit(call: Call<In, Out>): void;
  /** The call is being sent. */
  add(call: Call<In, Out>): void;
  /** The call was not sent. */
  remove(call: Call<In, Out>): void;
  /** The call was sent, but its reply is not awaited any more. */
  abandon(call: Call<In, Out>): void;
  /** Finds the call that a frame belongs to, and removes the call if the frame is the last one of its reply. */
  match(frame: In): Call<In, Out> | undefined;
  /** Removes all calls that were sent, and returns those whose replies are awaited. */
  reset(): Call<In, Out>[];
}

/** Makes the matcher for the options. */
export function matcherOf<In, Out>(
  { ids, isReply, maxInFlight }: RequestsSettings<In, Out>,
): Matcher<In, Out> {
  if (ids === undefined) return new InOrder(isReply);
  const byId = new ById(ids, maxInFlight);
  return isReply === undefined ? byId : new Both(byId, new InOrder(isReply));
}

/** The n-th reply belongs to the n-th request. An abandoned call keeps its place, so that later replies still match. */
class InOrder<In, Out> implements Matcher<In, Out> {
  #calls = new LinkedList<Call<In, Out>>();
  readonly #isReply: ((frame: In) => boolean) | undefined;

  constructor(isReply: ((frame: In) => boolean) | undefined) {
    this.#isReply = isReply;
  }

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

  match(frame: In): Call<In, Out> | undefined {
    if (this.#isReply !== undefined && !this.#isReply(frame)) return;
    const call = this.#calls.first;
    if (call === undefined) {
      const problem = "a reply without a request: replies and requests are out of step";
      throw new MalformedFrameError(problem, 0);
    }
    if (call.endsWith(frame)) this.#calls.shift();
    return call;
  }

  reset(): Call<In, Out>[] {
    const calls = unsettled(this);
    this.#calls = new LinkedList();
    return calls;
  }

  [Symbol.iterator](): Iterator<Call<In, Out>> {
    return this.#calls[Symbol.iterator]();
  }
}

/**
 * A reply contains the id of its request. The ids of abandoned calls are remembered, so that a late reply is not taken for
 * that of another call. Only as many are remembered as may be in flight, since the late replies may never come.
 */
class ById<In, Out> implements Matcher<In, Out> {
  /** All calls by id, including those that were not sent and those that were abandoned. */
  readonly #calls = new SlotMap<RequestId, Call<In, Out>>();
  #abandoned = new LinkedList<Call<In, Out>>();
  readonly #maxAbandoned: number;
  readonly ofRequest: (message: Out) => RequestId | undefined;
  readonly ofReply: (frame: In) => unknown;
  size = 0;

  constructor(ids: NonNullable<RequestsSettings<In, Out>["ids"]>, maxAbandoned: number) {
    this.ofRequest = ids.ofRequest;
    this.ofReply = ids.ofReply;
    this.#maxAbandoned = maxAbandoned;
  }

  identify(message: Out): RequestId {
    return this.check(this.ofRequest(message));
  }

  /** Throws unless an id can be used. */
  check(id: unknown): RequestId {
    if (typeof id !== "string" && typeof id !== "number" && typeof id !== "bigint") {
      throw new TypeError(`an id must be a string, a number or a bigint, got ${shown(id)}`);
    }
    if (this.#calls.get(id) === undefined) return id;
    throw new TypeError(`the id ${String(id)} belongs to a request that has no reply yet`);
  }

  admit(call: Call<In, Out>): void {
    this.#calls.add(call.id!, call);
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
      this.#calls.delete(this.#abandoned.shift()!.id!);
    }
  }

  match(frame: In): Call<In, Out> | undefined {
    return this.matchId(this.ofReply(frame), frame);
  }

  matchId(id: unknown, frame: In): Call<In, Out> | undefined {
    const call = this.#calls.get(id);
    if (!call?.isSent) return undefined; // a peer may guess the id of a call that was not sent
    if (call.endsWith(frame)) this.#take(call);
    return call;
  }

  reset(): Call<In, Out>[] {
    const calls = unsettled(this);
    for (const call of [...this]) this.#calls.delete(call.id!);
    this.#abandoned = new LinkedList();
    this.size = 0;
    return calls;
  }

  *[Symbol.iterator](): Generator<Call<In, Out>> {
    for (const call of this.#calls.values()) if (call.isSent) yield call;
  }

  #take(call: Call<In, Out>): void {
    this.#calls.delete(call.id!);
    if (call.link !== undefined) this.#abandoned.remove(call.link);
    else if (call.isSent) this.size--;
  }
}

/** Requests with ids, and requests without ids, whose replies come in their order. */
class Both<In, Out> implements Matcher<In, Out> {
  readonly #byId: ById<In, Out>;
  readonly #inOrder: InOrder<In, Out>;

  constructor(byId: ById<In, Out>, inOrder: InOrder<In, Out>) {
    this.#byId = byId;
    this.#inOrder = inOrder;
  }

  get size(): number {
    return this.#byId.size + this.#inOrder.size;
  }

  identify(message: Out): RequestId | undefined {
    const id = this.#byId.ofRequest(message);
    return id === undefined ? undefined : this.#byId.check(id);
  }

  admit(call: Call<In, Out>): void {
    if (call.id !== undefined) this.#byId.admit(call);
  }

  add(call: Call<In, Out>): void {
    if (call.id === undefined) this.#inOrder.add(call);
    else this.#byId.add();
  }

  remove(call: Call<In, Out>): void {
    this.#of(call).remove(call);
  }

  abandon(call: Call<In, Out>): void {
    this.#of(call).abandon(call);
  }

  match(frame: In): Call<In, Out> | undefined {
    const id = this.#byId.ofReply(frame);
    return id === undefined ? this.#inOrder.match(frame) : this.#byId.matchId(id, frame);
  }

  reset(): Call<In, Out>[] {
    return [...this.#byId.reset(), ...this.#inOrder.reset()];
  }

  *[Symbol.iterator](): Generator<Call<In, Out>> {
    yield* this.#byId;
    yield* this.#inOrder;
  }

  #of(call: Call<In, Out>): Matcher<In, Out> {
    return call.id === undefined ? this.#inOrder : this.#byId;
  }
}

function unsettled<In, Out>(calls: Iterable<Call<In, Out>>): Call<In, Out>[] {
  return [...calls].filter(({ isSettled }) => !isSettled);
}
