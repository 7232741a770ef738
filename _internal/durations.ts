/** Durations, counted in ranges. The key is the longest duration of a range, in milliseconds; that of the last is `Infinity`. */
export type Durations = Record<number, DurationRange>;

/** Durations within a range. */
export interface DurationRange {
  /** How many. */
  count: number;
  /** Their sum in milliseconds. */
  sum: number;
}

/** The longest duration of each range, in milliseconds, of what should take no time. */
export const WAITS: readonly number[] = [
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500],
  ...[1_000, 2_000, 5_000, 10_000, 30_000, Infinity],
];

/** Returns no durations. */
export function noDurations(longest: readonly number[]): Durations {
  return Object.fromEntries(longest.map((duration) => [duration, { count: 0, sum: 0 }]));
}

/** Counts a duration. A loop over the keys of `durations` would take 2 µs, which a short session notices. */
export function addDuration(
  durations: Durations,
  ranges: readonly number[],
  duration: number,
): void {
  let at = 0;
  while (duration > ranges[at]!) at++;
  const range = durations[ranges[at]!]!;
  range.count++;
  range.sum += duration;
}

/** Returns the sum of two counts of the same ranges. */
export function addedDurations(one: Durations, other: Durations): Durations {
  const sum = structuredClone(one);
  for (const [longest, { count, sum: duration }] of Object.entries(other)) {
    const range = sum[longest as unknown as number] ??= { count: 0, sum: 0 };
    range.count += count;
    range.sum += duration;
  }
  return sum;
}

/** Returns the longest duration that was counted since `before`, as the mean of those in its range. */
export function longestSince(before: Durations | undefined, now: Durations): number {
  let longest = 0;
  for (const [key, { count, sum }] of Object.entries(now)) {
    const { count: earlier, sum: earlierSum } = before?.[key as unknown as number] ?? NONE;
    if (count > earlier) longest = (sum - earlierSum) / (count - earlier);
  }
  return longest;
}

const NONE: DurationRange = { count: 0, sum: 0 };
