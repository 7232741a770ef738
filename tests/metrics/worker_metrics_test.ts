import process from "node:process";
import { assert, assertEquals } from "@std/assert";
import type { Durations } from "../../mod.ts";
import { Metrics } from "../../metrics/mod.ts";
import { addSessionDuration, noSessionDurations } from "../../serve/stats.ts";
import { serveWorkers } from "../../workers/mod.ts";
import { addMetrics, finalMetrics, type Metric } from "../../workers/metrics.ts";
import { countAbove, valueOf, valuesOf } from "../_metrics.ts";
import { until } from "../_serving.ts";
import { dialEach, kill, stop, withWorkers } from "../workers/_workers.ts";

Deno.test("Metrics has what the modules of workers measure, added up", withWorkers, async () => {
  const deaths: number[] = [];
  const server = serveWorkers(import.meta.resolve("./_measured.ts"), {
    port: 0,
    workers: 2,
    observer: { onWorkerEnd: (worker) => void deaths.push(worker) },
  });
  await server.listening;
  const metrics = new Metrics();
  metrics.addServer("hubs", server);
  const value = (name: string): unknown =>
    valuesOf(metrics, `parley.hub.${name}`, "parley.hub.name").news;
  const clients = await dialEach(server, 2);
  await until(() => server.stats().metrics.length > 0); // a worker has answered
  await until(() => value("sessions") === 2);
  for (const client of clients) {
    await client.send("rose\n");
    assertEquals(await client.readLine(), "rose");
  }
  await until(() => value("published_messages") === 2);
  assertEquals([value("groups"), value("disconnected")], [2, 0]);
  assertEquals(valuesOf(metrics, "parley.client.dials", "parley.client.name"), { unused: 0 });
  assert(valueOf(metrics, "process.uptime") <= process.uptime()); // those of workers are not added

  const [victim, other] = clients;
  await kill(victim!);
  await until(() => deaths.length === 1);
  assertEquals(value("published_messages"), 2);
  await until(() => server.stats().workers.every(({ state }) => state === "serving"));
  await until(() => value("sessions") === 1);
  await other!.send("jo\n");
  await until(() => value("published_messages") === 3);
  await stop(server, [other!]);
  assertEquals(value("published_messages"), 3);
});

Deno.test(
  "Metrics has the heap of each worker, and how late its event loop is",
  withWorkers,
  async () => {
    const module = import.meta.resolve("./_measured.ts");
    const server = serveWorkers(module, { port: 0, workers: 1, observer: {} });
    await server.listening;
    const metrics = new Metrics();
    metrics.addServer("late", server);
    const name = "parley.worker.event_loop.lateness";
    const late = (): Durations => valuesOf(metrics, name, "parley.worker")[0] as Durations;
    await until(() => countAbove(late(), 0) > 0);
    assert(valuesOf(metrics, "parley.worker.heap", "parley.worker")[0] as number > 1e6);
    const [client] = await dialEach(server, 1);
    await client!.send("block\n"); // for 300 ms: a timer of 100 ms is late by 200 at least
    await until(() => countAbove(late(), 100) > 0);
    const before = late();
    await kill(client!);
    await until(() => server.stats().workers[0]!.deaths === 1);
    for (const [key, { count }] of Object.entries(before)) {
      assert(late()[Number(key)]!.count >= count); // no counter goes down
    }
    await until(() => server.stats().workers[0]!.state === "serving");
    await stop(server);
    assertEquals(valuesOf(metrics, "parley.worker.heap", "parley.worker"), { 0: 0 });
  },
);

Deno.test("serveWorkers() refuses metrics that are none", withWorkers, async () => {
  const module = `data:text/javascript,export const metrics = {}; export default () => {};`;
  const server = serveWorkers(module, { port: 0, workers: 1, onError: () => {} });
  const error = await server.listening.then(() => undefined, (error) => error);
  assertEquals([
    error instanceof TypeError,
    /^collect of metrics of data:.* must be/.test(error.message),
  ], [
    true,
    true,
  ]);
  await server.finished.catch(() => {});
});

Deno.test("addMetrics() adds up what has the same labels", { permissions: "none" }, () => {
  const durations = [5, 15].map((duration) => {
    const one = noSessionDurations();
    addSessionDuration(one, duration);
    return one;
  });
  const of = (value: Metric["points"][number]["value"], label = "a"): Metric[] => [{
    name: "x",
    kind: "histogram",
    unit: "s",
    description: "d",
    points: [{ attributes: { label }, value }],
  }];
  assertEquals(addMetrics([]), []);
  assertEquals(addMetrics([of(1), of(2), of(4, "b")])[0]!.points, [
    { attributes: { label: "a" }, value: 3 },
    { attributes: { label: "b" }, value: 4 },
  ]);
  const [sum] = addMetrics(durations.map((one) => of(one)));
  const expected = noSessionDurations();
  addSessionDuration(expected, 5);
  addSessionDuration(expected, 15);
  assertEquals(sum!.points, [{ attributes: { label: "a" }, value: expected }]);
  assertEquals(durations[0]![10], { count: 1, sum: 5 }); // the parts are unchanged
  assertEquals(durations[0]![20], { count: 0, sum: 0 });
  const kinds = (["counter", "updowncounter", "histogram"] as const).map((kind) => ({
    ...of(1)[0]!,
    kind,
  }));
  assertEquals(finalMetrics(kinds).map(({ kind }) => kind), ["counter", "histogram"]);
});
