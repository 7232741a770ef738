/** What the figures of a server are as metrics. */

import { checkOneOf } from "../_internal/checks.ts";
import type { ServerState } from "../serve/observer.ts";
import type { MemoryStats, ServerStats } from "../serve/options.ts";
import type { Address } from "../transport/connection.ts";
import type { WorkersStats, WorkerStats } from "../workers/options.ts";
import type { MetricAttributes } from "../workers/metrics.ts";
import { checkMeasured } from "./check_measured.ts";
import type { MetricName, Take } from "./definitions.ts";

/** What metrics use of a server: of `serve()`, or of `serveWorkers()`. */
export interface MeasuredServer {
  /** The address that it listens on. */
  readonly addr: Address;
  /** Its state. */
  readonly state: ServerState;
  /** Settles when it has stopped. Until then, the lateness of the event loop is measured. */
  readonly finished?: Promise<void>;
  /**
   * Returns its figures.
   *
   * @returns The figures.
   */
  stats(): ServerStats | WorkersStats;
}

const STATES = keysOf<ServerState>({
  starting: 0,
  listening: 0,
  suspended: 0,
  "lame-duck": 0,
  draining: 0,
  closed: 0,
});
const PRESSURES = keysOf<MemoryStats["pressure"]>({
  none: 0,
  "reading-paused": 0,
  "accepting-paused": 0,
});
const WORKER_STATES = keysOf<WorkerStats["state"]>({
  starting: 0,
  serving: 0,
  waiting: 0,
  ended: 0,
});

/** The labels of a server. A client has no influence on them. */
export function serverAttributes(name: string, addr: Address): MetricAttributes {
  const { transport } = addr;
  return {
    "parley.server.name": name,
    "network.transport": transport,
    ...("hostname" in addr && { "server.address": addr.hostname, "server.port": addr.port }),
    ...("path" in addr && { "server.address": addr.path }),
  };
}

/** Throws unless the values of a server can be taken. */
export function checkServer(name: string, server: MeasuredServer): void {
  const demand = `${name} must be what serve() or serveWorkers() returns, and that of ` +
    "serveDatagrams() goes to addDatagramServer()";
  checkMeasured(demand, (take) => {
    checkPlace(server);
    takeServer(server, server.stats(), take);
  });
}

/** Throws unless there are labels and a state. */
export function checkPlace({ addr, state }: Pick<MeasuredServer, "addr" | "state">): void {
  serverAttributes("", addr);
  checkOneOf("state", state, STATES);
}

/** Gives the values of a server. */
export function takeServer({ state }: MeasuredServer, stats: ServerStats, take: Take): void {
  takeServerState(state, take);
  take("parley.active_sessions", stats.active);
  take("parley.started_sessions", stats.accepted);
  takeEach("parley.ended_sessions", "parley.session.end_reason", stats.ends, take);
  take("parley.session.duration", stats.durations);
  takeEach("parley.rejected_connections", "error.type", stats.refusals, take);
  take("parley.tls_handshake.duration", stats.handshakes);
  takeEach("parley.tls_handshake.errors", "error.type", stats.handshakeFailures, take);
  take("parley.accept.errors", stats.acceptErrors);
  take("parley.handler.errors", stats.handlerErrors);
  takeBytes("parley.network.io", stats, take);
  take("parley.unread_input", stats.unread);
  take("parley.unsent_output", stats.unsent);
  take("parley.blocked_sessions", stats.blocked);
  takeEach("parley.rate.waits", "parley.rate", {
    sessionRate: stats.waits.sessions,
    readRate: stats.waits.reads,
    writeRate: stats.waits.writes,
  }, take);
  const { held, pressure, paused, ended } = stats.memory;
  take("parley.memory.held", held);
  takeState("parley.memory.pressure", "parley.memory.pressure", pressure, PRESSURES, take);
  take("parley.memory.paused_sessions", paused);
  take("parley.memory.ended_sessions", ended);
  if ("workers" in stats) takeWorkers(stats as WorkersStats, take);
}

function takeWorkers({ workers }: WorkersStats, take: Take): void {
  for (const state of WORKER_STATES) {
    const count = workers.filter((worker) => worker.state === state).length;
    take("parley.workers", count, { "parley.worker.state": state });
  }
  for (const { worker, deaths, stats, lateness, heap } of workers) {
    const attributes = { "parley.worker": worker };
    take("parley.worker.active_sessions", stats.active, attributes);
    take("parley.worker.heap", heap, attributes);
    take("parley.worker.event_loop.lateness", lateness, attributes);
    take("parley.worker.deaths", deaths, attributes);
  }
}

/** Gives the state of a server. */
export function takeServerState(state: ServerState, take: Take): void {
  takeState("parley.server.state", "parley.server.state", state, STATES, take);
}

/** Gives the bytes of sessions in both directions. */
export function takeBytes(
  name: MetricName,
  { bytesRead, bytesWritten }: { readonly bytesRead: number; readonly bytesWritten: number },
  take: Take,
): void {
  takeEach(name, "network.io.direction", { receive: bytesRead, transmit: bytesWritten }, take);
}

/** Gives one value for each entry of a record. */
export function takeEach(
  name: MetricName,
  attribute: string,
  counts: Readonly<Record<string, number>>,
  take: Take,
): void {
  for (const [key, count] of Object.entries(counts)) take(name, count, { [attribute]: key });
}

function takeState<State extends string>(
  name: MetricName,
  attribute: string,
  state: State,
  all: readonly State[],
  take: Take,
): void {
  for (const one of all) take(name, one === state ? 1 : 0, { [attribute]: one });
}

/** All values of a type. The compiler notices when one is missing. */
function keysOf<Key extends string>(keys: Record<Key, 0>): readonly Key[] {
  return Object.keys(keys) as Key[];
}
