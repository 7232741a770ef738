import { assertEquals } from "@std/assert";
import {
  addDuration,
  addedDurations,
  longestSince,
  noDurations,
  WAITS,
} from "../../_internal/durations.ts";

const permissions = "none";

Deno.test("longestSince() finds the longest of the new durations", { permissions }, () => {
  const durations = noDurations(WAITS);
  assertEquals(longestSince(undefined, durations), 0);
  for (const duration of [0, 3, 700, 2]) addDuration(durations, WAITS, duration);
  assertEquals(longestSince(undefined, durations), 700);
  const before = structuredClone(durations);
  assertEquals(longestSince(before, durations), 0);
  for (const duration of [15, 1, 20]) addDuration(durations, WAITS, duration);
  assertEquals(longestSince(before, durations), 17.5); // the mean of its range
  addDuration(durations, WAITS, 1e9);
  assertEquals(longestSince(before, durations), 1e9);
});

Deno.test("addedDurations() changes neither of its arguments", { permissions }, () => {
  const [one, other] = [noDurations(WAITS), noDurations(WAITS)];
  addDuration(one, WAITS, 4);
  addDuration(other, WAITS, 5);
  addDuration(other, WAITS, Infinity);
  const sum = addedDurations(one, other);
  assertEquals([sum[5], sum[Infinity]!.count], [{ count: 2, sum: 9 }, 1]);
  assertEquals([one[5], other[5]], [{ count: 1, sum: 4 }, { count: 1, sum: 5 }]);
});
