/**
 * Serving by several threads, to use all cores: {@linkcode serveWorkers}.
 *
 * @example A module that serves, and one that starts it
 * ```ts ignore
 * // service.ts
 * import type { Session } from "@parley/tcp";
 *
 * export default async function greet(session: Session) {
 *   for await (const name of session.lines()) await session.send(`hello, ${name}!\n`);
 * }
 *
 * // main.ts
 * import { serveWorkers } from "@parley/tcp/workers";
 *
 * await using server = serveWorkers(import.meta.resolve("./service.ts"), { port: 1234 });
 * await server.finished;
 * ```
 *
 * @module
 */

export type { Bus, BusListener } from "../hub/bus.ts";
export { workerBus } from "./bus.ts";
export { WorkerCrashError } from "../errors.ts";
export type { WorkerEnd, WorkerEndReason, WorkersObserver } from "./observer.ts";
export type {
  Metric,
  MetricAttributes,
  MetricDefinition,
  MetricKind,
  MetricPoint,
} from "./metrics.ts";
export {
  type MetricsSource,
  type ServeWorkersOptions,
  type ServiceModule,
  type ServiceOptions,
  type WorkersServer,
  type WorkersStats,
  type WorkerStats,
} from "./options.ts";
export { workerNumber } from "./number.ts";
export { serveWorkers } from "./serve_workers.ts";
