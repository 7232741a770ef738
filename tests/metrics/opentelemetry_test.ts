import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import type { Meter as RealMeter, Span, Tracer as RealTracer } from "@opentelemetry/api";
import { type Durations, type NetAddr, serve } from "../../mod.ts";
import {
  type MetricAttributes,
  Metrics,
  type SessionTracer,
  traceSessions,
} from "../../metrics/mod.ts";
import type { Meter, Tracer } from "../../metrics/mod.ts";
import { addSessionDuration, noSessionDurations, noStats } from "../../serve/stats.ts";
import { Session } from "../../session.ts";
import { memoryListener } from "../../transport/mod.ts";
import { Program } from "../_programs.ts";
import { ask, bounded, overNet, until } from "../_serving.ts";
import { serveTls } from "../_tls_serving.ts";
import { canRun } from "../_permissions.ts";

// The compiler checks that the real API has these shapes.
const _meter = (meter: RealMeter): Meter => meter;
const _tracer = (tracer: RealTracer): Tracer<Span> => tracer;

/** An attribute or a body in OTLP. */
interface Attribute {
  key: string;
  value: { stringValue?: string; doubleValue?: number; intValue?: string };
}

interface DataPoint {
  attributes: Attribute[];
  asDouble?: number;
  count?: string;
  sum?: number;
  bucketCounts?: string[];
  explicitBounds?: number[];
}

interface SentMetric {
  name: string;
  unit: string;
  sum?: { dataPoints: DataPoint[]; isMonotonic: boolean };
  histogram?: { dataPoints: DataPoint[] };
}

interface SentSpan {
  name: string;
  kind: number;
  attributes: Attribute[];
  events: { name: string }[];
  status: { code?: number; message?: string };
  traceId: string;
  spanId: string;
  links?: { traceId: string; spanId: string; attributes: Attribute[] }[];
}

/** A receiver of OTLP in JSON. */
class Receiver implements AsyncDisposable {
  readonly spans: SentSpan[] = [];
  /** The latest metrics. */
  metrics: SentMetric[] = [];
  readonly #http = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request) => this.#take(request),
  );
  #news: PromiseWithResolvers<void> = Promise.withResolvers();

  get url(): string {
    return `http://127.0.0.1:${(this.#http.addr as NetAddr).port}`;
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await this.#news.promise;
  }

  async #take(request: Request): Promise<Response> {
    const sent = await request.json();
    for (const { scopeMetrics } of sent.resourceMetrics ?? []) {
      for (const { scope, metrics } of scopeMetrics) {
        if (scope.name === "parley-test") this.metrics = metrics;
      }
    }
    for (const { scopeSpans } of sent.resourceSpans ?? []) {
      for (const { scope, spans } of scopeSpans) {
        if (scope.name === "parley-test") this.spans.push(...spans);
      }
    }
    this.#news.resolve();
    this.#news = Promise.withResolvers();
    return Response.json({});
  }

  /** The values of a metric that are not 0, by a label. */
  values(name: string, label = ""): Record<string, number> {
    const metric = this.metrics.find((metric) => metric.name === name);
    const points = metric?.sum?.dataPoints.filter(({ asDouble }) => asDouble !== 0) ?? [];
    return Object.fromEntries(points.map(({ attributes, asDouble }) => [
      attributes.find(({ key }) => key === label)?.value.stringValue ?? "",
      asDouble!,
    ]));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#http.shutdown();
  }
}

function plain(attributes: Attribute[]): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [
    key,
    value.stringValue ?? value.doubleValue ?? Number(value.intValue),
  ]));
}

Deno.test("Metrics.report() and traceSessions() reach Deno's exporter", {
  ...overNet,
  ignore: overNet.ignore || !await canRun("deno"),
}, async () => {
  await using receiver = new Receiver();
  const file = new URL("./_reporting.ts", import.meta.url).pathname;
  await using program = new Program("deno", ["run", "--quiet", "--allow-all", file], {
    OTEL_DENO: "true",
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
    OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
    OTEL_METRIC_EXPORT_INTERVAL: "100",
    OTEL_BSP_SCHEDULE_DELAY: "100",
  });
  await program.stdout.until(/done/);
  const reason = "parley.session.end_reason";
  const ended = (): Record<string, number> => receiver.values("parley.ended_sessions", reason);
  await receiver.until(() =>
    ended().limit === 1 && (ended().local ?? 0) + (ended().peer ?? 0) === 3
  );
  await receiver.until(() => receiver.spans.length === 9);
  assertEquals(receiver.values("parley.started_sessions"), { "": 4 });
  assertEquals(receiver.values("parley.client.dials"), { "": 3 });
  const durations = receiver.metrics.find(({ name }) => name === "parley.session.duration")!;
  const [point] = durations.histogram!.dataPoints;
  assertEquals([durations.unit, point!.count], ["s", "4"]);
  assertEquals(point!.explicitBounds!.slice(0, 3), [0.01, 0.02, 0.05]);
  assertEquals(point!.bucketCounts!.length, 19);
  assert(point!.sum! > 0);
  const { "server.port": port, ...labels } = plain(point!.attributes);
  assert(Number(port) > 0);
  assertEquals(labels, {
    "parley.server.name": "greeter",
    "network.transport": "tcp",
    "server.address": "127.0.0.1",
  });

  const sessions = receiver.spans.filter(({ name }) => name === "session");
  const [linked, ...others] = sessions.filter(({ links }) =>
    links !== undefined && links.length > 0
  );
  assertEquals(others, []);
  const said = receiver.spans.find(({ name }) => name === "say")!;
  const [link, ...more] = linked!.links!;
  assertEquals([link!.traceId, link!.spanId, more], [said.traceId, said.spanId, []]);
  assertEquals(plain(link!.attributes), { "parley.hub.group": "hall" });
  const served = sessions.filter((span) => span !== linked);
  const dialled = receiver.spans.filter(({ name }) => name === "greeted");
  assertEquals([served.length, dialled.length], [4, 3]);
  for (const { kind } of dialled) assertEquals(kind, 3);
  const refused = served.find(({ status }) => status.code === 2)!;
  assertMatch(refused.status.message!, /^FrameTooLargeError: /);
  const attributes = plain(refused.attributes);
  assertEquals(
    [attributes[reason], attributes["error.type"], attributes["parley.session.bytes_received"]],
    ["limit", "limit", 100],
  );
  const greeted = served.filter(({ events }) => events.some(({ name }) => name === "greeting"));
  assertEquals(greeted.length, 3);
  await program.endInput();
  const { code, stderr } = await program.ended();
  assertEquals([code, stderr], [0, ""]);
});

/** A meter that keeps what it is given. */
class FakeMeter implements Meter {
  readonly recorded: [name: string, value: number, attributes: MetricAttributes | undefined][] = [];
  readonly observed: Map<string, number> = new Map();
  readonly #callbacks: Set<Parameters<Meter["addBatchObservableCallback"]>[0]> = new Set();

  createObservableCounter(name: string): object {
    return { name };
  }
  createObservableUpDownCounter(name: string): object {
    return { name };
  }
  createHistogram(name: string): ReturnType<Meter["createHistogram"]> {
    return { record: (...args) => void this.recorded.push([name, ...args as [number, undefined]]) };
  }
  addBatchObservableCallback(...[callback]: Parameters<Meter["addBatchObservableCallback"]>): void {
    this.#callbacks.add(callback);
  }
  removeBatchObservableCallback(
    ...[callback]: Parameters<Meter["removeBatchObservableCallback"]>
  ): void {
    this.#callbacks.delete(callback);
  }
  export(): void {
    this.observed.clear();
    this.recorded.length = 0;
    for (const callback of this.#callbacks) {
      callback({
        observe: (counter, value) => this.observed.set((counter as { name: string }).name, value),
      });
    }
  }
}

Deno.test("Metrics.report() records each duration once, in its range, with the exact sum", () => {
  const metrics = new Metrics();
  const meter = new FakeMeter();
  const end = metrics.report(meter);
  let durations: Durations = noSessionDurations();
  metrics.addServer("one", {
    addr: { transport: "unix", path: "/run/one.sock" },
    state: "listening",
    stats: () => ({ ...noStats(), durations: structuredClone(durations) }),
  });
  const attributes = {
    "parley.server.name": "one",
    "network.transport": "unix",
    "server.address": "/run/one.sock",
  };
  const recorded = (): unknown => {
    meter.export();
    return meter.recorded;
  };
  assertEquals(recorded(), []);
  for (const duration of [0, 4, 10, 10.5, 1e9]) addSessionDuration(durations, duration);
  const name = "parley.session.duration";
  const mean = 14 / 3 / 1000;
  assertEquals(recorded(), [
    [name, mean, attributes],
    [name, mean, attributes],
    [name, mean, attributes],
    [name, 0.0105, attributes],
    [name, 1e6, attributes],
  ]);
  assertEquals(recorded(), []);
  addSessionDuration(durations, 8);
  assertEquals(recorded(), [[name, 0.008, attributes]]);
  durations = noSessionDurations(); // as after a restart
  addSessionDuration(durations, 6);
  assertEquals(recorded(), [[name, 0.006, attributes]]);
  assertEquals(meter.observed.get("parley.active_sessions"), 0);
  end();
  meter.export();
  assertEquals([meter.observed.size, meter.recorded.length], [0, 0]);
});

Deno.test("Metrics.report() refuses what is no meter", () => {
  const problem = "createHistogram of meter must be a function";
  const create = (): object => ({});
  const meter = { createObservableCounter: create, createObservableUpDownCounter: create };
  assertThrows(() => new Metrics().report(meter as never), TypeError, problem);
  assertThrows(() => new Metrics().report(undefined as never), TypeError, "meter");
});

/** Spans that are plain objects. */
function fakeSpans(): [SessionTracer<object>, Record<string, unknown>[]] {
  const made: Record<string, unknown>[] = [];
  const startSpan: Tracer["startSpan"] = (_name, options) => {
    const attributes: Record<string, unknown> = { ...options!.attributes };
    made.push(attributes);
    return {
      setAttributes: (more) => Object.assign(attributes, more),
      setStatus: ({ message }) => Object.assign(attributes, { message }),
      end: () => Object.assign(attributes, { ended: true }),
    };
  };
  return [traceSessions({ startSpan }), made];
}

Deno.test("traceSessions() has the addresses and TLS of a session", overNet, async () => {
  const [spans, made] = fakeSpans();
  await using tls = serveTls({ observer: spans, tls: { alpn: ["x".repeat(255)] } });
  const client = await tls.dial({
    tls: { serverName: "localhost", alpn: ["x".repeat(255)] },
  });
  await ask(client, "rose");
  const { port } = client.localAddr as NetAddr;
  await client.close();
  await until(() => made[0]?.ended === true);
  const { "tls.cipher": cipher, ...rest } = made[0]!;
  assertMatch(cipher as string, /^TLS_/);
  assertEquals(rest, {
    "parley.session.id": 1,
    "network.transport": "tcp",
    "server.address": "127.0.0.1",
    "server.port": tls.port,
    "client.address": "127.0.0.1",
    "client.port": port,
    "tls.protocol.name": "tls",
    "tls.protocol.version": "1.3",
    "tls.next_protocol": "x".repeat(255),
    "tls.client.server_name": "localhost",
    "parley.session.end_reason": "peer",
    "parley.session.bytes_received": 5,
    "parley.session.bytes_transmitted": 6,
    ended: true,
  });
});

Deno.test("traceSessions() bounds and escapes what a peer has chosen", bounded, async () => {
  const worst = "\x1b[2J\n\u202e" + "x".repeat(10_000);
  const [spans, made] = fakeSpans();
  const listener = memoryListener();
  const server = serve({ listener, observer: spans, onError: () => {} }, async (session) => {
    assert(spans.spanOf(session) !== undefined);
    await session.readLine();
    throw new Error(worst);
  });
  const session = new Session(listener.connect());
  await session.send("rose\n");
  await session.readLine().catch(() => {});
  session.abort();
  await server.shutdown();
  assertEquals(made.length, 1);
  const { message, ended, ...rest } = made[0]!;
  assertEquals([ended, rest["error.type"]], [true, "error"]);
  assertEquals((message as string).length, 256);
  assertEquals((message as string).startsWith("Error: \\x1b[2J\\n\\u202ex"), true);
});

Deno.test("traceSessions() refuses wrong options", () => {
  const tracer = { startSpan: () => undefined as never };
  assertThrows(() => traceSessions(tracer, { name: "" }), RangeError, "name must have 1 to 100");
  assertThrows(() => traceSessions(tracer, { kind: "rose" as never }), RangeError, "kind");
});
