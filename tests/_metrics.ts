import { assert } from "@std/assert";
import type { Durations } from "../mod.ts";
import type { Metrics } from "../metrics/mod.ts";

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
