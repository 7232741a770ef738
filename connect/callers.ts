import { type Link, LinkedList } from "../_internal/linked_list.ts";

/** Somebody who waits for something. */
export interface Caller<Result> {
  readonly result: PromiseWithResolvers<Result>;
  /** How long to wait, in milliseconds, and until when by `performance.now()`. */
  readonly timeout: number;
  readonly deadline: number;
  readonly signal: AbortSignal | undefined;
  onAbort?: () => void;
  link?: Link<Caller<Result>>;
}

/** Those who wait for something, in the order in which they came. */
export class Callers<Result> implements Iterable<Caller<Result>> {
  readonly #list = new LinkedList<Caller<Result>>();

  get length(): number {
    return this.#list.length;
  }

  get first(): Caller<Result> | undefined {
    return this.#list.first;
  }

  add(timeout: number, signal: AbortSignal | undefined): Caller<Result> {
    const deadline = timeout === Infinity ? Infinity : performance.now() + timeout;
    const caller: Caller<Result> = { result: Promise.withResolvers(), timeout, deadline, signal };
    caller.link = this.#list.push(caller);
    if (signal !== undefined) {
      caller.onAbort = () => this.take(caller).reject(signal.reason);
      signal.addEventListener("abort", caller.onAbort);
    }
    return caller;
  }

  /** Takes one of them out, to be given the result. */
  take({ result, link, signal, onAbort }: Caller<Result>): PromiseWithResolvers<Result> {
    this.#list.remove(link!);
    if (onAbort !== undefined) signal!.removeEventListener("abort", onAbort);
    return result;
  }

  /** Rejects all but so many, those who came last. */
  rejectBeyond(count: number, reason: unknown): void {
    while (this.length > count) this.take(this.#list.last!).reject(reason);
  }

  /** All of them, as they are now. */
  [Symbol.iterator](): Iterator<Caller<Result>> {
    return [...this.#list][Symbol.iterator]();
  }
}
