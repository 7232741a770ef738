/** The options of `serveWorkers()` and the types of what it returns; `serve_workers.ts` publishes them. */

import { checkDuration, checkInteger, shown } from "../_internal/checks.ts";
import { type Check, elsewhere, type Known, optionalMethods } from "../_internal/options.ts";
import { SERVE_OPTIONS } from "../serve/known_options.ts";
import type { ServerObserver } from "../serve/observer.ts";
import type { Durations, Handler, ServeOptions, Server, ServerStats } from "../serve/options.ts";
import type { Address } from "../transport/connection.ts";
import type { Metric } from "./metrics.ts";
import type { WorkersObserver } from "./observer.ts";

/**
 * Options of {@linkcode serveWorkers}: those of `serve()` that can be sent to workers, and more. Limits apply to the whole
 * server: all workers together have at most `maxSessions`, and `maxSessionsPerAddress` from one address.
 *
 * Functions and objects with methods cannot be sent. The module that serves exports them, as `options`. `observer`,
 * `logger`, `onError` and `signal` belong to the main thread: they receive events of the server and its workers, not of
 * sessions.
 */
export interface ServeWorkersOptions
  extends Omit<ServeOptions, "path" | "mode" | "fd" | "listener" | "transport" | "observer"> {
  /** The port to listen on: 0 to 65535, where 0 takes a free one. All workers listen on it. */
  port: number;
  /**
   * Whether other processes may listen on the same port as well, and get a share of its connections. The workers of this
   * server always do so among themselves.
   *
   * @default {false}
   */
  reusePort?: boolean;
  /**
   * The most memory that the unread input and unsent output of all sessions may take, in bytes: 8 MiB for each worker to
   * 2^50, or `Infinity`. Each worker has an equal part of it, as the limit of its own server. The default is
   * 256 MiB, and at least 8 MiB for each worker.
   */
  maxBufferMemory?: number;
  /**
   * The number of workers: 1 to 256, or `auto` for one for each core.
   *
   * @default {"auto"}
   */
  workers?: number | "auto";
  /**
   * How long a worker may be busy without a pause, in milliseconds, before it counts as stuck. Then it is terminated, and
   * started again.
   *
   * @default {30000}
   */
  workerTimeout?: number;
  /**
   * The most memory that the objects of one worker may take, in bytes: 16 MiB to 2^40. Beyond it, the worker ends. It does
   * not count buffers.
   *
   * @default {2147483648}
   */
  maxHeap?: number;
  /**
   * How often in a row a worker may die within a second before the server gives up and shuts down: 1 to 1000, or
   * `Infinity`.
   *
   * @default {10}
   */
  maxCrashes?: number;
  /** The value of `workerData` of `node:worker_threads` in the module. It is cloned for each worker. */
  workerData?: unknown;
  /** Receives events of the server and of its workers. */
  observer?: WorkersObserver;
  /** Receives the causes of deaths of workers, and errors of the observer. */
  onError?(error: unknown): void;
}

/** The options that a module may export for `serve()`, such as an `observer` of its sessions. Those of `serveWorkers()` prevail. */
export type ServiceOptions = Omit<
  ServeOptions,
  | "path"
  | "mode"
  | "fd"
  | "listener"
  | "transport"
  | "hostname"
  | "port"
  | "tcpBacklog"
  | "reusePort"
  | "maxSessions"
  | "overload"
  | "maxSessionsPerAddress"
  | "ipv6PrefixLength"
  | "sessionRate"
  | "maxBufferMemory"
  | "tls"
  | "drainDelay"
  | "shutdownTimeout"
  | "signal"
>;

/** A module that serves sessions in workers. */
export interface ServiceModule {
  /** Serves one session. */
  default: Handler;
  /** Options that cannot be sent to workers. */
  options?: ServiceOptions;
  /**
   * What the module measures apart from its server: the hubs and clients of a `Metrics` of `@parley/tcp/metrics`. It is
   * collected four times a second. `stats().metrics` has the sums of all workers, and a `Metrics` of the main thread takes
   * those from there that have names of its own.
   */
  metrics?: MetricsSource;
}

/** Something that has metrics: a `Metrics` of `@parley/tcp/metrics`. */
export interface MetricsSource {
  /**
   * Returns the metrics.
   *
   * @returns The metrics, which can be cloned.
   */
  collect(): Metric[];
}

/** Figures of a server with workers. They are at most half a second old. */
export interface WorkersStats extends ServerStats {
  /** The workers. */
  workers: WorkerStats[];
  /** The metrics of the modules, added up. */
  metrics: Metric[];
}

/** Figures of one worker. */
export interface WorkerStats {
  /** The number of the worker, from 0. */
  worker: number;
  /** Whether it serves, has not begun to, or has died and waits to be started again. */
  state: "starting" | "serving" | "waiting" | "ended";
  /** How often it has died. */
  deaths: number;
  /** The figures of its server, over all its lives. */
  stats: ServerStats;
  /** The metrics of its module, over all its lives. */
  metrics: Metric[];
  /** How late its event loop was, ten times a second, over all its lives. */
  lateness: Durations;
  /** The memory that its objects take, in bytes, which `maxHeap` limits. */
  heap: number;
}

/** A running server whose sessions are served by workers. */
export interface WorkersServer
  extends Omit<Server, "observe" | "sessions" | "stats" | "finished" | "listening"> {
  /**
   * Resolves to the address once all workers listen. If the first ones cannot, this rejects with the reason, and the server
   * is closed. Such a rejection ends the process if it is not handled. If the server is stopped before, this rejects
   * too, but need not be handled.
   */
  readonly listening: Promise<Address>;
  /**
   * Resolves when the server has stopped and its last worker has ended. Rejects with a `WorkerCrashError` if the server
   * has stopped because a worker died too often.
   */
  readonly finished: Promise<void>;
  /**
   * Returns the figures of the server, added up and for each worker.
   *
   * @returns The figures.
   */
  stats(): WorkersStats;
  /**
   * Adds an observer to that of the options.
   *
   * @param observer Receives events from now on.
   * @returns A function that removes it again.
   * @throws {TypeError} If one of its methods is not a function, or is one of `serve()` only.
   */
  observe(observer: WorkersObserver): () => void;
}

const NOT_IN_WORKERS: Record<Exclude<keyof ServeOptions, keyof ServeWorkersOptions>, Check> = {
  path: refused("workers cannot share a Unix socket: use serve()"),
  mode: refused("workers cannot share a Unix socket: use serve()"),
  fd: refused("workers open sockets of their own: give hostname and port"),
  listener: refused("workers open sockets of their own: give hostname and port"),
  transport: refused('workers always use transport "node"'),
};

/** The options that stay in the main thread. */
type InMain =
  | "workers"
  | "workerTimeout"
  | "maxHeap"
  | "maxCrashes"
  | "workerData"
  | "drainDelay"
  | "signal"
  | "observer"
  | "logger"
  | "onError";

export const MAIN_OPTIONS: Known<Pick<ServeWorkersOptions, InMain>> = {
  workers: checkWorkers,
  workerTimeout: checkDuration,
  maxHeap: (name: string, value: unknown): void => {
    checkInteger(name, value, MIN_HEAP, 2 ** 40);
  },
  maxCrashes: (name: string, value: unknown): void => {
    if (value !== Infinity) checkInteger(name, value, 1, 1000);
  },
  workerData: elsewhere,
  drainDelay: elsewhere,
  signal: SERVE_OPTIONS.signal,
  observer: checkObserver,
  logger: SERVE_OPTIONS.logger,
  onError: SERVE_OPTIONS.onError,
};

export const WORKERS_OPTIONS: Known<ServeWorkersOptions> = {
  ...SERVE_OPTIONS,
  ...NOT_IN_WORKERS,
  ...MAIN_OPTIONS,
};

const OF_WHOLE_SERVER = refused("it is an option of the whole server: give it to serveWorkers()");

export const SERVICE_OPTIONS: Known<ServeOptions> = {
  ...SERVE_OPTIONS,
  ...NOT_IN_WORKERS,
  hostname: OF_WHOLE_SERVER,
  port: OF_WHOLE_SERVER,
  tcpBacklog: OF_WHOLE_SERVER,
  reusePort: OF_WHOLE_SERVER,
  maxSessions: OF_WHOLE_SERVER,
  overload: OF_WHOLE_SERVER,
  maxSessionsPerAddress: OF_WHOLE_SERVER,
  ipv6PrefixLength: OF_WHOLE_SERVER,
  sessionRate: OF_WHOLE_SERVER,
  maxBufferMemory: OF_WHOLE_SERVER,
  tls: OF_WHOLE_SERVER,
  drainDelay: OF_WHOLE_SERVER,
  shutdownTimeout: OF_WHOLE_SERVER,
  signal: OF_WHOLE_SERVER,
};

const MIN_HEAP = 16 * 1024 * 1024;
const WORKERS_OBSERVER = ["onStateChange", "onWorkerStart", "onWorkerEnd"] as const;
const IN_WORKERS: Record<Exclude<keyof ServerObserver, keyof WorkersObserver>, true> = {
  onSessionStart: true,
  onSessionEnd: true,
  onRefusal: true,
  onMemoryPressure: true,
  onAcceptError: true,
  onHandlerError: true,
};

function refused(why: string): Check {
  return (name) => {
    throw new TypeError(`${name} is not possible here: ${why}`);
  };
}

function checkWorkers(name: string, value: unknown): void {
  if (value === "auto") return;
  if (typeof value !== "number") {
    throw new TypeError(`${name} must be a number or "auto", got ${shown(value)}`);
  }
  checkInteger(name, value, 1, MAX_WORKERS);
}

export const MAX_WORKERS = 256;

export function checkObserver(name: string, value: unknown): void {
  optionalMethods<WorkersObserver>(WORKERS_OBSERVER)(name, value);
  for (const method of Object.keys(IN_WORKERS)) {
    if ((value as Record<string, unknown>)[method] === undefined) continue;
    throw new TypeError(
      `${name}.${method} is told of sessions, which are in workers: the module must export it in its options`,
    );
  }
}

/** Throws unless a clone of `value` in another thread is the same. */
export function checkSendable(name: string, value: unknown): void {
  if (typeof value === "function" || typeof value === "symbol") {
    throw new TypeError(
      `${name} is a ${typeof value}, which cannot be sent to workers: the module must export it in its options`,
    );
  }
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return;
  const prototype = Object.getPrototypeOf(value);
  if (!Array.isArray(value) && prototype !== Object.prototype && prototype !== null) {
    throw new TypeError(
      `${name} is ${
        shown(value)
      }, which cannot be sent to workers: the module must export it in its options`,
    );
  }
  for (const [key, inner] of Object.entries(value)) {
    checkSendable(Array.isArray(value) ? `${name}[${key}]` : `${name}.${key}`, inner);
  }
}
