/** What an admin server tells of the other servers. */

import { checkMethods } from "../_internal/checks.ts";
import { checkServer } from "../metrics/server_source.ts";
import { formatAddress } from "../transport/connection.ts";
import type { Server, ServerStats } from "../serve/options.ts";
import { insideOfWorkers } from "../workers/inside.ts";
import type { WorkersServer, WorkersStats, WorkerStats } from "../workers/options.ts";

const METHODS = ["observe", "suspend", "resume", "shutdown", "reloadTls"] as const;

/** A server of `serve()` or `serveWorkers()`. */
export type ServedBy = Server | WorkersServer;

/** Throws unless `server` is what `serve()` or `serveWorkers()` returns. */
export function checkServed(name: string, server: ServedBy): void {
  checkServer(name, server);
  checkMethods(name, server, METHODS);
  const isServed = isLocal(server)
    ? typeof server.sessions[Symbol.iterator] === "function"
    : insideOfWorkers(server) !== undefined;
  if (isServed && Array.isArray(server.certificates) && server.finished instanceof Promise) return;
  throw new TypeError(`${name} must be what serve() or serveWorkers() returns`);
}

/** Whether the sessions of a server are in this thread. */
export function isLocal(server: ServedBy): server is Server {
  return "sessions" in server;
}

/** The figures of each worker, if there are any. */
export function workersOf(stats: ServerStats | WorkersStats): readonly WorkerStats[] {
  return "workers" in stats ? stats.workers as WorkerStats[] : [];
}

/** Why a server is not ready for more clients; `undefined` if it is. */
export function unreadiness(
  server: ServedBy,
  stats?: ServerStats | WorkersStats,
): string | undefined {
  if (server.state !== "listening") return `is ${server.state}`;
  if (isLocal(server)) return;
  const workers = workersOf(stats ?? server.stats());
  const serving = workers.filter(({ state }) => state === "serving").length;
  if (serving < workers.length) return `has ${serving} of ${workers.length} workers`;
}

/** What the page shows of a server besides its figures. */
export function aboutServer(
  name: string,
  server: ServedBy,
  stats: ServerStats | WorkersStats,
): Record<string, unknown> {
  return {
    name,
    address: formatAddress(server.addr),
    state: server.state,
    unready: unreadiness(server, stats) ?? null,
    active: stats.active,
    ends: stats.ends,
    refusals: stats.refusals,
    handlerErrors: stats.handlerErrors,
    acceptErrors: stats.acceptErrors,
    memory: stats.memory,
    workers: workersOf(stats).map(({ worker, state, deaths, stats: { active } }) => ({
      ...{ worker, state, deaths, active },
    })),
  };
}

/** What is told of the certificates of a server. */
export function aboutCertificates(server: ServedBy): Record<string, unknown>[] {
  return server.certificates.map(({ subject, subjectAltNames, issuer, validFrom, validTo }) => ({
    subject,
    names: subjectAltNames,
    issuer,
    validFrom,
    validTo,
    daysLeft: Math.floor((validTo.getTime() - Date.now()) / 86_400_000),
  }));
}
