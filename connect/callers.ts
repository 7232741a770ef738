import { addDuration, type Durations, noDurations, WAITS } from "../_internal/durations.ts";
import { type Link, LinkedList } from "../_internal/linked_list.ts";

/** A caller that waits for a result. */
export interface Caller<Result> {
  readonly result: PromiseWithResolvers<Result>;
  /** Since when it waits, by `performance.now()`. */
  readonly since: number;
  /** How long the caller waits, in milliseconds. */
  readonly timeout: number;
  /** Until when it waits. */
  readonly deadline: number;
  readonly signal: AbortSignal | undefined;
  /** Whether there was no result at once. */
  hasWaited: boolean;
  onAbort?: () => void;
  link?: Link<Caller<Result>>;
}

/** A queue of callers. */
export class Callers<Result> implements Iterable<Caller<Result>> {
  /** How long those have waited who wait no more. */
  readonly waits: Durations = noDurations(WAITS);
  readonly #list = new LinkedList<Caller<Result>>();

  get length(): number {
    return this.#list.length;
  }

  get first(): Caller<Result> | undefined {
    return this.#list.first;
  }

  add(timeout: number, signal: AbortSignal | undefined): Caller<Result> {
    const since = performance.now();
    const deadline = since + timeout;
    const caller: Caller<Result> = {
      result: Promise.withResolvers(),
      since,
      timeout,
      deadline,
      signal,
      hasWaited: false,
    };
    caller.link = this.#list.push(caller);
    if (signal !== undefined) {
      caller.onAbort = () => this.take(caller).reject(signal.reason);
      signal.addEventListener("abort", caller.onAbort);
    }
    return caller;
  }

  /** Removes a caller from the queue, to settle its result. */
  take(
    { result, since, hasWaited, link, signal, onAbort }: Caller<Result>,
  ): PromiseWithResolvers<Result> {
    this.#list.remove(link!);
    addDuration(this.waits, WAITS, hasWaited ? performance.now() - since : 0);
    if (onAbort !== undefined) signal!.removeEventListener("abort", onAbort);
    return result;
  }

  /** Rejects the last callers, so that at most `count` are left. */
  rejectBeyond(count: number, reason: unknown): void {
    while (this.length > count) this.take(this.#list.last!).reject(reason);
  }

  /** Iterates over a copy of the queue. */
  [Symbol.iterator](): Iterator<Caller<Result>> {
    return [...this.#list][Symbol.iterator]();
  }
}
