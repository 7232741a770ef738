import { assert } from "@std/assert";
import type { Durations } from "../mod.ts";
import { noDrops } from "../datagram/observer.ts";
import { noDurations, WAITS } from "../_internal/durations.ts";
import { Metrics } from "../metrics/mod.ts";
import { noStats } from "../serve/stats.ts";

/** The values of a metric whose labels have these values, by the values of `label`. */
export function valuesOf(
  metrics: Metrics,
  name: string,
  label?: string,
): Record<string, number | Durations> {
  const metric = metrics.collect().find((metric) => metric.name === name);
  assert(metric !== undefined, `there is no ${name}`);
  return Object.fromEntries(
    metric.points.map(({ attributes, value }) => [label ? attributes[label] : "", value]),
  );
}

/** The only value of a metric. */
export function valueOf(metrics: Metrics, name: string): number {
  return valuesOf(metrics, name)[""] as number;
}

/** The values that are not 0. */
export function positive(values: Record<string, number | Durations>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== 0));
}

/** How many durations there are, and their sum in milliseconds. */
export function totalOf(durations: Durations): { count: number; sum: number } {
  let [count, sum] = [0, 0];
  for (const range of Object.values(durations)) {
    count += range.count;
    sum += range.sum;
  }
  return { count, sum };
}

/** How many durations there are above one that is the longest of a range, in milliseconds. */
export function countAbove(durations: Durations, from: number): number {
  return Object.entries(durations).reduce(
    (sum, [to, { count }]) => Number(to) > from ? sum + count : sum,
    0,
  );
}

/** Metrics of servers, one with a worker, of a client, a hub, a pool and a capture. */
export function fullMetrics(): Metrics {
  const metrics = new Metrics();
  const stats = noStats();
  const lateness = noDurations(WAITS);
  metrics.addServer("one", {
    addr: { transport: "tcp", hostname: "127.0.0.1", port: 1 },
    state: "listening",
    stats: () => ({
      ...stats,
      metrics: [],
      workers: [{ worker: 0, state: "serving", deaths: 0, stats, metrics: [], lateness, heap: 0 }],
    }),
  });
  metrics.addDatagramServer("one", {
    addr: { transport: "udp", hostname: "127.0.0.1", port: 1 },
    state: "listening",
    stats: () => ({
      ...{ received: 0, sent: 0, bytesRead: 0, bytesWritten: 0, dropped: 0, drops: noDrops() },
      ...{ active: 0, queued: 0, queuedBytes: 0, proven: 0 },
      ...{ handlerErrors: 0, sendErrors: 0, receiveErrors: 0 },
    }),
  });
  metrics.clientObserver("two");
  metrics.addHub("three", {
    stats: () => ({
      ...{
        groups: 0,
        sessions: 0,
        memberships: 0,
        published: 0,
        received: 0,
        dropped: 0,
        delivered: 0,
      },
      ...{ replaced: 0, lost: 0, ignored: 0, unpublished: 0, backlog: 0, errors: 0 },
      isBusReady: true,
    }),
  });
  metrics.addPool("four", {
    stats: () => ({
      ...{ sessions: 0, idle: 0, leased: 0, waiting: 0, leases: 0, dials: 0, dialErrors: 0 },
      refusals: { maxWaiting: 0, waitTimeout: 0 },
      waits: noDurations(WAITS),
    }),
  });
  metrics.addCapture("five", {
    stats: () => ({ sessions: 0, packets: 0, droppedPackets: 0, bytesWritten: 0, files: 0 }),
  });
  return metrics;
}
