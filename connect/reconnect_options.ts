/** The options of `reconnect()` and the types of what it returns; `reconnect.ts` publishes them. */

import { checkDuration, checkFunction, checkInteger, shown } from "../_internal/checks.ts";
import { checkLogger, type Logger } from "../_internal/logging.ts";
import { checkOptions, elsewhere, type Known, optionalMethods } from "../_internal/options.ts";
import { CONNECT_OPTIONS, type ConnectOptions } from "./connect.ts";
import { logReconnects, type ReconnectObserver } from "./reconnect_observer.ts";
import { type ConnectAddress, type Target, targetsOf } from "./targets.ts";
import type { Session } from "../session.ts";

export type { ReconnectObserver } from "./reconnect_observer.ts";
export type { ConnectAddress } from "./targets.ts";

/**
 * Options of {@linkcode reconnect}: those of `connect()`, and how to reconnect. All durations are in milliseconds.
 * `Ready` is the type of what `setUp` returns.
 */
export interface ReconnectOptions<Ready = unknown> extends Partial<ConnectOptions> {
  /**
   * Several addresses, instead of `hostname` and `port`. Each dial takes the next one, in rotation.
   */
  addresses?: readonly ConnectAddress[];
  /**
   * Prepares each session before it is handed out: greets, logs in, subscribes. If it fails, the dial counts as failed:
   * the session is aborted, `shouldRetry` is asked, and `next()` waits for a session whose set-up succeeds.
   *
   * @param session The session.
   * @returns A value for the handler of `run()`. For `requests()` over the client, it is the frames of the session.
   */
  setUp?(session: Session): Ready | Promise<Ready>;
  /**
   * How long `setUp` may take. After that, it fails with a `ConnectTimeoutError`.
   *
   * @default {10000}
   */
  setUpTimeout?: number;
  /**
   * The longest delay after the first failure. It doubles with each further failure, or, with several addresses, after
   * each round. The delay itself is random, from 0 to the longest.
   *
   * @default {50}
   */
  minDelay?: number;
  /**
   * The limit up to which the longest delay doubles. At least `minDelay`.
   *
   * @default {5000}
   */
  maxDelay?: number;
  /**
   * How long a session must last to reset the delay and the number of attempts. A session that ends earlier counts as a
   * failure, unless it is ended by `redial()`. `Infinity` for never.
   *
   * @default {5000}
   */
  resetAfter?: number;
  /**
   * How many attempts may fail in a row: 1 to 2^30, or `Infinity`.
   *
   * @default {Infinity}
   */
  maxAttempts?: number;
  /**
   * Decides whether the client dials again. By default it does, except after an error that another attempt would only
   * repeat. With such an error, the client fails: invalid options, a missing permission to dial, a certificate that is
   * not accepted (of either side), a version of TLS, an application protocol or a server name that the other side does
   * not have, and an error of `setUp` itself, such as a wrong password.
   *
   * @param error What the dial or `setUp` threw, or a `SessionEndedError` that says how the session ended.
   * @param attempt How many attempts have failed in a row; 0 after a session that lasted.
   * @returns `true` to dial again. `false` to stop: after a dial, the client fails with the error; after a session, it
   * is done. `undefined` for the default.
   */
  shouldRetry?(
    error: unknown,
    attempt: number,
  ): boolean | undefined | Promise<boolean | undefined>;
  /**
   * The source of random delays: returns a number from 0 to 1. If it returns anything else, the client fails.
   *
   * @default {Math.random}
   */
  random?: () => number;
  /** Aborts the client and its session. The loop rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Observes dials and sessions. */
  observer?: ReconnectObserver;
  /**
   * Logs what an observer sees: `console`, a LogTape logger, a `@std/log` logger. Dials are `debug`, sessions `info`,
   * failed dials `warn`, and a failure that ends the client is an `error`.
   */
  logger?: Logger;
  /**
   * Called with an error that the observer, a `goodbye` or a `heartbeat` throws. Without it, such errors are ignored.
   *
   * @param error What was thrown.
   */
  onError?(error: unknown): void;
}

const RECONNECT_OPTIONS: Known<ReconnectOptions> = {
  ...CONNECT_OPTIONS,
  addresses: elsewhere,
  setUp: checkFunction,
  setUpTimeout: elsewhere,
  minDelay: elsewhere,
  maxDelay: elsewhere,
  resetAfter: elsewhere,
  maxAttempts: elsewhere,
  shouldRetry: checkFunction,
  random: checkFunction,
  observer: optionalMethods<ReconnectObserver>([
    "onDial",
    "onDialError",
    "onSessionStart",
    "onSessionEnd",
  ]),
  logger: checkLogger,
  onError: checkFunction,
};

/**
 * A client that reconnects: an iterator of sessions, one at a time. `Ready` is the type of what `setUp` returns.
 */
export interface ReconnectingClient<Ready = unknown>
  extends AsyncIterableIterator<Session, undefined, void>, AsyncDisposable {
  /** The session that is alive now. */
  readonly session: Session | undefined;
  /**
   * Gets the next session: closes the last one gracefully if it is still alive, waits, and dials until a session is set
   * up. Leaving a `for await` loop closes the client.
   *
   * @returns The session. Done if the client was closed, or if `shouldRetry` has returned `false` after a session.
   * @throws {TypeError} If another `next()` waits.
   * @throws The error of the last of `maxAttempts` (a `SessionEndedError` if it was a short session), the error after
   * which `shouldRetry` stopped the client, what `shouldRetry` threw, or the reason of an abort. Then the client is done.
   */
  next(): Promise<IteratorResult<Session, undefined>>;
  /**
   * Closes the client. `break` calls it.
   *
   * @returns Done.
   */
  return(): Promise<IteratorReturnResult<undefined>>;
  /**
   * Calls a handler for each session, one after the other. When the handler returns, its session is closed. If it throws
   * an error that came from its session, the client reconnects. Any other error ends the client.
   *
   * @param handler Called with the session and with what `setUp` has returned.
   * @returns Resolves when the client is done.
   * @throws What `next()` throws, and any other error of the handler.
   */
  run(handler: (session: Session, ready: Ready) => unknown): Promise<void>;
  /**
   * Ends the session that is alive gracefully, with the reason `drain`, because its server is about to stop. Call it when the
   * server says so in a message of your protocol. This is no failure: the client dials the next address within `minDelay`,
   * and counts anew. In the session, a waiting reading rejects with the reason. Without a session, it does nothing.
   *
   * Of sessions that are shorter than `resetAfter`, only as many in a row as there are addresses count as no failure. So a
   * server that always drains at once is dialled with growing delays.
   */
  redial(): void;
  /**
   * Ends the client gracefully: cancels a delay or a dial, and closes the session that is alive. A waiting `next()` is
   * done.
   *
   * @returns Resolves when all of that has ended. It does not wait for a handler. Never rejects.
   */
  close(): Promise<void>;
  /**
   * Ends the client at once, as its option `signal` does, and makes `next()` reject.
   *
   * @param reason What `next()` rejects with, and the cause of the session's end. By default, an `AbortError`.
   */
  abort(reason?: unknown): void;
}

/** The resolved options of `reconnect()`. */
export interface ReconnectSettings<Ready> {
  targets: readonly Target[];
  setUp: ((session: Session) => Ready | Promise<Ready>) | undefined;
  setUpTimeout: number;
  minDelay: number;
  maxDelay: number;
  resetAfter: number;
  maxAttempts: number;
  shouldRetry: NonNullable<ReconnectOptions["shouldRetry"]>;
  random(): number;
  signal: AbortSignal | undefined;
  observers: readonly ReconnectObserver[];
  onError(error: unknown): void;
}

/** Checks the options and fills in the defaults. Throws a `TypeError` or `RangeError` for an invalid one. */
export function resolveReconnectOptions<Ready>(
  options: ReconnectOptions<Ready>,
): ReconnectSettings<Ready> {
  checkOptions(options, RECONNECT_OPTIONS);
  const {
    addresses,
    setUp,
    setUpTimeout = 10_000,
    resetAfter = 5_000,
    maxAttempts = Infinity,
    shouldRetry = () => undefined,
    random = Math.random,
    signal,
    observer,
    logger,
    onError = () => {},
    minDelay: _minDelay,
    maxDelay: _maxDelay,
    ...dialling
  } = options;
  const observers = observer === undefined ? [] : [observer];
  if (logger !== undefined) observers.push(logReconnects(logger));
  return {
    targets: targetsOf(dialling, addresses),
    setUp,
    setUpTimeout: checkDuration("setUpTimeout", setUpTimeout),
    ...delaysOf(options),
    resetAfter: checkDuration("resetAfter", resetAfter),
    maxAttempts: maxAttempts === Infinity
      ? Infinity
      : checkInteger("maxAttempts", maxAttempts, 1, 2 ** 30),
    shouldRetry,
    random: () => checkChance(random()),
    signal,
    observers,
    onError,
  };
}

/** A delay that is left out adapts to the other one. */
function delaysOf(options: ReconnectOptions): { minDelay: number; maxDelay: number } {
  const given = options.maxDelay ?? Infinity;
  if (options.maxDelay !== undefined) checkDelay("maxDelay", given);
  const minDelay = checkDelay("minDelay", options.minDelay ?? Math.min(50, given));
  const maxDelay = options.maxDelay ?? Math.max(5_000, minDelay);
  if (maxDelay < minDelay) {
    throw new RangeError(`maxDelay must be at least minDelay (${minDelay}), got ${maxDelay}`);
  }
  return { minDelay, maxDelay };
}

/** A finite duration. */
function checkDelay(name: string, value: number): number {
  if (checkDuration(name, value) < Infinity) return value;
  throw new RangeError(`${name} must be less than 2^31 ms, got ${value}`);
}

/** Checks what `random()` has returned. With a delay of `NaN` ms, the client would dial without a pause. */
function checkChance(value: unknown): number {
  if (typeof value !== "number") {
    throw new TypeError(`random() must return a number, got ${shown(value)}`);
  }
  if (value >= 0 && value <= 1) return value;
  throw new RangeError(`random() must return a number from 0 to 1, got ${value}`);
}
