/** The options of `sessionPool()` and the types of what it returns; `pool.ts` publishes them. */

import { checkDuration, checkFunction, checkInteger, checkSignal } from "../_internal/checks.ts";
import { checkOptions, elsewhere, type Known } from "../_internal/options.ts";
import type { Session } from "../session.ts";
import { CONNECT_OPTIONS, type ConnectOptions } from "./connect.ts";
import { type ConnectAddress, type Target, targetsOf } from "./targets.ts";

/** Options of {@linkcode sessionPool}: all those of `connect()`, and what bounds the pool. All durations are milliseconds. */
export interface SessionPoolOptions extends Partial<ConnectOptions> {
  /**
   * Several places to dial, instead of `hostname` and `port`. A new session goes to the place with the fewest, and to
   * another one if it cannot be dialled.
   */
  addresses?: readonly ConnectAddress[];
  /**
   * How many sessions there may be, those that are being dialled or closed included: 1 to 2^20.
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
   * How long a caller waits that says nothing else; `Infinity` for no limit.
   *
   * @default {30000}
   */
  waitTimeout?: number;
  /**
   * Makes a new session ready: greets, logs in. If it fails, so has the dial.
   *
   * @param session The session.
   */
  setUp?(session: Session): unknown;
  /**
   * How long `setUp` may take, and `check`. Past that, it has failed.
   *
   * @default {10000}
   */
  setUpTimeout?: number;
  /**
   * Asks the peer whether a session is still of use, before it is handed out again: sends a PING, say. If it returns
   * `false` or fails, the session is aborted, and the caller gets another one.
   *
   * That the peer has left, or has sent something, is noticed without it.
   *
   * @param session The session.
   * @returns Whether it is.
   */
  check?(session: Session): boolean | Promise<boolean>;
  /**
   * How long a session must have been unused to be checked; 0 for any.
   *
   * @default {1000}
   */
  checkAfter?: number;
  /**
   * Whether a session that is given back may be handed out again: whether no reply to it can still come. By default,
   * if all output is written, something was read since, and no reading has stopped waiting without a frame, as by a
   * signal. Whatever it returns, a session has to be open, with no input unread and no reading that waits.
   *
   * @param session The session.
   * @returns Whether it may.
   */
  isReusable?(session: Session): boolean;
  /** Aborts the pool when it aborts. */
  signal?: AbortSignal;
}

/** Options of `get()` and `use()`. */
export interface SessionLeaseOptions {
  /** Ends the wait: it rejects with the signal's reason. */
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
   * Gives the session back, as `await using` does. If it may not be handed out again, it is closed. To give it back
   * twice does no harm.
   *
   * @throws What `isReusable` throws. The session is closed then.
   */
  release(): void;
  /**
   * Ends the session at once, so that nobody is given it again.
   *
   * @param reason Becomes the cause of its end.
   */
  abort(reason?: unknown): void;
}

/** Sessions that are kept for the next caller. */
export interface SessionPool extends AsyncDisposable {
  /** How many sessions there are, those that are being dialled or closed included. */
  readonly sessions: number;
  /** How many of them nobody uses. */
  readonly idle: number;
  /** How many callers wait. */
  readonly waiting: number;
  /**
   * Waits for a session that nobody else uses: one that is there, or else a new one. Callers get theirs in their order.
   *
   * @param options `signal` and `timeout`.
   * @returns The session, to be given back: `await using lease = await pool.get()`.
   * @throws {PoolExhaustedError} If none became free in time, or too many callers wait already.
   * @throws {TypeError} After `close()`.
   * @throws What `connect()` or `setUp` fails with: for each dial that fails, one caller is given it, who came last. If
   * there is no session, all are for whom no other dial is under way.
   */
  get(options?: SessionLeaseOptions): Promise<SessionLease>;
  /**
   * Calls a function with a session, and gives that back. If the function throws, the session is aborted, since a reply
   * may still come.
   *
   * @param handler What happens with the session.
   * @param options `signal` and `timeout` of the wait.
   * @returns What the function returns.
   * @throws What `get()` throws, and what the function throws.
   */
  use<Result>(
    handler: (session: Session) => Result | Promise<Result>,
    options?: SessionLeaseOptions,
  ): Promise<Result>;
  /**
   * Hands out no more sessions, rejects those who wait with an `AbortError`, and closes each session once nobody uses it.
   *
   * @returns Resolves when all have ended. Never rejects.
   */
  close(): Promise<void>;
  /**
   * Ends all sessions at once, those that somebody uses, too.
   *
   * @param reason What those who wait are rejected with, and the cause of the ends. By default, an `AbortError`.
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

/** Options with nothing left to default. */
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

/** Checks the options and fills in what they leave out. Throws a `TypeError` or `RangeError` for a bad one. */
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
