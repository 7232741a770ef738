import { assertEquals, assertStringIncludes } from "@std/assert";
import { type NetAddr, serve } from "../../mod.ts";
import { noDurations, WAITS } from "../../_internal/durations.ts";
import { Metrics } from "../../metrics/mod.ts";
import { formatFor } from "../../metrics/prometheus.ts";
import { addSessionDuration, noStats } from "../../serve/stats.ts";
import { memoryListener } from "../../transport/mod.ts";
import { canNet, canRead, canWrite } from "../_permissions.ts";
import { isInstalled, Program } from "../_programs.ts";
import { bounded, echo } from "../_serving.ts";
import { makeTempDir } from "../_temp_dir.ts";

const OPEN = "application/openmetrics-text";
/** What may not break the format, if a program chooses it as a name. */
const NAMES = ['"', "\\", "\n", '\\"\n', "{}", "ÿ🌹", "\u2028", "# HELP x", "x".repeat(100), "\0"];

Deno.test("formatFor() chooses the format that is asked for most", { permissions: "none" }, () => {
  const cases: Record<string, [format: string, accepts: (string | undefined)[]]> = {
    text: ["text", [
      undefined,
      "",
      "*/*",
      "text/plain",
      "text/html, */*",
      `${OPEN};version=1.0.0;q=0`,
      `${OPEN};version=1.0.0;q=0.1, text/plain`,
      `${OPEN};version=2.0.0`,
      `${OPEN};version=1.0.0;q=rose`,
      ",;;q=,q=1",
      " ".repeat(1000) + OPEN,
      "application/openmetrics-textual",
    ]],
    openmetrics: ["openmetrics", [
      OPEN,
      `${OPEN.toUpperCase()}; VERSION=1.0.0; charset=utf-8`,
      `${OPEN};version=1.0.0,${OPEN};version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1`,
      `${OPEN};version=1.0.0;escaping=allow-utf-8;q=0.6,${OPEN};version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2`,
    ]],
  };
  for (const [format, accepts] of Object.values(cases)) {
    for (const accept of accepts) assertEquals([accept, formatFor(accept)], [accept, format]);
  }
});

/** Metrics with values of all kinds, and with names of any kind. */
function someMetrics(): { metrics: Metrics } & AsyncDisposable {
  const metrics = new Metrics();
  const listener = memoryListener();
  const server = serve({ listener }, echo);
  for (const name of NAMES) metrics.addServer(name, server);
  for (const name of NAMES) metrics.clientObserver(name);
  listener.connect().close();
  const stats = server.stats();
  const lateness = noDurations(WAITS);
  const workers = [0, 1].map((worker) =>
    ({ worker, state: "serving", deaths: 1, stats, metrics: [], lateness, heap: 0 }) as const
  );
  metrics.addServer("workers", {
    addr: { transport: "tcp", hostname: "::1", port: 1234 },
    state: "listening",
    stats: () => ({ ...server.stats(), workers, metrics: [] }),
  });
  return { metrics, [Symbol.asyncDispose]: () => server.shutdown() };
}

Deno.test("Metrics.prometheus() passes promtool's check", {
  ...bounded,
  ignore: !await isInstalled("promtool", "--version"),
}, async () => {
  await using some = someMetrics();
  await using program = new Program("promtool", ["check", "metrics"]);
  await program.type(some.metrics.prometheus());
  await program.endInput();
  const { code, stdout, stderr } = await program.ended();
  assertEquals([code, stdout, stderr], [0, "", ""]);
});

Deno.test("Metrics.prometheus() writes counters, gauges and histograms in both formats", () => {
  const metrics = new Metrics();
  const stats = noStats();
  for (const duration of [10, 11, 1000, 1e12]) addSessionDuration(stats.durations, duration);
  stats.accepted = 3;
  metrics.addServer('"\\\n', {
    addr: { transport: "unix", path: "/run/one.sock" },
    state: "listening",
    stats: () => ({ ...stats, unsent: 1.5e21 }),
  });
  const labels =
    'parley_server_name="\\"\\\\\\n",network_transport="unix",server_address="/run/one.sock"';
  const buckets = [
    ...[["0.01", 1], ["0.02", 2], ["0.05", 2], ["0.1", 2], ["0.2", 2], ["0.5", 2], ["1.0", 3]],
    ...[["2.0", 3], ["5.0", 3], ["10.0", 3], ["30.0", 3], ["60.0", 3], ["120.0", 3]],
    ...[["300.0", 3], ["1800.0", 3], ["3600.0", 3], ["21600.0", 3], ["86400.0", 3], ["+Inf", 4]],
  ].map(([le, count]) => `parley_session_duration_seconds_bucket{${labels},le="${le}"} ${count}`);
  const histogram = [
    ...buckets,
    `parley_session_duration_seconds_sum{${labels}} 1000000001.021`,
    `parley_session_duration_seconds_count{${labels}} 4`,
  ];
  const help = "parley_session_duration_seconds How long the sessions lasted that have ended";
  assertIncludesLines(metrics.prometheus(), [
    `# HELP ${help}`,
    "# TYPE parley_session_duration_seconds histogram",
    ...histogram,
  ]);
  assertIncludesLines(metrics.prometheus(OPEN), [
    `# HELP ${help}`,
    "# TYPE parley_session_duration_seconds histogram",
    "# UNIT parley_session_duration_seconds seconds",
    ...histogram,
  ]);
  const started = `parley_started_sessions_total{${labels}} 3`;
  const description = "Connections that became sessions";
  assertIncludesLines(metrics.prometheus(), [
    `# HELP parley_started_sessions_total ${description}`,
    "# TYPE parley_started_sessions_total counter",
    started,
  ]);
  assertIncludesLines(metrics.prometheus(OPEN), [
    `# HELP parley_started_sessions ${description}`,
    "# TYPE parley_started_sessions counter",
    started,
  ]);
  assertIncludesLines(metrics.prometheus(), [
    "# TYPE parley_unsent_output_bytes gauge",
    `parley_unsent_output_bytes{${labels}} 1.5e+21`,
  ]);
});

function assertIncludesLines(text: string, lines: string[]): void {
  assertStringIncludes(`\n${text}`, `\n${lines.join("\n")}\n`);
}

/** Scrapes in both formats: Prometheus itself always prefers OpenMetrics. */
const config = (port: number): string => `
global: { scrape_interval: 200ms, scrape_timeout: 200ms }
scrape_configs:
  - job_name: openmetrics
    static_configs: [{ targets: ["127.0.0.1:${port}"] }]
  - job_name: text
    metrics_path: /text
    static_configs: [{ targets: ["127.0.0.1:${port}"] }]
`;

Deno.test("Metrics.handler is scraped by Prometheus", {
  ...bounded,
  ignore: !canNet || !canRead || !canWrite || !await isInstalled("prometheus", "--version"),
}, async () => {
  await using some = someMetrics();
  await using http = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request) =>
      some.metrics.handler(request.url.endsWith("/text") ? new Request(request.url) : request),
  );
  await using dir = await makeTempDir();
  await Deno.writeTextFile(`${dir.path}/config.yml`, config((http.addr as NetAddr).port));
  await using program = new Program("prometheus", [
    `--config.file=${dir.path}/config.yml`,
    `--storage.tsdb.path=${dir.path}/data`,
    "--web.listen-address=127.0.0.1:0",
  ]);
  const [, port] = await program.stderr.until(/msg="Listening on" address=127\.0\.0\.1:(\d+)/);
  await program.stderr.until(/Server is ready/);
  const ask = async (
    query: string,
  ): Promise<{ metric: Record<string, string>; value: string[] }[]> => {
    const url = `http://127.0.0.1:${port}/api/v1/query?query=${encodeURIComponent(query)}`;
    const { status, data, error } = await (await fetch(url)).json();
    assertEquals([status, error], ["success", undefined]);
    return data.result;
  };
  while ((await ask("up == 1")).length < 2) await new Promise((resolve) => setTimeout(resolve, 50));

  const lines = some.metrics.prometheus().split("\n").filter((line) => /^\w/.test(line)).length;
  for (const job of ["openmetrics", "text"]) {
    const states = await ask(`parley_server_state{job="${job}"} == 1`);
    const found = states.map(({ metric }) => metric.parley_server_name).toSorted();
    assertEquals(found, [...NAMES, "workers"].toSorted());
    const started = await ask(
      `parley_started_sessions_total{job="${job}",parley_server_name="{}"}`,
    );
    assertEquals(started.map(({ value }) => value[1]), ["1"]);
    const buckets = await ask(
      `parley_session_duration_seconds_bucket{job="${job}",parley_server_name="{}"}`,
    );
    assertEquals(buckets.map(({ metric }) => Number(metric.le)).length, 19);
    const series = await ask(`count({job="${job}",__name__=~"(parley|process)_.*"})`);
    assertEquals(series.map(({ value }) => value[1]), [String(lines)]);
  }
});
