/** Sessions that are kept for the next caller. Here: `sessionPool()`. */

import { Alarm } from "../_internal/alarm.ts";
import { checkDuration, checkFunction } from "../_internal/checks.ts";
import { checkOptions, NO_OPTIONS } from "../_internal/options.ts";
import { PoolExhaustedError } from "../errors.ts";
import type { Session } from "../session.ts";
import { Callers } from "./callers.ts";
import { Places } from "./places.ts";
import {
  resolveSessionPoolOptions,
  SESSION_LEASE_OPTIONS,
  type SessionLease,
  type SessionLeaseOptions,
  type SessionPool,
  type SessionPoolOptions,
  type SessionPoolSettings,
} from "./pool_options.ts";
import type { Pooled } from "./pooled.ts";
import { isOwnError, withinSetUp } from "./set_up.ts";

export type {
  SessionLease,
  SessionLeaseOptions,
  SessionPool,
  SessionPoolOptions,
} from "./pool_options.ts";

/**
 * Makes a pool of sessions, for clients that make one request at a time on each: whoever has something to ask takes a
 * session out of the pool and gives it back afterwards. Nothing is dialled before the first is asked for.
 *
 * A session that may still be sent a reply to somebody else's request is never handed out again. Where code may throw
 * within a reply of several parts, `use()` is the safe way: it aborts the session then.
 *
 * @param options Where to, how the sessions behave, and what bounds the pool.
 * @returns The pool.
 * @throws {TypeError | RangeError} If an option is wrong.
 *
 * @example
 * ```ts
 * import { serve, sessionPool } from "@parley/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = serve({ port: 0 }, async (session) => {
 *   for await (const name of session.lines()) await session.send(`hello, ${name}!\n`);
 * });
 * const { port } = server.addr as Deno.NetAddr;
 *
 * await using pool = sessionPool({ port, maxSessions: 2 });
 * async function greet(name: string): Promise<string | undefined> {
 *   await using lease = await pool.get();
 *   await lease.session.send(`${name}\n`);
 *   return await lease.session.readLine();
 * }
 * assertEquals(
 *   await Promise.all(["rose", "think", "babala"].map(greet)),
 *   ["hello, rose!", "hello, think!", "hello, babala!"],
 * );
 * assertEquals(server.stats().accepted, 2);
 * ```
 */
export function sessionPool(options: SessionPoolOptions): SessionPool {
  return new Pool(resolveSessionPoolOptions(options));
}

/**
 * Callers wait in one queue, and whatever session becomes free goes to the first of them. Each dial and each check is
 * made for one caller more that waits, but not for a certain one.
 */
class Pool implements SessionPool {
  readonly #settings: SessionPoolSettings;
  readonly #places: Places;
  readonly #members = new Set<Pooled>();
  /** Those that nobody uses, the one that was used last at the end. */
  readonly #idle: Pooled[] = [];
  readonly #callers = new Callers<SessionLease>();
  #dials = 0;
  /** Checks and dials: how many callers have a session coming. */
  #coming = 0;
  #lastFailure: unknown;
  /** What callers get from now on. */
  #refusal: { error: unknown } | undefined;
  readonly #stop = new AbortController();
  readonly #gone = Promise.withResolvers<void>();
  readonly #alarm = new Alarm((now) => this.#onAlarm(now));

  constructor(settings: SessionPoolSettings) {
    this.#settings = settings;
    this.#places = new Places(settings.targets);
  }

  get sessions(): number {
    return this.#members.size + this.#dials;
  }

  get idle(): number {
    return this.#idle.length;
  }

  get waiting(): number {
    return this.#callers.length;
  }

  async get(options: SessionLeaseOptions = NO_OPTIONS): Promise<SessionLease> {
    checkOptions(options, SESSION_LEASE_OPTIONS);
    const { maxSessions, maxWaiting, waitTimeout, signal: poolSignal } = this.#settings;
    const { signal } = options;
    const timeout = options.timeout === undefined
      ? waitTimeout
      : checkDuration("timeout", options.timeout);
    signal?.throwIfAborted();
    if (poolSignal?.aborted) this.#onAbort();
    if (this.#refusal !== undefined) throw this.#refusal.error;
    const caller = this.#callers.add(timeout, signal);
    this.#serve();
    if (!caller.link!.isListed) return await caller.result.promise;
    const waiting = this.#callers.length - this.#coming - 1;
    if (waiting >= maxWaiting) {
      this.#callers.take(caller).reject(new PoolExhaustedError(maxSessions, waiting, 0));
    } else this.#alarm.set(caller.deadline);
    return await caller.result.promise;
  }

  async use<Result>(
    handler: (session: Session) => Result | Promise<Result>,
    options: SessionLeaseOptions = NO_OPTIONS,
  ): Promise<Result> {
    checkFunction("handler", handler);
    const lease = await this.get(options);
    let result: Result;
    try {
      result = await handler(lease.session);
    } catch (error) {
      lease.abort(error);
      throw error;
    }
    lease.release();
    return result;
  }

  async close(): Promise<void> {
    const reason = new DOMException("the pool was closed", "AbortError");
    this.#end(reason, new TypeError("cannot get a session after close()"));
    for (const pooled of [...this.#idle]) this.#wake(pooled).close();
    this.#look();
    await this.#gone.promise;
  }

  abort(reason: unknown = new DOMException("the pool was aborted", "AbortError")): void {
    this.#end(reason, reason);
    for (const { session } of [...this.#members]) session.abort(reason);
    this.#look();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  readonly #onAbort = (): void => this.abort(this.#settings.signal!.reason);

  /** Rejects those who wait with `reason`, and all who come later with `refusal`. */
  #end(reason: unknown, refusal: unknown): void {
    if (this.#refusal !== undefined) return;
    this.#refusal = { error: refusal };
    this.#stop.abort(reason);
    this.#callers.rejectBeyond(0, reason);
  }

  /** Sees to it that each caller that waits has a session coming, as far as there may be so many. */
  #serve(): void {
    while (this.#callers.length > this.#coming) {
      const pooled = this.#idle.at(-1);
      if (pooled !== undefined) this.#takeIdle(pooled);
      else if (this.sessions < this.#settings.maxSessions) this.#dial();
      else return;
    }
  }

  async #dial(): Promise<void> {
    this.#coming++;
    this.#dials++;
    this.#watchSignal();
    try {
      const pooled = await this.#places.dial(this.#settings, this.#stop.signal);
      this.#members.add(pooled);
      pooled.session.closed.then(() => this.#onEnd(pooled));
      this.#dials--;
      this.#coming--;
      this.#lastFailure = undefined;
      this.#offer(pooled);
    } catch (error) {
      this.#dials--;
      this.#coming--;
      this.#onFailure(error);
    }
  }

  /** Somebody has to be told, or else everybody would wait for what does not come. */
  #onFailure(error: unknown): void {
    this.#lastFailure = error;
    const others = this.#members.size === 0 ? 0 : this.#callers.length - 1;
    this.#callers.rejectBeyond(Math.max(this.#coming, others), error);
    this.#serve();
    this.#look();
  }

  /** Takes a session that nobody uses for a caller that waits; if it is to be checked, once it was. */
  async #takeIdle(pooled: Pooled): Promise<void> {
    const { check, checkAfter, setUpTimeout } = this.#settings;
    const session = this.#wake(pooled);
    if (check === undefined || performance.now() - pooled.restsSince < checkAfter) {
      return this.#offer(pooled);
    }
    this.#coming++;
    const limit = { address: pooled.address, timeout: setUpTimeout, what: "answer to check" };
    try {
      if (!await withinSetUp(session, check, limit)) session.abort();
      this.#coming--;
      this.#offer(pooled);
    } catch (error) {
      session.abort(error);
      this.#coming--;
      if (isOwnError(error, pooled.life)) this.#onFailure(error);
      else this.#serve();
    }
  }

  /** Gives a session to the first caller, or keeps it for the next. */
  #offer(pooled: Pooled): void {
    const { signal } = this.#stop;
    if (signal.aborted) return void pooled.session.abort(signal.reason);
    if (!pooled.life.isAtRest) {
      pooled.session.abort();
      return this.#serve();
    }
    const caller = this.#callers.first;
    if (caller === undefined) return this.#keep(pooled);
    this.#callers.take(caller).resolve(pooled.lend(() => this.#onReturn(pooled)));
  }

  #onReturn(pooled: Pooled): void {
    const { session, life } = pooled;
    const { isReusable } = this.#settings;
    let isGood = false;
    try {
      isGood = life.isAtRest &&
        (isReusable === undefined ? pooled.isAnswered : isReusable(session));
    } finally {
      if (isGood && this.#refusal === undefined) this.#offer(pooled);
      else if (life.reader.wasGivenUp) session.abort(); // whoever has given up a request does not wait for its reply
      else session.close();
    }
  }

  #keep(pooled: Pooled): void {
    this.#idle.push(pooled);
    pooled.rest(() => this.#wake(pooled).abort());
    this.#alarm.set(pooled.restsSince + this.#settings.maxIdleTime);
  }

  /** Takes a session out of those that nobody uses. */
  #wake(pooled: Pooled): Session {
    const at = this.#idle.indexOf(pooled);
    if (at >= 0) this.#idle.splice(at, 1);
    pooled.wake();
    return pooled.session;
  }

  #onEnd(pooled: Pooled): void {
    this.#members.delete(pooled);
    this.#wake(pooled);
    this.#places.onEnd(pooled);
    this.#serve();
    this.#look();
  }

  /** Looks whether there is nothing left to be closed, nor to be aborted: then nobody waits, either. */
  #look(): void {
    if (this.sessions > 0) return;
    this.#alarm.clear();
    this.#settings.signal?.removeEventListener("abort", this.#onAbort);
    if (this.#stop.signal.aborted) this.#gone.resolve();
  }

  /** The signal is listened to only while there is something to abort: a pool that is dropped leaves no listener. */
  #watchSignal(): void {
    this.#settings.signal?.addEventListener("abort", this.#onAbort);
  }

  /** Rejects who has waited too long, closes what was unused for too long, and says when to look again. */
  #onAlarm(now: number): number {
    const { maxIdleTime, maxSessions } = this.#settings;
    let next = Infinity;
    const cause = this.#lastFailure;
    const options = cause === undefined ? {} : { cause };
    for (const caller of this.#callers) {
      const { deadline, timeout } = caller;
      if (deadline > now) next = Math.min(next, deadline);
      else {
        const waiting = this.#callers.length;
        const error = new PoolExhaustedError(maxSessions, waiting, timeout, options);
        this.#callers.take(caller).reject(error);
      }
    }
    for (const pooled of [...this.#idle]) {
      const until = pooled.restsSince + maxIdleTime;
      if (until > now) next = Math.min(next, until);
      else this.#wake(pooled).close();
    }
    return next;
  }
}
