import { attempt } from "../_internal/attempt.ts";
import { checkFunction } from "../_internal/checks.ts";
import type { Lifecycle } from "../session/lifecycle.ts";
import { SessionGroup } from "../session/group.ts";
import { connectWithin } from "./connect.ts";
import { type SessionEnd, SessionEndedError } from "../errors.ts";
import {
  type ReconnectingClient,
  type ReconnectObserver,
  type ReconnectOptions,
  type ReconnectSettings,
  resolveReconnectOptions,
} from "./reconnect_options.ts";
import { Session } from "../session.ts";

export type {
  ReconnectAddress,
  ReconnectingClient,
  ReconnectObserver,
  ReconnectOptions,
} from "./reconnect_options.ts";

/**
 * Makes a client that comes back: it dials, and whenever its session has ended or a dial has failed, waits a random
 * while and dials again. Nothing is dialled before the first session is asked for.
 *
 * @param options Where to, how the sessions behave, and how to come back.
 * @returns The client. Loop over its sessions, or have it call a handler for each: `client.run(handler)`.
 * @throws {TypeError | RangeError} If an option is wrong.
 *
 * @example A subscriber that survives its server
 * ```ts
 * import { reconnect, serve } from "@parley/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = serve({ port: 0 }, (session) => session.send(`news ${session.id}\n`));
 *
 * const { port } = server.addr as Deno.NetAddr;
 * const client = reconnect({ port });
 * const news: string[] = [];
 * await client.run(async (session) => {
 *   for await (const line of session.lines()) news.push(line);
 *   if (session.id === 3) client.close();
 * });
 * assertEquals(news, ["news 1", "news 2", "news 3"]);
 * ```
 */
export function reconnect(options: ReconnectOptions): ReconnectingClient {
  return new Client(resolveReconnectOptions(options));
}

const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined };

/** What follows a dial or a session. */
interface Verdict {
  /** After how many milliseconds to dial again, `Infinity` for never. */
  readonly retryIn: number;
  /** When that is, by `performance.now()`. */
  readonly dialAt: number;
  /** What the client is to fail with. */
  readonly failure?: { readonly error: unknown };
}

const ENOUGH: Verdict = { retryIn: Infinity, dialAt: Infinity };

/**
 * Everything is done on behalf of a waiting `next()`, one step after the other: so there is never a second dial, and
 * no session beside another. Only the end of a session is judged when it comes.
 */
class Client implements ReconnectingClient {
  readonly #settings: ReconnectSettings;
  readonly #group: SessionGroup<Session> = new SessionGroup();
  /** Aborts when the client is closed or aborted, and with it whatever waits. */
  readonly #stop = new AbortController();
  readonly #closing = new DOMException("the client was closed", "AbortError");
  #dials = 0;
  #failures = 0;
  #session: Session | undefined;
  #life: Lifecycle | undefined;
  #verdict: Promise<Verdict> | undefined;
  #pending: Promise<IteratorResult<Session, undefined>> | undefined;
  #isOver = false;

  constructor(settings: ReconnectSettings) {
    this.#settings = settings;
  }

  get session(): Session | undefined {
    return this.#session;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Session, undefined>> {
    if (this.#pending !== undefined) {
      const problem = "another next() of this client waits already: one at a time";
      return Promise.reject(new TypeError(problem));
    }
    if (this.#isOver) return Promise.resolve(DONE);
    return this.#pending = this.#step().finally(() => {
      this.#pending = undefined;
      this.#unwatch();
    });
  }

  async return(): Promise<IteratorReturnResult<undefined>> {
    await this.close();
    return DONE;
  }

  async run(handler: (session: Session) => unknown): Promise<void> {
    checkFunction("handler", handler);
    for await (const session of this) {
      const life = this.#life!;
      try {
        await handler(session);
      } catch (error) {
        life.fail(error);
        if (!life.threw(error)) throw error;
      }
    }
  }

  async close(): Promise<void> {
    this.#isOver = true;
    this.#stop.abort(this.#closing);
    this.#session?.close();
    await this.#pending?.catch(() => {}); // whoever called next() is told
    await this.#verdict;
  }

  abort(reason?: unknown): void {
    this.#stop.abort(reason);
    this.#session?.abort(reason ?? this.#stop.signal.reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  readonly #onAbort = (): void => this.abort(this.#settings.signal!.reason);

  async #step(): Promise<IteratorResult<Session, undefined>> {
    const { signal } = this.#settings;
    try {
      if (signal?.aborted) this.#onAbort();
      signal?.addEventListener("abort", this.#onAbort);
      const session = await this.#reach();
      if (session !== undefined) return { done: false, value: session };
    } catch (error) {
      this.#isOver = true;
      if (error !== this.#closing) throw error;
    }
    this.#isOver = true;
    return DONE;
  }

  /** The signal is listened to only while there is something to abort: a client that is dropped leaves no listener. */
  #unwatch(): void {
    if (this.#pending !== undefined || this.#session !== undefined) return;
    this.#settings.signal?.removeEventListener("abort", this.#onAbort);
  }

  /** Comes to the next session, `undefined` if there is to be none. */
  async #reach(): Promise<Session | undefined> {
    const { signal } = this.#stop;
    this.#session?.close();
    let verdict = await this.#verdict;
    for (;;) {
      signal.throwIfAborted();
      if (verdict !== undefined) {
        if (verdict.failure !== undefined) throw verdict.failure.error;
        if (verdict === ENOUGH) return;
        await this.#rest(Math.max(0, verdict.dialAt - performance.now()));
      }
      const outcome = await this.#dial();
      if (!(outcome instanceof Session)) verdict = outcome;
      else if (signal.aborted) verdict = await this.#verdict; // it was ended as it began
      else return outcome;
    }
  }

  /** Dials once: to a session, or to what follows its failure. */
  async #dial(): Promise<Session | Verdict> {
    const { targets } = this.#settings;
    const { signal } = this.#stop;
    const { options, address } = targets[this.#dials++ % targets.length]!;
    const number = this.#failures + 1;
    this.#tell("onDial", address, number);
    try {
      const session = await connectWithin(this.#group, { ...options, signal });
      this.#attend(session);
      return session;
    } catch (error) {
      this.#failures = number;
      const verdict = await this.#judge(error);
      this.#tell("onDialError", error, number, verdict.retryIn);
      return verdict;
    }
  }

  #attend(session: Session): void {
    const { aborted, reason } = this.#stop.signal;
    this.#life = this.#group.members.get(session); // which it has joined in this very turn
    this.#session = session;
    this.#verdict = session.closed.then((end) => this.#onEnd(session, end));
    this.#tell("onSessionStart", session);
    if (aborted) session.abort(reason); // its dial was too far to be called off
  }

  /** Never rejects: it may be long until anyone asks. */
  async #onEnd(session: Session, end: SessionEnd): Promise<Verdict> {
    this.#session = undefined;
    this.#unwatch();
    this.#failures = end.duration >= this.#settings.resetAfter ? 0 : this.#failures + 1;
    const verdict = await this.#judge(new SessionEndedError(end.reason, { cause: end.cause }));
    this.#tell("onSessionEnd", session, end, verdict.retryIn);
    return verdict;
  }

  /** What follows from `error`, a dial's or the end of a session. */
  async #judge(error: unknown): Promise<Verdict> {
    const { maxAttempts, shouldRetry, random } = this.#settings;
    if (this.#stop.signal.aborted) return ENOUGH;
    try {
      if (this.#failures >= maxAttempts) throw error;
      if (await this.#unlessStopped(shouldRetry(error, this.#failures))) {
        const retryIn = Math.round(random() * this.#longestDelay());
        return { retryIn, dialAt: performance.now() + retryIn };
      }
      if (error instanceof SessionEndedError) return ENOUGH;
      throw error;
    } catch (error) {
      return { ...ENOUGH, failure: { error } };
    }
  }

  #longestDelay(): number {
    const { targets, minDelay, maxDelay } = this.#settings;
    const rounds = Math.floor(Math.max(0, this.#failures - 1) / targets.length);
    return Math.min(maxDelay, minDelay * 2 ** rounds);
  }

  /** Settles as `answer` does, or rejects when the client stops. */
  #unlessStopped<T>(answer: T | Promise<T>): Promise<T> {
    const { signal } = this.#stop;
    return new Promise((resolve, reject) => {
      if (signal.aborted) reject(signal.reason); // by whoever was asked
      const onAbort = () => reject(signal.reason);
      signal.addEventListener("abort", onAbort);
      Promise.resolve(answer).then(resolve, reject).finally(() =>
        signal.removeEventListener("abort", onAbort)
      );
    });
  }

  /** Waits for so many milliseconds, or rejects when the client stops. */
  #rest(duration: number): Promise<void> {
    const { signal } = this.#stop;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      }, duration);
      const onAbort = () => {
        clearTimeout(timer);
        reject(signal.reason);
      };
      signal.addEventListener("abort", onAbort);
    });
  }

  #tell<Event extends keyof ReconnectObserver>(
    event: Event,
    ...args: Parameters<Required<ReconnectObserver>[Event]>
  ): void {
    const { observer, onError } = this.#settings;
    attempt(
      () =>
        (observer[event] as ((...args: unknown[]) => unknown) | undefined)?.call(observer, ...args),
      (error) => attempt(() => onError(error), () => {}),
    );
  }
}
