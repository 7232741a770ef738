/** The messages between the main thread and a worker, over their own message port. */

import type { Durations } from "../_internal/durations.ts";
import type { ServerStats } from "../serve/options.ts";
import type { Address } from "../transport/connection.ts";
import type { TlsServerOptions } from "../transport/tls/options.ts";
import type { SessionsQuestion } from "./inside.ts";
import type { Metric } from "./metrics.ts";
import type { LimitsMemory } from "./shared_limits.ts";
import type { SentError } from "./sent_error.ts";
import type { MessagePort } from "node:worker_threads";

/** The first message to a worker. It comes from the parent port, all others from the port in it. */
export interface WorkerStart {
  readonly port: MessagePort;
  /** The number of the worker, from 0. */
  readonly worker: number;
  /** The URL of the module that serves. */
  readonly module: string;
  /** Options of `serve()`. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly limits: LimitsMemory;
  readonly isSuspended: boolean;
  /** Where the worker notes its open connections. */
  readonly connections: Int32Array;
}

/** A message to a worker. */
export type ToWorker =
  | { readonly kind: "suspend" | "resume" }
  | { readonly kind: "drain"; readonly isSpread: boolean }
  | { readonly kind: "abort"; readonly reason: SentError | undefined }
  | { readonly kind: "reload-tls"; readonly tls: TlsServerOptions }
  /** Ports to other workers that serve, for the bus. The first time, there may be none. */
  | { readonly kind: "peers"; readonly ports: readonly MessagePort[] }
  /** The worker remembers sessions that end from now on. */
  | { readonly kind: "remember-sessions" }
  /** The worker answers on the port. */
  | {
    readonly kind: "sessions";
    readonly question: SessionsQuestion;
    readonly port: MessagePort;
  }
  /** Another worker has released a connection. */
  | { readonly kind: "room" }
  /** The worker answers with `pong`. At most one is unanswered at a time. */
  | { readonly kind: "ping" };

/** A message from a worker. */
export type FromWorker =
  | { readonly kind: "listening"; readonly addr: Address }
  /** It cannot serve. */
  | { readonly kind: "failed"; readonly error: SentError }
  /** It has released a connection for which other workers wait. */
  | { readonly kind: "room" }
  | { readonly kind: "pong"; readonly figures: WorkerFigures | undefined }
  /** Its server has stopped. This is its last message. */
  | { readonly kind: "finished"; readonly figures: WorkerFigures };

/** What a worker tells of itself. */
export interface WorkerFigures {
  readonly stats: ServerStats;
  readonly metrics: Metric[];
  readonly lateness: Durations;
  /** In bytes. */
  readonly heap: number;
}
