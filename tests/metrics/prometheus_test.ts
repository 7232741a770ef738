import { assertEquals } from "@std/assert";
import { type NetAddr, serve } from "../../mod.ts";
import { Metrics } from "../../metrics/mod.ts";
import { formatFor } from "../../metrics/prometheus.ts";
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
  const workers = [0, 1].map((worker) => ({ worker, state: "serving", deaths: 1, stats } as const));
  metrics.addServer("workers", {
    addr: { transport: "tcp", hostname: "::1", port: 1234 },
    state: "listening",
    stats: () => ({ ...server.stats(), workers }),
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
