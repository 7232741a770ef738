// The alerts, the dashboard and the guide for operators.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import dashboard from "../../examples/operations/dashboard.json" with { type: "json" };
import { noEnds } from "../../serve/stats.ts";
import { METRIC_NAMES } from "../../metrics/definitions.ts";
import { fullMetrics } from "../_metrics.ts";
import { canRead, canWrite } from "../_permissions.ts";
import { isInstalled, Program } from "../_programs.ts";
import { makeTempDir } from "../_temp_dir.ts";

const ALERTS = new URL("../../examples/operations/alerts.yml", import.meta.url);
const GUIDE = new URL("../../docs/operations.md", import.meta.url);
const reading = { ignore: !canRead };
const checking = {
  ignore: !canRead || !canWrite || !await isInstalled("promtool", "--version"),
  timeout: 60_000,
};

/** Names that Prometheus gets: of samples, and of labels. */
function scrapedNames(): { samples: Set<string>; labels: Set<string> } {
  const metrics = fullMetrics();
  const lines = metrics.prometheus().split("\n").filter((line) => /^\w/.test(line));
  const labels = lines.flatMap((line) =>
    [...line.matchAll(/[{,](\w+)="/g)].map(([, name]) => name!)
  );
  return { samples: new Set(lines.map((line) => /^\w+/.exec(line)![0])), labels: new Set(labels) };
}

/** The names in expressions of Prometheus that are ours and do not exist. */
function unknownNames(text: string): string[] {
  const { samples, labels } = scrapedNames();
  const names = text.match(/\b(parley|process|network|error)_\w+/g) ?? [];
  return names.filter((name) => !samples.has(name) && !labels.has(name));
}

/** The expressions of the dashboard, with values for its variables. */
function expressions(): string[] {
  const queries = dashboard.panels.flatMap(({ targets = [] }: { targets?: { expr: string }[] }) =>
    targets.map(({ expr }) => expr)
  );
  return queries.map((expr) =>
    expr.replaceAll("$__rate_interval", "5m").replaceAll(/\$(job|instance|server)\b/g, ".*")
  );
}

async function promtool(...args: string[]): Promise<string> {
  await using program = new Program("promtool", args);
  const { code, stdout, stderr } = await program.ended();
  assertEquals(code, 0, stdout + stderr);
  return stdout;
}

const server = 'parley_server_name="a"';

/** For each alert, series with which it fires, and with which it does not: `START+STEPxCOUNT` of promtool. */
const CASES: Record<string, [fires: Record<string, string>, quiet: Record<string, string>]> = {
  ParleyNotListening: [
    { [`parley_server_state{${server},parley_server_state="listening"}`]: "0x180" },
    {
      [`parley_server_state{${server},parley_server_state="listening"}`]: "1x180",
      [`parley_server_state{${server},parley_server_state="draining"}`]: "0x180",
    },
  ],
  ParleyFull: [
    { [`parley_rejected_connections_total{${server},error_type="maxSessions"}`]: "0+1x180" },
    { [`parley_rejected_connections_total{${server},error_type="left"}`]: "0+100x180" },
  ],
  ParleyNearlyFull: [
    { [`parley_active_sessions{${server}}`]: "9001x180" },
    { [`parley_active_sessions{${server}}`]: "9000x180" },
  ],
  ParleyFlood: [
    { [`parley_rejected_connections_total{${server},error_type="denied"}`]: "0+6100x180" },
    { [`parley_rejected_connections_total{${server},error_type="denied"}`]: "0+5900x180" },
  ],
  ParleyAcceptErrors: [
    { [`parley_accept_errors_total{${server}}`]: "0+2x180" },
    { [`parley_accept_errors_total{${server}}`]: "0+1x180" },
  ],
  ParleyHandlerErrors: [
    {
      [`parley_handler_errors_total{${server}}`]: "0+11x180",
      [`parley_started_sessions_total{${server}}`]: "0+1000x180",
    },
    {
      [`parley_handler_errors_total{${server}}`]: "0+9x180",
      [`parley_started_sessions_total{${server}}`]: "0+1000x180",
    },
  ],
  ParleyHandshakeErrors: [
    {
      [`parley_tls_handshake_errors_total{${server},error_type="alert"}`]: "0+30x180",
      [`parley_tls_handshake_duration_seconds_count{${server}}`]: "0+100x180",
    },
    {
      [`parley_tls_handshake_errors_total{${server},error_type="alert"}`]: "0+10x180",
      [`parley_tls_handshake_duration_seconds_count{${server}}`]: "0+100x180",
    },
  ],
  ParleySlowHandshakes: [
    {
      [`parley_tls_handshake_duration_seconds_bucket{${server},le="1.0"}`]: "0+1x180",
      [`parley_tls_handshake_duration_seconds_bucket{${server},le="2.5"}`]: "0+2x180",
      [`parley_tls_handshake_duration_seconds_bucket{${server},le="+Inf"}`]: "0+2x180",
    },
    {
      [`parley_tls_handshake_duration_seconds_bucket{${server},le="1.0"}`]: "0+2x180",
      [`parley_tls_handshake_duration_seconds_bucket{${server},le="2.5"}`]: "0+2x180",
      [`parley_tls_handshake_duration_seconds_bucket{${server},le="+Inf"}`]: "0+2x180",
    },
  ],
  ParleySlowClients: [
    {
      [`parley_blocked_sessions{${server}}`]: "11x180",
      [`parley_active_sessions{${server}}`]: "100x180",
    },
    {
      [`parley_blocked_sessions{${server}}`]: "11x180",
      [`parley_active_sessions{${server}}`]: "1000x180",
    },
  ],
  ParleyMemoryShort: [
    { [`parley_memory_pressure{${server},parley_memory_pressure="reading-paused"}`]: "1x180" },
    { [`parley_memory_pressure{${server},parley_memory_pressure="none"}`]: "1x180" },
  ],
  ParleyMemoryEndedSessions: [
    { [`parley_memory_ended_sessions_total{${server}}`]: "0x55 1x10" },
    { [`parley_memory_ended_sessions_total{${server}}`]: "1x180" },
  ],
  ParleyMemoryGrows: [
    {
      'process_memory_usage_bytes{job="a",instance="b"}': "100x160 200x40",
      [`parley_active_sessions{job="a",instance="b",${server}}`]: "10x200",
    },
    {
      'process_memory_usage_bytes{job="a",instance="b"}': "100x160 200x40",
      [`parley_active_sessions{job="a",instance="b",${server}}`]: "10x160 20x40",
    },
  ],
  ParleyWorkerDies: [
    { [`parley_worker_deaths_total{${server},parley_worker="0"}`]: "0x55 1x10" },
    { [`parley_worker_deaths_total{${server},parley_worker="0"}`]: "1x180" },
  ],
  ParleyWorkerMissing: [
    { [`parley_workers{${server},parley_worker_state="waiting"}`]: "1x180" },
    { [`parley_workers{${server},parley_worker_state="serving"}`]: "2x180" },
  ],
  ParleyEventLoopLate: [
    {
      'parley_event_loop_lateness_seconds_bucket{le="0.1"}': "0+9x180",
      'parley_event_loop_lateness_seconds_bucket{le="0.2"}': "0+10x180",
      'parley_event_loop_lateness_seconds_bucket{le="+Inf"}': "0+10x180",
    },
    {
      'parley_event_loop_lateness_seconds_bucket{le="0.1"}': "0+10x180",
      'parley_event_loop_lateness_seconds_bucket{le="0.2"}': "0+10x180",
      'parley_event_loop_lateness_seconds_bucket{le="+Inf"}': "0+10x180",
      [`parley_worker_event_loop_lateness_seconds_bucket{${server},parley_worker="0",le="0.1"}`]:
        "0+10x180",
      [`parley_worker_event_loop_lateness_seconds_bucket{${server},parley_worker="0",le="+Inf"}`]:
        "0+10x180",
    },
  ],
  ParleyCaptureDrops: [
    { 'parley_capture_dropped_packets_total{parley_capture_name="a"}': "0x55 1x10" },
    { 'parley_capture_dropped_packets_total{parley_capture_name="a"}': "1x180" },
  ],
  ParleyDatagramsDropped: [
    {
      [`parley_datagram_dropped_total{${server},error_type="rate"}`]: "0+6x180",
      [`parley_datagram_received_total{${server}}`]: "0+100x180",
    },
    {
      [`parley_datagram_dropped_total{${server},error_type="rate"}`]: "0+4x180",
      [`parley_datagram_received_total{${server}}`]: "0+100x180",
    },
  ],
  ParleyClientDisconnected: [
    {
      'parley_client_active_sessions{parley_client_name="a"}': "0x180",
      'parley_client_dials_total{parley_client_name="a"}': "0+1x180",
    },
    {
      'parley_client_active_sessions{parley_client_name="a"}': "0x180",
      'parley_client_dials_total{parley_client_name="a"}': "1x180",
    },
  ],
  ParleyClientUnstable: [
    {
      'parley_client_ended_sessions_total{parley_client_name="a",parley_session_end_reason="peer"}':
        "0+1x180",
    },
    {
      'parley_client_ended_sessions_total{parley_client_name="a",parley_session_end_reason="local"}':
        "0+1x180",
    },
  ],
  ParleyPoolExhausted: [
    {
      'parley_pool_refused_callers_total{parley_pool_name="a",error_type="maxWaiting"}': "0+1x180",
    },
    { 'parley_pool_refused_callers_total{parley_pool_name="a",error_type="maxWaiting"}': "1x180" },
  ],
  ParleyHubWithoutBus: [
    { 'parley_hub_disconnected{parley_hub_name="a"}': "1x180" },
    { 'parley_hub_disconnected{parley_hub_name="a"}': "0x180" },
  ],
  ParleyHubLosesMessages: [
    {
      'parley_hub_lost_messages_total{parley_hub_name="a"}': "0+1x180",
      'parley_hub_unpublished_messages_total{parley_hub_name="a"}': "0x180",
    },
    {
      'parley_hub_lost_messages_total{parley_hub_name="a"}': "5x180",
      'parley_hub_unpublished_messages_total{parley_hub_name="a"}': "0x180",
    },
  ],
  ParleyHubDropsMessages: [
    { 'parley_hub_dropped_messages_total{parley_hub_name="a"}': "0+1x180" },
    { 'parley_hub_dropped_messages_total{parley_hub_name="a"}': "9x180" },
  ],
};
/** The times between the values of series, and when the alerts are looked at. */
const SOON = { interval: "1m", at: "60m" };
const NEXT_DAY = { interval: "10m", at: "1800m" };

/** A case for `promtool test rules`. */
function testOf(alert: string, series: Record<string, string>, fires: boolean): unknown {
  const { interval, at } = alert === "ParleyMemoryGrows" ? NEXT_DAY : SOON;
  return {
    interval,
    input_series: Object.entries(series).map(([series, values]) => ({ series, values })),
    promql_expr_test: [{
      expr: `count by (alertname) (ALERTS{alertstate="firing",alertname="${alert}"})`,
      eval_time: at,
      exp_samples: fires ? [{ labels: `{alertname="${alert}"}`, value: 1 }] : [],
    }],
  };
}

Deno.test("alerts.yml has alerts that fire when they should", checking, async () => {
  const rules = await Deno.readTextFile(ALERTS);
  const alerts = [...rules.matchAll(/- alert: (\w+)/g)].map(([, name]) => name!);
  assertEquals(alerts.toSorted(), Object.keys(CASES).toSorted());
  await using dir = await makeTempDir();
  assertStringIncludes(await promtool("check", "rules", ALERTS.pathname), "SUCCESS");
  const tests = Object.entries(CASES).flatMap(([alert, [fires, quiet]]) => [
    testOf(alert, fires, true),
    testOf(alert, quiet, false),
  ]);
  const file = `${dir.path}/test.yml`; // JSON is YAML
  const rule_files = [ALERTS.pathname];
  await Deno.writeTextFile(file, JSON.stringify({ rule_files, evaluation_interval: "10m", tests }));
  assertStringIncludes(await promtool("test", "rules", file), "SUCCESS");
});

Deno.test("alerts.yml and dashboard.json name what Prometheus gets", reading, async () => {
  const rules = await Deno.readTextFile(ALERTS);
  assertEquals(unknownNames(rules), []);
  assertEquals(unknownNames(JSON.stringify(dashboard)), []);
  for (const series of Object.values(CASES).flat().flatMap((series) => Object.keys(series))) {
    assertEquals(unknownNames(series), []);
  }
});

Deno.test("dashboard.json has expressions that promtool accepts", checking, async () => {
  await using dir = await makeTempDir();
  const rules = expressions().map((expr, i) => ({ record: `panel:${i}`, expr }));
  assert(rules.length > 30);
  const file = `${dir.path}/dashboard.yml`;
  await Deno.writeTextFile(file, JSON.stringify({ groups: [{ name: "dashboard", rules }] }));
  assertStringIncludes(await promtool("check", "rules", file), `${rules.length} rules found`);
});

/** The kinds of panels of Grafana that are used. */
const PANELS = ["row", "stat", "timeseries", "heatmap"];
const UNITS = ["short", "cps", "s", "bytes", "Bps"];
/** The columns of a dashboard. */
const COLUMNS = 24;

Deno.test(
  "dashboard.json is a dashboard of Grafana's classic model",
  { permissions: "none" },
  () => {
    const { title, uid, schemaVersion, panels, templating, time } = dashboard;
    assertEquals([title, uid, time.to], ["Parley", "parley", "now"]);
    assert(schemaVersion >= 36); // data sources are objects
    const variables = templating.list.map(({ name }) => name);
    assertEquals(variables, ["datasource", "job", "instance", "server"]);
    assertEquals(new Set(panels.map(({ id }) => id)).size, panels.length);
    const taken = new Set<string>();
    for (const panel of panels) {
      assert(PANELS.includes(panel.type), panel.type);
      const { x, y, w, h } = panel.gridPos;
      assert(x >= 0 && x + w <= COLUMNS && h > 0, panel.title);
      for (let column = x; column < x + w; column++) {
        for (let line = y; line < y + h; line++) {
          assert(!taken.has(`${column} ${line}`), `${panel.title} covers another panel`);
          taken.add(`${column} ${line}`);
        }
      }
      if (panel.type === "row") continue;
      assertEquals(panel.datasource, { type: "prometheus", uid: "${datasource}" });
      assert(panel.description !== undefined && panel.description.endsWith("."), panel.title);
      const { unit } = panel.fieldConfig!.defaults as { unit?: string };
      assert(panel.type === "heatmap" || UNITS.includes(unit!), `${panel.title}: ${unit}`);
      const targets = panel.targets!;
      assert(targets.length > 0, panel.title);
      assertEquals(new Set(targets.map(({ refId }) => refId)).size, targets.length);
      for (const { datasource, expr, legendFormat } of targets) {
        assertEquals(datasource, panel.datasource);
        const used = [...expr.matchAll(/\$(\w+)/g)].map(([, name]) => name!);
        const known = [...variables, "__rate_interval"];
        assertEquals(used.filter((name) => !known.includes(name)), []);
        assert(legendFormat.length > 0);
      }
    }
  },
);

Deno.test(
  "docs/operations.md explains each metric, each alert and each reason",
  reading,
  async () => {
    const guide = await Deno.readTextFile(GUIDE);
    const rows = [...guide.matchAll(/^\| `([\w.]+)` +\|/gm)].map(([, name]) => name!);
    const named = rows.filter((name) => /^(parley|process)\./.test(name));
    assertEquals(named.toSorted(), METRIC_NAMES.toSorted());
    const reasons = guide.slice(guide.indexOf("### Why sessions end"));
    const missing = Object.keys(noEnds()).filter((reason) => !reasons.includes(`\`${reason}\``));
    assertEquals(missing, []);
    const alerts = rows.filter((name) => name.startsWith("Parley"));
    assertEquals(alerts.toSorted(), Object.keys(CASES).toSorted());
  },
);
