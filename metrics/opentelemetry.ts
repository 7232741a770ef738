/** The metrics through a meter of OpenTelemetry. */

import type { Durations } from "../serve/options.ts";
import type { Metric, MetricAttributes } from "../workers/metrics.ts";
import { definitionOf, METRIC_NAMES } from "./definitions.ts";

/** What is used of a `Meter` of `@opentelemetry/api`. */
export interface Meter {
  /**
   * Makes a counter that is read for each export.
   *
   * @param name The name.
   * @param options The unit and the description.
   * @returns The counter.
   */
  createObservableCounter(name: string, options?: InstrumentOptions): object;
  /**
   * Makes a counter that goes up and down.
   *
   * @param name The name.
   * @param options The unit and the description.
   * @returns The counter.
   */
  createObservableUpDownCounter(name: string, options?: InstrumentOptions): object;
  /**
   * Makes a histogram.
   *
   * @param name The name.
   * @param options The unit, the description and the ranges.
   * @returns The histogram.
   */
  createHistogram(name: string, options?: InstrumentOptions): HistogramInstrument;
  /**
   * Has a function called for each export.
   *
   * @param callback The function.
   * @param observables The counters that it reads.
   */
  addBatchObservableCallback(callback: BatchCallback, observables: object[]): void;
  /**
   * Undoes it.
   *
   * @param callback The function.
   * @param observables The counters that it reads.
   */
  removeBatchObservableCallback(callback: BatchCallback, observables: object[]): void;
}

/** Options of an instrument of a {@linkcode Meter}. */
export interface InstrumentOptions {
  /** The unit, as in UCUM. */
  unit?: string;
  /** What it means. */
  description?: string;
  /** The limits between the ranges of a histogram. */
  advice?: { explicitBucketBoundaries?: number[] };
}

/** What is used of a `Histogram` of `@opentelemetry/api`. */
export interface HistogramInstrument {
  /**
   * Records a value.
   *
   * @param value The value.
   * @param attributes The labels.
   */
  record(value: number, attributes?: MetricAttributes): void;
}

/** What is used of a `BatchObservableResult` of `@opentelemetry/api`. */
export interface BatchResult {
  /**
   * Takes the current value of a counter.
   *
   * @param counter The counter.
   * @param value The value.
   * @param attributes The labels.
   */
  observe(counter: object, value: number, attributes?: MetricAttributes): void;
}

/** Reads counters. */
export type BatchCallback = (result: BatchResult) => void;

/** Reports metrics to a meter, until the returned function is called. */
export function reportTo(meter: Meter, collect: () => readonly Metric[]): () => void {
  const counters = new Map<string, object>();
  const histograms = new Map<string, Replay>();
  for (const name of METRIC_NAMES) {
    const { kind, ...options } = definitionOf(name);
    if (kind === "counter") counters.set(name, meter.createObservableCounter(name, options));
    else if (kind === "updowncounter") {
      counters.set(name, meter.createObservableUpDownCounter(name, options));
    }
  }
  const callback = (result: BatchResult): void => {
    for (const { name, unit, description, points } of collect()) {
      for (const { attributes, value } of points) {
        if (typeof value === "number") result.observe(counters.get(name)!, value, attributes);
        else {
          let replay = histograms.get(name);
          if (replay === undefined) {
            const advice = { explicitBucketBoundaries: boundariesOf(value) };
            replay = new Replay(meter.createHistogram(name, { unit, description, advice }));
            histograms.set(name, replay);
          }
          replay.catchUp(value, attributes);
        }
      }
    }
  };
  const observables = [...counters.values()];
  meter.addBatchObservableCallback(callback, observables);
  return () => meter.removeBatchObservableCallback(callback, observables);
}

/** The limits between ranges, in seconds. */
function boundariesOf(durations: Durations): number[] {
  return Object.keys(durations).map(Number).filter(Number.isFinite).map((longest) =>
    longest / 1000
  );
}

/**
 * Records durations that are counted already. OpenTelemetry has no histogram that is read for each export, so each new
 * duration is recorded as the mean of the new ones in its range: the numbers of all ranges and the sum are exact.
 */
class Replay {
  readonly #histogram: HistogramInstrument;
  readonly #recorded = new Map<string, Durations>();

  constructor(histogram: HistogramInstrument) {
    this.#histogram = histogram;
  }

  catchUp(durations: Durations, attributes: MetricAttributes): void {
    const key = JSON.stringify(attributes);
    const recorded = this.#recorded.get(key);
    this.#recorded.set(key, durations);
    for (const [longest, { count, sum }] of Object.entries(durations)) {
      let before = recorded?.[longest as unknown as number] ?? NONE;
      if (before.count > count) before = NONE; // another server of the same name
      const mean = (sum - before.sum) / (count - before.count) / 1000;
      for (let left = count - before.count; left > 0; left--) {
        this.#histogram.record(mean, attributes);
      }
    }
  }
}

const NONE = { count: 0, sum: 0 };
