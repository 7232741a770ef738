import type { CaseResult } from "./results.ts";
import type { Estimate } from "./stats.ts";
import { summarize } from "./summary.ts";

/** A ratio that has become worse by more than its spread. */
export interface Regression {
  readonly case: string;
  readonly contender: string;
  readonly recorded: Estimate;
  readonly now: Estimate;
}

/**
 * Compares the ratios of our own contenders with recorded ones. A ratio is worse if its interval is completely above the
 * recorded one. Times are never compared: they depend on the machine.
 */
export function regressions(now: CaseResult, recorded: CaseResult): Regression[] {
  if (now.reference !== recorded.reference) return [];
  const before = new Map(summarize(recorded).map(({ name, ratio }) => [name, ratio]));
  const found: Regression[] = [];
  for (const { name, isOurs, ratio } of summarize(now)) {
    const then = before.get(name);
    if (!isOurs || name === now.reference || then === undefined) continue;
    if (ratio.low > then.high) {
      found.push({ case: now.name, contender: name, recorded: then, now: ratio });
    }
  }
  return found;
}
