/** Pools of sessions. This module: `sessionPool()`. */

import { Alarm } from "../_internal/alarm.ts";
import { checkDuration, checkFunction } from "../_internal/checks.ts";
import { checkOptions, NO_OPTIONS } from "../_internal/options.ts";
import { PoolExhaustedError } from "../errors.ts";
import type { Session } from "../session.ts";
import { Callers } from "./callers.ts";
import { PoolAddresses } from "./pool_addresses.ts";
import {
  resolveSessionPoolOptions,
  SESSION_LEASE_OPTIONS,
  type SessionLease,
  type SessionLeaseOptions,
  type SessionPool,
  type SessionPoolOptions,
  type SessionPoolSettings,
  type SessionPoolStats,
} from "./pool_options.ts";
import type { PooledSession } from "./pooled_session.ts";
import { isOwnError, withinSetUp } from "./set_up.ts";

export type {
  SessionLease,
  SessionLeaseOptions,
  SessionPool,
  SessionPoolOptions,
  SessionPoolStats,
} from "./pool_options.ts";

/**
 * Makes a pool of sessions, for protocols with one request at a time on a session. A caller takes a session out of the
 * pool, and gives it back afterwards. The first session is dialled when it is asked for.
 *
 * A session that may still receive a reply to another caller's request is never handed out again. If your code may throw
 * within a reply of several parts, use `use()`, which then aborts the session.
 *
 * @param options Where to connect, how the sessions behave, and the limits.
 * @returns The pool.
 * @throws {TypeError | RangeError} If an option is invalid.
 *
 * @example
 * ```ts
 * import { type NetAddr, serve, sessionPool } from "@parley/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = serve({ port: 0 }, async (session) => {
 *   for await (const name of session.lines()) await session.send(`hello, ${name}!\n`);
 * });
 * const { port } = server.addr as NetAddr;
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
 * Callers wait in one queue, and each session that becomes free goes to the first of them. Each dial and each check is
 * made for one of the waiting callers, but not for a particular one.
 */
class Pool implements SessionPool {
  readonly #settings: SessionPoolSettings;
  readonly #addresses: PoolAddresses;
  readonly #members = new Set<PooledSession>();
  /** The idle sessions. The one that was used last is at the end. */
  readonly #idle: PooledSession[] = [];
  readonly #callers = new Callers<SessionLease>();
  #dials = 0;
  /** How many dials and checks are under way, each for one caller. */
  #pending = 0;
  #leases = 0;
  readonly #refusals = { maxWaiting: 0, waitTimeout: 0 };
  #lastFailure: unknown;
  /** What new callers are refused with, once the pool has ended. */
  #refusal: { error: unknown } | undefined;
  readonly #stop = new AbortController();
  readonly #closed = Promise.withResolvers<void>();
  readonly #alarm = new Alarm((now) => this.#onAlarm(now));

  constructor(settings: SessionPoolSettings) {
    this.#settings = settings;
    this.#addresses = new PoolAddresses(settings.targets);
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

  stats(): SessionPoolStats {
    const { sessions, idle, waiting } = this;
    let leased = 0;
    for (const { isLent } of this.#members) if (isLent) leased++;
    return {
      ...{ sessions, idle, leased, waiting },
      leases: this.#leases,
      waits: structuredClone(this.#callers.waits),
      refusals: { ...this.#refusals },
      ...this.#addresses.counts,
    };
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
    caller.hasWaited = true;
    const waiting = this.#callers.length - this.#pending - 1;
    if (waiting >= maxWaiting) {
      this.#refusals.maxWaiting++;
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
    for (const pooled of [...this.#idle]) this.#removeIdle(pooled).close();
    this.#settleIfEmpty();
    await this.#closed.promise;
  }

  abort(reason: unknown = new DOMException("the pool was aborted", "AbortError")): void {
    this.#end(reason, reason);
    for (const { session } of [...this.#members]) session.abort(reason);
    this.#settleIfEmpty();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  readonly #onAbort = (): void => this.abort(this.#settings.signal!.reason);

  /** Rejects waiting callers with `reason`, and later ones with `refusal`. */
  #end(reason: unknown, refusal: unknown): void {
    if (this.#refusal !== undefined) return;
    this.#refusal = { error: refusal };
    this.#stop.abort(reason);
    this.#callers.rejectBeyond(0, reason);
  }

  /** Gets a session for each waiting caller, as far as `maxSessions` allows. */
  #serve(): void {
    while (this.#callers.length > this.#pending) {
      const pooled = this.#idle.at(-1);
      if (pooled !== undefined) this.#takeIdle(pooled);
      else if (this.sessions < this.#settings.maxSessions) this.#dial();
      else return;
    }
  }

  async #dial(): Promise<void> {
    this.#pending++;
    this.#dials++;
    this.#watchSignal();
    try {
      const pooled = await this.#addresses.dial(this.#settings, this.#stop.signal);
      this.#members.add(pooled);
      pooled.session.closed.then(() => this.#onEnd(pooled));
      this.#dials--;
      this.#pending--;
      this.#lastFailure = undefined;
      this.#offer(pooled);
    } catch (error) {
      this.#dials--;
      this.#pending--;
      this.#onFailure(error);
    }
  }

  /** A dial or a check has failed: rejects one caller, or, without any session, all that no other dial is made for. */
  #onFailure(error: unknown): void {
    this.#lastFailure = error;
    const others = this.#members.size === 0 ? 0 : this.#callers.length - 1;
    this.#callers.rejectBeyond(Math.max(this.#pending, others), error);
    this.#serve();
    this.#settleIfEmpty();
  }

  /** Takes an idle session for a waiting caller, and checks it first if that is due. */
  async #takeIdle(pooled: PooledSession): Promise<void> {
    const { check, checkAfter, setUpTimeout } = this.#settings;
    const session = this.#removeIdle(pooled);
    if (check === undefined || performance.now() - pooled.idleSince < checkAfter) {
      return this.#offer(pooled);
    }
    this.#pending++;
    const limit = { address: pooled.address, timeout: setUpTimeout, what: "answer to check" };
    try {
      if (!await withinSetUp(session, check, limit)) session.abort();
      this.#pending--;
      this.#offer(pooled);
    } catch (error) {
      session.abort(error);
      this.#pending--;
      if (isOwnError(error, pooled.life)) this.#onFailure(error);
      else this.#serve();
    }
  }

  /** Gives a session to the first caller, or keeps it for the next one. */
  #offer(pooled: PooledSession): void {
    const { signal } = this.#stop;
    if (signal.aborted) return void pooled.session.abort(signal.reason);
    if (!pooled.life.canBeHandedOver) {
      pooled.session.abort();
      return this.#serve();
    }
    const caller = this.#callers.first;
    if (caller === undefined) return this.#addIdle(pooled);
    this.#leases++;
    this.#callers.take(caller).resolve(pooled.lend(() => this.#onReturn(pooled)));
  }

  #onReturn(pooled: PooledSession): void {
    pooled.isLent = false;
    const { session, life } = pooled;
    const { isReusable } = this.#settings;
    let isGood = false;
    try {
      isGood = life.canBeHandedOver &&
        (isReusable === undefined ? pooled.isAnswered : isReusable(session));
    } finally {
      if (isGood && this.#refusal === undefined) this.#offer(pooled);
      else if (life.reader.wasGivenUp) session.abort(); // the reply to an abandoned request is not awaited
      else session.close();
    }
  }

  #addIdle(pooled: PooledSession): void {
    this.#idle.push(pooled);
    pooled.beginIdle(() => this.#removeIdle(pooled).abort());
    this.#alarm.set(pooled.idleSince + this.#settings.maxIdleTime);
  }

  #removeIdle(pooled: PooledSession): Session {
    const at = this.#idle.indexOf(pooled);
    if (at >= 0) this.#idle.splice(at, 1);
    pooled.endIdle();
    return pooled.session;
  }

  #onEnd(pooled: PooledSession): void {
    this.#members.delete(pooled);
    this.#removeIdle(pooled);
    this.#addresses.onEnd(pooled);
    this.#serve();
    this.#settleIfEmpty();
  }

  /** If there is no session and no dial, there is nothing to abort, and `close()` is done. No caller waits then. */
  #settleIfEmpty(): void {
    if (this.sessions > 0) return;
    this.#alarm.clear();
    this.#settings.signal?.removeEventListener("abort", this.#onAbort);
    if (this.#stop.signal.aborted) this.#closed.resolve();
  }

  /** Listens to the signal only while there is something to abort, so that a pool that is dropped leaves no listener. */
  #watchSignal(): void {
    this.#settings.signal?.addEventListener("abort", this.#onAbort);
  }

  /** Rejects callers whose time is over, and closes sessions that were idle for too long. Returns the next deadline. */
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
        this.#refusals.waitTimeout++;
        const error = new PoolExhaustedError(maxSessions, waiting, timeout, options);
        this.#callers.take(caller).reject(error);
      }
    }
    for (const pooled of [...this.#idle]) {
      const until = pooled.idleSince + maxIdleTime;
      if (until > now) next = Math.min(next, until);
      else this.#removeIdle(pooled).close();
    }
    return next;
  }
}
