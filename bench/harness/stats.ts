import { randomFrom } from "../../testing/disturb.ts";

/** A median, and the interval that it lies in with 95 % confidence. */
export interface Estimate {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

const RESAMPLES = 2000;
const OUTSIDE = 0.025;

/** The middle value, or the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The median, with the interval between the percentiles of the medians of many samples drawn from the values. */
export function estimate(values: readonly number[], seed = 1): Estimate {
  if (values.length === 0) throw new RangeError("an estimate needs at least one value, got none");
  const random = randomFrom(seed);
  const medians = Array.from({ length: RESAMPLES }, () =>
    median(
      values.map(() => values[Math.floor(random() * values.length)]!),
    )).sort((a, b) => a - b);
  return {
    median: median(values),
    low: medians[Math.floor(RESAMPLES * OUTSIDE)]!,
    high: medians[Math.ceil(RESAMPLES * (1 - OUTSIDE)) - 1]!,
  };
}

/** What each value is of the reference's in the same round, so that what else the machine does falls on both. */
export function ratios(values: readonly number[], reference: readonly number[]): number[] {
  if (values.length !== reference.length) {
    throw new RangeError(
      `ratios need as many values as the reference has, got ${values.length} and ${reference.length}`,
    );
  }
  return values.map((value, round) => value / reference[round]!);
}
