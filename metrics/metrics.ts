import process from "node:process";
import { isMainThread } from "node:worker_threads";
import { checkMethods } from "../_internal/checks.ts";
import { Lateness } from "../_internal/lateness.ts";
import type { ReconnectObserver } from "../connect/reconnect_options.ts";
import type { ServerState } from "../serve/observer.ts";
import { ClientSource } from "./client_source.ts";
import {
  addMetrics,
  type Metric,
  type MetricAttributes,
  type MetricPoint,
} from "../workers/metrics.ts";
import { type MeasuredCapture, takeCapture } from "./capture_source.ts";
import { checkMeasured } from "./check_measured.ts";
import {
  checkDatagramServer,
  type MeasuredDatagramServer,
  takeDatagrams,
} from "./datagram_source.ts";
import { definitionOf, METRIC_NAMES, type MetricName, type Take } from "./definitions.ts";
import { type MeasuredHub, takeHub } from "./hub_source.ts";
import { checkName } from "./names.ts";
import { type Meter, reportTo } from "./opentelemetry.ts";
import { type MeasuredPool, takePool } from "./pool_source.ts";
import { contentType, formatFor, render } from "./prometheus.ts";
import { checkServer, type MeasuredServer, serverAttributes, takeServer } from "./server_source.ts";

const METER_METHODS = [
  "createObservableCounter",
  "createObservableUpDownCounter",
  "createHistogram",
  "addBatchObservableCallback",
  "removeBatchObservableCallback",
] as const;

/**
 * The numbers of servers and clients, for Prometheus and OpenTelemetry.
 *
 * Servers and sessions count anyway. Metrics read their counters when they are asked for, so they cost nothing for each
 * message and nothing for each session. Of a server with workers, they have the sums of all workers.
 *
 * @example Numbers for Prometheus
 * ```ts
 * import { serve } from "@parley/tcp";
 * import { Metrics } from "@parley/tcp/metrics";
 * import { assertStringIncludes } from "@std/assert";
 *
 * await using server = serve({ port: 0 }, (session) => session.send("welcome!"));
 * const metrics = new Metrics();
 * metrics.addServer("greeter", server);
 *
 * await using http = Deno.serve({ hostname: "127.0.0.1", port: 0 }, metrics.handler);
 * const scraped = await (await fetch(`http://127.0.0.1:${http.addr.port}/metrics`)).text();
 * assertStringIncludes(scraped, "parley_active_sessions");
 * ```
 */
export class Metrics {
  readonly #servers: Map<string, MeasuredServer> = new Map();
  readonly #datagramServers: Map<string, MeasuredDatagramServer> = new Map();
  readonly #clients: Map<string, ClientSource> = new Map();
  /** Hubs, pools and captures, by their kind and name. */
  readonly #others: Map<string, Other> = new Map();
  readonly #lateness: Lateness = new Lateness();
  /** The servers during which the lateness is measured. */
  readonly #running: Set<object> = new Set();

  /**
   * Adds a server. A server of the same name that is closed is replaced.
   *
   * @param name The name of the server, for the label `parley.server.name`: 1 to 100 characters.
   * @param server What `serve()` or `serveWorkers()` has returned.
   * @throws {TypeError | RangeError} If the name is invalid or belongs to a server that is not closed, or `server` is
   * something else, such as a datagram server.
   */
  addServer(name: string, server: MeasuredServer): void {
    checkName(name);
    checkServer("server", server);
    addTo(this.#servers, name, server);
    this.#measureDuring(server);
  }

  /**
   * Adds a datagram server, in the same way. A server of sessions may have the same name.
   *
   * @param name The name of the server, for the label `parley.server.name`: 1 to 100 characters.
   * @param server What `serveDatagrams()` has returned.
   * @throws {TypeError | RangeError} If the name is invalid or belongs to a datagram server that is not closed, or
   * `server` is something else.
   */
  addDatagramServer(name: string, server: MeasuredDatagramServer): void {
    checkName(name);
    checkDatagramServer("server", server);
    addTo(this.#datagramServers, name, server);
    this.#measureDuring(server);
  }

  /**
   * Adds a hub. It replaces a former one of the same name.
   *
   * @param name The name of the hub, for the label `parley.hub.name`: 1 to 100 characters.
   * @param hub The hub.
   * @throws {TypeError | RangeError} If the name is invalid, or `hub` is something else.
   */
  addHub(name: string, hub: MeasuredHub): void {
    this.#add("hub", name, "hub must be a Hub", (take) => takeHub(hub.stats(), take));
  }

  /**
   * Adds a pool of sessions. It replaces a former one of the same name.
   *
   * @param name The name of the pool, for the label `parley.pool.name`: 1 to 100 characters.
   * @param pool What `sessionPool()` has returned.
   * @throws {TypeError | RangeError} If the name is invalid, or `pool` is something else.
   */
  addPool(name: string, pool: MeasuredPool): void {
    const demand = "pool must be what sessionPool() returns";
    this.#add("pool", name, demand, (take) => takePool(pool.stats(), take));
  }

  /**
   * Adds a capture. It replaces a former one of the same name.
   *
   * @param name The name of the capture, for the label `parley.capture.name`: 1 to 100 characters.
   * @param capture What `capture()` or `openCapture()` has returned.
   * @throws {TypeError | RangeError} If the name is invalid, or `capture` is something else.
   */
  addCapture(name: string, capture: MeasuredCapture): void {
    const demand = "capture must be what capture() or openCapture() returns";
    this.#add("capture", name, demand, (take) => takeCapture(capture.stats(), take));
  }

  /**
   * Returns an observer for `reconnect()`. Clients with the same name are counted together.
   *
   * @param name The name of the clients, for the label `parley.client.name`: 1 to 100 characters.
   * @returns The observer.
   * @throws {TypeError | RangeError} If the name is invalid.
   */
  clientObserver(name: string): ReconnectObserver {
    checkName(name);
    let client = this.#clients.get(name);
    if (client === undefined) this.#clients.set(name, client = new ClientSource());
    return client.observer;
  }

  /**
   * Returns all metrics that have values now.
   *
   * @returns The metrics.
   */
  collect(): Metric[] {
    const found = new Map<MetricName, MetricPoint[]>();
    const takeFor = (attributes: MetricAttributes): Take => (name, value, more) => {
      const point = { attributes: { ...attributes, ...more }, value };
      const points = found.get(name);
      if (points === undefined) found.set(name, [point]);
      else points.push(point);
    };
    const ofWorkers: Metric[] = [];
    for (const [name, server] of this.#servers) {
      const stats = server.stats();
      takeServer(server, stats, takeFor(serverAttributes(name, server.addr)));
      if ("metrics" in stats) ofWorkers.push(...stats.metrics.filter(({ name }) => isKnown(name)));
    }
    for (const [name, server] of this.#datagramServers) {
      takeDatagrams(server, takeFor(serverAttributes(name, server.addr)));
    }
    for (const [name, client] of this.#clients) {
      client.take(takeFor({ "parley.client.name": name }));
    }
    for (const { attributes, takeAll } of this.#others.values()) takeAll(takeFor(attributes));
    if (isMainThread) {
      const take = takeFor({});
      take("parley.event_loop.lateness", structuredClone(this.#lateness.durations));
      takeProcess(take);
    }
    const own = [...found].map(([name, points]) => ({ name, ...definitionOf(name), points }));
    return ofWorkers.length === 0 ? own : addMetrics([own, ofWorkers]);
  }

  /**
   * Returns the metrics as text for Prometheus. Send it with its `Content-Type`, as {@linkcode handler} does: Prometheus 3
   * refuses an answer without one.
   *
   * @param accept The header `Accept` of the request. It chooses between OpenMetrics 1.0.0 and the older text format
   * 0.0.4, which is the default.
   * @returns The text.
   */
  prometheus(accept?: string): string {
    return render(this.collect(), formatFor(accept));
  }

  /**
   * Reports the metrics to a meter of OpenTelemetry, also of servers and clients that are added later.
   *
   * Counters are read for each export. Durations are recorded then, each as the mean of the new ones in its range.
   *
   * @param meter A `Meter` of `@opentelemetry/api`.
   * @returns Ends the reports.
   * @throws {TypeError} If it is no meter.
   *
   * @example With Deno's own exporter: `OTEL_DENO=true deno run --allow-net main.ts`
   * ```ts ignore
   * import { metrics as api } from "@opentelemetry/api";
   * import { serve } from "@parley/tcp";
   * import { Metrics } from "@parley/tcp/metrics";
   *
   * const metrics = new Metrics();
   * metrics.addServer("greeter", serve({ port: 1234 }, (session) => session.send("welcome!")));
   * metrics.report(api.getMeter("greeter"));
   * ```
   */
  report(meter: Meter): () => void {
    checkMethods("meter", meter, METER_METHODS);
    return reportTo(meter, () => this.collect());
  }

  /** Answers a request of Prometheus, whatever its path. It can be passed to `Deno.serve()` and similar functions. */
  readonly handler = (request: Request): Response => {
    if (request.method !== "GET" && request.method !== "HEAD") {
      return new Response("use GET\n", { status: 405, headers: { allow: "GET, HEAD" } });
    }
    const format = formatFor(request.headers.get("accept") ?? undefined);
    const body = request.method === "HEAD" ? null : render(this.collect(), format);
    const headers = { "content-type": contentType(format), vary: "accept" };
    return new Response(body, { headers });
  };

  #add(kind: string, name: string, demand: string, takeAll: Other["takeAll"]): void {
    checkName(name);
    checkMeasured(demand, takeAll);
    this.#others.set(`${kind} ${name}`, {
      attributes: { [`parley.${kind}.name`]: name },
      takeAll,
    });
  }

  /** Measures the lateness of the event loop while there is a server: nothing of it is left when all are closed. */
  #measureDuring(server: MeasuredServer | MeasuredDatagramServer): void {
    const { finished } = server;
    if (!isMainThread || finished === undefined || server.state === "closed") return;
    if (this.#running.has(server)) return;
    this.#running.add(server);
    this.#lateness.start();
    const onEnd = (): void => {
      this.#running.delete(server);
      if (this.#running.size === 0) this.#lateness.stop();
    };
    finished.then(onEnd, onEnd);
  }
}

/** A hub, a pool or a capture. */
interface Other {
  readonly attributes: MetricAttributes;
  takeAll(take: Take): void;
}

function addTo<Server extends { readonly state: ServerState }>(
  servers: Map<string, Server>,
  name: string,
  server: Server,
): void {
  const former = servers.get(name);
  if (former !== undefined && former !== server && former.state !== "closed") {
    throw new TypeError(`there is a server of the name ${JSON.stringify(name)} already`);
  }
  servers.set(name, server);
}

/** Whether a metric is one of ours: a module may export something else that collects. */
function isKnown(name: string): boolean {
  return (METRIC_NAMES as readonly string[]).includes(name);
}

function takeProcess(take: Take): void {
  const { user, system } = process.cpuUsage();
  take("process.memory.usage", process.memoryUsage().rss);
  take("process.cpu.time", user / 1e6, { "cpu.mode": "user" });
  take("process.cpu.time", system / 1e6, { "cpu.mode": "system" });
  take("process.uptime", process.uptime());
}
