/** The options of `sessionPool()` and the types of what it returns; `pool.ts` publishes them. */

import { checkDuration, checkFunction, checkInteger, checkSignal } from "../_internal/checks.ts";
import type { Durations } from "../_internal/durations.ts";
import { checkOptions, elsewhere, type Known } from "../_internal/options.ts";
import type { Session } from "../session.ts";
import { CONNECT_OPTIONS, type ConnectOptions } from "./connect.ts";
import { type ConnectAddress, type Target, targetsOf } from "./targets.ts";

/** Options of {@linkcode sessionPool}: those of `connect()`, and the limits. All durations are in milliseconds. */
export interface SessionPoolOptions extends Partial<ConnectOptions> {
  /**
   * Several addresses, instead of `hostname` and `port`. A new session goes to the address with the fewest sessions. If it
   * cannot be dialled, the next address is tried.
   */
  addresses?: readonly ConnectAddress[];
  /**
   * The maximum number of sessions, including those that are being dialled or closed: 1 to 2^20.
   *
   * @default {10}
   */
  maxSessions?: number;
  /**
   * How long a session may be unused before it is closed.
   *
   * @default {60000}
   */
  maxIdleTime?: number;
  /**
   * How many callers may wait beyond those for whom a session is being dialled or checked: 0 to 2^30.
   *
   * @default {1024}
   */
  maxWaiting?: number;
  /**
   * How long a caller without a `timeout` of its own waits; `Infinity` for no limit.
   *
   * @default {30000}
   */
  waitTimeout?: number;
  /**
   * Prepares a new session: greets, logs in. If it fails, the dial counts as failed. That is also so if it leaves input
   * unread, since the next caller would take that for a reply.
   *
   * @param session The session.
   */
  setUp?(session: Session): unknown;
  /**
   * How long `setUp` and `check` may each take. After that, they fail.
   *
   * @default {10000}
   */
  setUpTimeout?: number;
  /**
   * Checks whether a session still works before it is handed out again, for example by a PING. If it returns `false` or
   * fails, the session is aborted, and the caller gets another one.
   *
   * A peer that has left, or has sent anything, is detected without it.
   *
   * @param session The session.
   * @returns Whether it works.
   */
  check?(session: Session): boolean | Promise<boolean>;
  /**
   * How long a session must have been unused to be checked. With 0, each session is checked.
   *
   * @default {1000}
   */
  checkAfter?: number;
  /**
   * Whether a session that is given back may be handed out again: whether no reply is to be expected any more. By
   * default, that is so if all output is written, something was read since, and no reading has stopped waiting without a
   * frame, for example because of a signal or a timeout. In any case, the session must be open, with no unread input and
   * no waiting reading.
   *
   * @param session The session.
   * @returns Whether it may be handed out again.
   */
  isReusable?(session: Session): boolean;
  /** Aborts the pool when it aborts. */
  signal?: AbortSignal;
}

/** Options of `get()` and `use()`. */
export interface SessionLeaseOptions {
  /** Cancels the wait, which then rejects with the signal's reason. */
  signal?: AbortSignal;
  /** How long to wait, in milliseconds; `Infinity` for no limit. Default: the pool's `waitTimeout`. */
  timeout?: number;
}

/** A session of a pool that belongs to one caller until it is given back. */
export interface SessionLease extends AsyncDisposable {
  /**
   * The session.
   *
   * @throws {TypeError} Once it is given back.
   */
  readonly session: Session;
  /**
   * Gives the session back, as `await using` does. If it cannot be handed out again, it is closed. Giving it back twice
   * has no effect.
   *
   * @throws What `isReusable` throws. The session is closed then.
   */
  release(): void;
  /**
   * Ends the session at once. It is not handed out again.
   *
   * @param reason Becomes the cause of its end.
   */
  abort(reason?: unknown): void;
}

/** Figures of a pool. Counts are those since it was made. */
export interface SessionPoolStats {
  /** How many sessions there are, including those that are being dialled, checked or closed. */
  sessions: number;
  /** How many of them are unused. */
  idle: number;
  /** How many of them callers have. */
  leased: number;
  /** How many callers wait. */
  waiting: number;
  /** How often a session was handed out. */
  leases: number;
  /** How long the callers waited that wait no more, with a session or without. */
  waits: Durations;
  /** How many callers were refused: at once by `maxWaiting`, or after their `waitTimeout`. */
  refusals: Record<"maxWaiting" | "waitTimeout", number>;
  /** How often an address was dialled. */
  dials: number;
  /** How many of these dials have failed, or their `setUp`. */
  dialErrors: number;
}

/** A pool of sessions, each of which is lent to one caller at a time. */
export interface SessionPool extends AsyncDisposable {
  /** How many sessions there are, including those that are being dialled or closed. */
  readonly sessions: number;
  /** How many of them are unused. */
  readonly idle: number;
  /** How many callers wait. */
  readonly waiting: number;
  /**
   * Returns the current figures.
   *
   * @returns The figures.
   */
  stats(): SessionPoolStats;
  /**
   * Waits for an unused session, or dials a new one. Callers are served in their order.
   *
   * @param options `signal` and `timeout`.
   * @returns The session, to be given back: `await using lease = await pool.get()`.
   * @throws {PoolExhaustedError} If no session became free in time, or too many callers wait already.
   * @throws {TypeError} After `close()`.
   * @throws The error of `connect()` or `setUp`. Each failed dial rejects one caller, the last in the queue. Without any
   * session, it rejects all callers that no other dial is made for.
   */
  get(options?: SessionLeaseOptions): Promise<SessionLease>;
  /**
   * Calls a function with a session, and then gives the session back. If the function throws, the session is aborted, since
   * a reply may still come.
   *
   * @param handler Called with the session.
   * @param options `signal` and `timeout` of the wait.
   * @returns What the function returns.
   * @throws What `get()` throws, and what the function throws.
   */
  use<Result>(
    handler: (session: Session) => Result | Promise<Result>,
    options?: SessionLeaseOptions,
  ): Promise<Result>;
  /**
   * Hands out no more sessions, rejects waiting callers with an `AbortError`, and closes each session once it is given back.
   *
   * @returns Resolves when all sessions have ended. Never rejects.
   */
  close(): Promise<void>;
  /**
   * Ends all sessions at once, including those in use.
   *
   * @param reason What waiting callers reject with, and the cause of the ends. By default, an `AbortError`.
   */
  abort(reason?: unknown): void;
}

const SESSION_POOL_OPTIONS: Known<SessionPoolOptions> = {
  ...CONNECT_OPTIONS,
  addresses: elsewhere,
  maxSessions: elsewhere,
  maxIdleTime: elsewhere,
  maxWaiting: elsewhere,
  waitTimeout: elsewhere,
  setUp: checkFunction,
  setUpTimeout: elsewhere,
  check: checkFunction,
  checkAfter: elsewhere,
  isReusable: checkFunction,
};

export const SESSION_LEASE_OPTIONS: Known<SessionLeaseOptions> = {
  signal: checkSignal,
  timeout: elsewhere,
};

/** The resolved options of `sessionPool()`. */
export interface SessionPoolSettings {
  targets: readonly Target[];
  maxSessions: number;
  maxIdleTime: number;
  maxWaiting: number;
  waitTimeout: number;
  setUp: ((session: Session) => unknown) | undefined;
  setUpTimeout: number;
  check: ((session: Session) => boolean | Promise<boolean>) | undefined;
  checkAfter: number;
  isReusable: ((session: Session) => boolean) | undefined;
  signal: AbortSignal | undefined;
}

/** Checks the options and fills in the defaults. Throws a `TypeError` or `RangeError` for an invalid one. */
export function resolveSessionPoolOptions(options: SessionPoolOptions): SessionPoolSettings {
  checkOptions(options, SESSION_POOL_OPTIONS);
  const {
    addresses,
    maxSessions = 10,
    maxIdleTime = 60_000,
    maxWaiting = 1024,
    waitTimeout = 30_000,
    setUp,
    setUpTimeout = 10_000,
    check,
    checkAfter = 1_000,
    isReusable,
    signal,
    ...dialling
  } = options;
  return {
    targets: targetsOf(dialling, addresses),
    maxSessions: checkInteger("maxSessions", maxSessions, 1, 2 ** 20),
    maxIdleTime: checkDuration("maxIdleTime", maxIdleTime),
    maxWaiting: checkInteger("maxWaiting", maxWaiting, 0, 2 ** 30),
    waitTimeout: checkDuration("waitTimeout", waitTimeout),
    setUp,
    setUpTimeout: checkDuration("setUpTimeout", setUpTimeout),
    check,
    checkAfter: checkAfter === 0 ? 0 : checkDuration("checkAfter", checkAfter),
    isReusable,
    signal,
  };
}
