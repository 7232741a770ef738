/** The options of `reconnect()` and the types of what it returns; `reconnect.ts` publishes them. */

import { checkDuration, checkFunction, checkInteger, shown } from "../_internal/checks.ts";
import { checkLogger, type Logger } from "../_internal/logging.ts";
import { checkOptions, elsewhere, type Known, optionalMethods } from "../_internal/options.ts";
import { CONNECT_OPTIONS, type ConnectOptions, resolveConnectOptions } from "./connect.ts";
import { logReconnects, type ReconnectObserver } from "./reconnect_observer.ts";
import type { Session } from "../session.ts";

export type { ReconnectObserver } from "./reconnect_observer.ts";

/** One of several places to dial: its `hostname` and `port`, and whatever else differs there from the other options. */
export type ReconnectAddress = Partial<Omit<ConnectOptions, "signal">>;

/**
 * Options of {@linkcode reconnect}: all those of `connect()`, and how to come back. All durations are milliseconds.
 * `Ready` is what `setUp` gives.
 */
export interface ReconnectOptions<Ready = unknown> extends Partial<ConnectOptions> {
  /**
   * Several places to dial, instead of `hostname` and `port`. Each dial takes the next of them, after the last the
   * first again.
   */
  addresses?: readonly ReconnectAddress[];
  /**
   * Makes each session ready before it is handed out: greets, logs in, subscribes. If it fails, so has the dial: the
   * session is aborted, `shouldRetry` is asked, and `next()` goes on waiting for one that succeeds.
   *
   * @param session The session.
   * @returns What `run()` gives its handler, and what `requests()` of the client uses: the frames of the session.
   */
  setUp?(session: Session): Ready | Promise<Ready>;
  /**
   * How long `setUp` may take. Past that, it has failed with a `ConnectTimeoutError`.
   *
   * @default {10000}
   */
  setUpTimeout?: number;
  /**
   * The longest wait after a first failure; it doubles with each further one, of several addresses with each round.
   * How long is waited is random, from nothing to that long.
   *
   * @default {50}
   */
  minDelay?: number;
  /**
   * What the longest wait doubles up to. At least `minDelay`.
   *
   * @default {5000}
   */
  maxDelay?: number;
  /**
   * How long a session has to last for the waits to be short again and the attempts to count from 1; one that ends
   * before counts as a failure. `Infinity` for never.
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
   * Decides whether it is worth going on. By default everything is, except what no repetition makes right: bad
   * options, a missing permission to dial, a certificate that is not accepted (of either side), a version of TLS, an
   * application protocol or a server name that the other side does not have, and whatever `setUp` throws of its own,
   * such as that a password is wrong. The client fails with such an error.
   *
   * @param error What the dial or `setUp` threw, or a `SessionEndedError` that says how the session ended.
   * @param attempt How many attempts have failed in a row; 0 after a session that lasted.
   * @returns `true` to go on; `false` to stop for good: after a dial the client fails with its error, after a session
   * it is done. `undefined` leaves it to the default.
   */
  shouldRetry?(
    error: unknown,
    attempt: number,
  ): boolean | undefined | Promise<boolean | undefined>;
  /**
   * Where the randomness of the waits comes from: gives a number from 0 to 1. For anything else, the client fails.
   *
   * @default {Math.random}
   */
  random?: () => number;
  /** Ends the client at once when it aborts, its session too. The loop rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Is told of dials and sessions. */
  observer?: ReconnectObserver;
  /**
   * Logs what an observer is told: `console`, a LogTape logger, a `@std/log` logger. Dials are `debug`, sessions
   * `info`, failed dials `warn`, and what ends the client by itself is an `error`.
   */
  logger?: Logger;
  /**
   * Is given what the observer throws, of which nobody learns otherwise.
   *
   * @param error What was thrown.
   */
  onError?(error: unknown): void;
}

const { signal: _signal, ...RECONNECT_ADDRESS } = CONNECT_OPTIONS;

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

/** A client that comes back: an iterator of sessions, of which one lives at a time. `Ready` is what `setUp` gives. */
export interface ReconnectingClient<Ready = unknown>
  extends AsyncIterableIterator<Session, undefined, void>, AsyncDisposable {
  /** The session that is alive now. */
  readonly session: Session | undefined;
  /**
   * Closes the last session gracefully if it is still alive, waits, and dials until there is a new one that is set up.
   * To leave a `for await` loop closes the client.
   *
   * @returns The session; or that the client was closed, or `shouldRetry` wants no more sessions.
   * @throws {TypeError} If another `next()` waits.
   * @throws What the last of `maxAttempts` failed with (a `SessionEndedError` if it was a short session), what
   * `shouldRetry` has given up for or has thrown, or what the client was aborted with. From then on, it is done.
   */
  next(): Promise<IteratorResult<Session, undefined>>;
  /**
   * What `break` calls: closes the client.
   *
   * @returns That it is done.
   */
  return(): Promise<IteratorReturnResult<undefined>>;
  /**
   * Calls a handler for each session, one after the other. When it returns, its session is closed. What its session
   * threw at it does not count: the client comes back. Anything else that it throws ends the client.
   *
   * @param handler What happens in each session; it is also given what `setUp` gave.
   * @returns Resolves when the client is done.
   * @throws What `next()` throws, and what the handler throws of its own.
   */
  run(handler: (session: Session, ready: Ready) => unknown): Promise<void>;
  /**
   * Ends the client gracefully: calls off a wait or a dial, closes the session that is alive, and lets a waiting
   * `next()` be done.
   *
   * @returns Resolves when all of that has ended. It does not wait for a handler. Never rejects.
   */
  close(): Promise<void>;
  /**
   * Ends the client at once, as its option `signal` does, and makes `next()` reject.
   *
   * @param reason What with, and the cause of its session's end. By default, an `AbortError`.
   */
  abort(reason?: unknown): void;
}

/** Options with nothing left to default. */
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

/** A place to dial, and how it is named. */
export interface Target {
  options: ConnectOptions;
  address: string;
}

/** Checks the options and fills in what they leave out. Throws a `TypeError` or `RangeError` for a bad one. */
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

/** Where either delay is left out, it gives way to the other. */
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

/** A duration that comes to an end. */
function checkDelay(name: string, value: number): number {
  if (checkDuration(name, value) < Infinity) return value;
  throw new RangeError(`${name} must be less than 2^31 ms, got ${value}`);
}

/** What `random()` has returned. With a wait of `NaN` milliseconds the client would dial without a pause. */
function checkChance(value: unknown): number {
  if (typeof value !== "number") {
    throw new TypeError(`random() must return a number, got ${shown(value)}`);
  }
  if (value >= 0 && value <= 1) return value;
  throw new RangeError(`random() must return a number from 0 to 1, got ${value}`);
}

/** What to dial, in its order. Each place is checked as `connect()` would check it. */
export function targetsOf(
  common: Partial<ConnectOptions>,
  addresses: readonly ReconnectAddress[] | undefined,
): Target[] {
  if (addresses === undefined) return [targetOf(common)];
  if (!Array.isArray(addresses) || addresses.length === 0) {
    throw new TypeError(
      `addresses must be an array of at least one address, got ${
        Array.isArray(addresses) ? "an empty one" : shown(addresses)
      }`,
    );
  }
  for (const name of ["hostname", "port", "path"]) {
    if ((common as Record<string, unknown>)[name] !== undefined) {
      throw new TypeError(`${name} must be left out where there are addresses: each has its own`);
    }
  }
  return addresses.map((address, at) => {
    checkOptions(address, RECONNECT_ADDRESS, `addresses[${at}]`);
    return targetOf({ ...common, ...address });
  });
}

function targetOf(options: Partial<ConnectOptions>): Target {
  const { address } = resolveConnectOptions(options as ConnectOptions);
  return { options: options as ConnectOptions, address };
}
