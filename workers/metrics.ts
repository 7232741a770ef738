/** Metrics of workers: what their modules measure, apart from their servers. */

import { addedDurations, type Durations } from "../_internal/durations.ts";

/**
 * What a metric is. A `counter` only grows, an `updowncounter` goes up and down and can be added up over servers, and a
 * `histogram` counts durations by ranges.
 */
export type MetricKind = "counter" | "updowncounter" | "histogram";

/** What all values of a metric have in common. */
export interface MetricDefinition {
  /** What it is. */
  readonly kind: MetricKind;
  /** The unit, as in UCUM: `s`, `By`, or what is counted, such as `{session}`. */
  readonly unit: string;
  /** What it means. */
  readonly description: string;
}

/** The labels of a value. Their values are names that the program has chosen, or come from short lists. */
export type MetricAttributes = Readonly<Record<string, string | number>>;

/** A value of a metric. */
export interface MetricPoint {
  /** The labels. */
  readonly attributes: MetricAttributes;
  /** The number, or the durations of a histogram. */
  readonly value: number | Durations;
}

/** A metric and its current values. */
export interface Metric extends MetricDefinition {
  /** The name, such as `parley.active_sessions`. */
  readonly name: string;
  /** The values. */
  readonly points: readonly MetricPoint[];
}

/** Adds up metrics. Values of the same metric with the same labels become one. */
export function addMetrics(all: readonly (readonly Metric[])[]): Metric[] {
  const sums = new Map<string, { definition: Omit<Metric, "points">; points: Points }>();
  for (const { points, ...definition } of all.flat()) {
    let sum = sums.get(definition.name);
    if (sum === undefined) sums.set(definition.name, sum = { definition, points: new Map() });
    for (const point of points) addPoint(sum.points, point);
  }
  return [...sums.values()].map(({ definition, points }) => ({
    ...definition,
    points: [...points.values()],
  }));
}

/** The metrics of a worker that has ended: only what never goes down. */
export function finalMetrics(metrics: readonly Metric[]): Metric[] {
  return metrics.filter(({ kind }) => kind !== "updowncounter");
}

/** Values by their labels. */
type Points = Map<string, MetricPoint>;

function addPoint(points: Points, { attributes, value }: MetricPoint): void {
  const key = JSON.stringify(attributes);
  const before = points.get(key)?.value;
  points.set(key, { attributes, value: before === undefined ? value : add(before, value) });
}

function add(one: MetricPoint["value"], other: MetricPoint["value"]): MetricPoint["value"] {
  if (typeof one === "number" || typeof other === "number") return Number(one) + Number(other);
  return addedDurations(one, other);
}
