import { assert, assertEquals } from "@std/assert";
import { connect, type Durations, serve } from "../../mod.ts";
import { Metrics } from "../../metrics/mod.ts";
import { positive, totalOf, valuesOf } from "../_metrics.ts";
import { overNet, portOf, readAll, until } from "../_serving.ts";
import { serveTls } from "../_tls_serving.ts";
import { dial, dialEach, kill, serveCommands, stop, withWorkers } from "../workers/_workers.ts";

/** All series, without their values. */
function seriesOf(metrics: Metrics): string[] {
  return metrics.collect().flatMap(({ name, points }) =>
    points.map(({ attributes, value }) =>
      JSON.stringify([name, attributes, typeof value === "number" ? 0 : Object.keys(value)])
    )
  );
}

Deno.test("Metrics has the same series whatever clients do", overNet, async () => {
  await using tls = serveTls({
    tls: { mode: "detect", unknownServerName: "refuse", alpn: ["rose"] },
    maxSessionsPerAddress: 5,
    sessionRate: { perSecond: 1000 },
    onError: () => {},
  }, async (session) => {
    const line = await session.readLine({ maxLength: 10 });
    if (line !== "") throw new Error(line);
  });
  const proxied = serve({ port: 0, proxyProtocol: "required", trusted: ["127.0.0.1"] }, () => {});
  const metrics = new Metrics();
  metrics.addServer("tls", tls.server);
  metrics.addServer("proxied", proxied);
  const before = seriesOf(metrics);

  const bytes = crypto.getRandomValues(new Uint8Array(100));
  const inputs = [bytes, "\n", "x".repeat(100), '{"}\n', "\x16\x03\x01", ""];
  const headers = [
    "PROXY TCP4 203.0.113.7 203.0.113.8 4321 1234\r\n",
    "PROXY TCP6 2001:db8::7 ::1 1 2\r\n",
    "PROXY UNKNOWN\r\n",
    "PROXY rose\r\n",
  ];
  const visits = [
    ...inputs.map((input) => [tls.port, input] as const),
    ...headers.map((input) => [portOf(proxied), input] as const),
  ];
  for (const [port, input] of visits) {
    const client = await connect({ port });
    await client.send(input);
    await client.closeWrite().catch(() => {});
    await readAll(client).catch(() => {});
    await client.close();
  }
  for (const serverName of ["localhost", "rose.example", `${"x".repeat(60)}.example`]) {
    for (const alpn of [["rose"], ["x".repeat(255)]]) {
      const dialled = tls.dial({ tls: { serverName, alpn } });
      await dialled.then((client) => client.close(), () => {});
    }
  }
  const { server } = tls;
  await until(() => server.stats().active === 0 && proxied.stats().active === 0);
  assert(server.stats().refused > 2, JSON.stringify(server.stats()));
  assert(server.stats().accepted > 2);
  assert(proxied.stats().accepted > 2);
  assertEquals(seriesOf(metrics), before);
  await proxied.shutdown();
});

/** All counters. */
function countersOf(metrics: Metrics): Map<string, number> {
  const counters = new Map<string, number>();
  for (const { name, kind, points } of metrics.collect()) {
    if (kind === "updowncounter") continue;
    for (const { attributes, value } of points) {
      const key = JSON.stringify([name, attributes]);
      if (typeof value === "number") counters.set(key, value);
      else counters.set(key, totalOf(value).count);
    }
  }
  return counters;
}

Deno.test(
  "Metrics has the sums of workers, and no counter goes down when one dies",
  withWorkers,
  async () => {
    const { server, deaths } = await serveCommands();
    const metrics = new Metrics();
    metrics.addServer("commands", server);
    let latest = countersOf(metrics);
    const watch = (): void => {
      const now = countersOf(metrics);
      for (const [key, value] of latest) assert(now.get(key)! >= value, `${key}: ${value}`);
      latest = now;
    };
    const watching = setInterval(watch, 1);
    const active = (): number => valuesOf(metrics, "parley.active_sessions")[""] as number;
    const reason = "parley.session.end_reason";
    const ended = (): unknown => positive(valuesOf(metrics, "parley.ended_sessions", reason));
    for (let kills = 1; kills <= 3; kills++) {
      const [victim, other] = await dialEach(server, 2);
      const peerless = await dial(server);
      await until(() => active() === 3);
      const byWorker = valuesOf(metrics, "parley.worker.active_sessions", "parley.worker");
      const all = Object.values(byWorker) as number[];
      assertEquals([all.length, all[0]! + all[1]!], [2, 3]);
      await kill(victim!);
      await until(() => deaths.length === kills);
      await until(() => server.stats().workers.every(({ state }) => state === "serving"));
      for (const client of [other!, peerless]) client.abort();
      await until(() => active() === 0);
    }
    const started = valuesOf(metrics, "parley.started_sessions")[""] as number;
    const ends = Object.values(ended() as Record<string, number>);
    assertEquals(ends.reduce((sum, count) => sum + count), started);
    const { error } = ended() as { error: number };
    assert(error > 0);
    const { count } = totalOf(valuesOf(metrics, "parley.session.duration")[""] as Durations);
    assertEquals(count, started - error);
    const died = Object.values(valuesOf(metrics, "parley.worker.deaths", "parley.worker"));
    assertEquals((died[0] as number) + (died[1] as number), 3);
    clearInterval(watching);
    watch();
    await stop(server);
  },
);
