// What the rounds of a case amount to.

import type { Goal } from "./case.ts";
import type { CaseResult, ContenderResult } from "./results.ts";
import { type Estimate, estimate, median, ratios } from "./stats.ts";

/** The figures of one contender, over all rounds. */
export interface Summary {
  readonly name: string;
  readonly isOurs: boolean;
  readonly cost: Estimate;
  /** Its cost as a multiple of the reference's. */
  readonly ratio: Estimate;
  /** Medians: units a second, latencies in µs, memory in KiB. */
  readonly rate: number | undefined;
  readonly latencies: readonly (number | undefined)[];
  readonly rss: number;
  readonly pss: number;
  /** Where the load was busy all the time and the server was not: the shares of both. */
  readonly loadBound: { readonly load: number; readonly server: number } | undefined;
}

/** From this share of a core on, something is as busy as it can be. */
const BUSY = 0.95;

/** Sums up a case, the cheapest contender first. */
export function summarize(result: CaseResult): Summary[] {
  const reference = contenderOf(result, result.reference).series.cost;
  return result.contenders.map(({ name, isOurs, series }): Summary => ({
    name,
    isOurs,
    cost: estimate(series.cost),
    ratio: estimate(ratios(series.cost, reference)),
    rate: series.rate && median(series.rate),
    latencies: [series.p50, series.p99, series.p999].map((values) => values && median(values)),
    rss: median(series.rss),
    pss: median(series.pss),
    loadBound: loadBound(series.loadShare, series.serverShare),
  })).sort((a, b) => a.cost.median - b.cost.median);
}

function loadBound(
  load: readonly number[] | undefined,
  server: readonly number[] | undefined,
): Summary["loadBound"] {
  if (load === undefined || server === undefined) return undefined;
  const shares = { load: median(load), server: median(server) };
  return shares.load > BUSY && shares.server < BUSY ? shares : undefined;
}

/** What became of a goal. */
export interface GoalResult {
  readonly goal: Goal;
  readonly value: Estimate;
  readonly isHeld: boolean;
}

/** Looks at the goals of a case, as far as those have taken part whom they are about. */
export function judge(result: CaseResult, goals: readonly Goal[]): GoalResult[] {
  const results: GoalResult[] = [];
  for (const goal of goals) {
    const values = seriesFor(result, goal.contender, goal.figure);
    const others = goal.against && seriesFor(result, goal.against, goal.figure);
    if (values === undefined || (goal.against !== undefined && !others)) continue;
    const value = estimate(others ? ratios(values, others) : values);
    const { atMost = Infinity, atLeast = -Infinity } = goal;
    results.push({ goal, value, isHeld: value.median <= atMost && value.median >= atLeast });
  }
  return results;
}

function seriesFor(
  { contenders }: CaseResult,
  name: string,
  figure: Goal["figure"],
): readonly number[] | undefined {
  return contenders.find((contender) => contender.name === name)?.series[figure];
}

function contenderOf({ contenders, name: title }: CaseResult, name: string): ContenderResult {
  const found = contenders.find((contender) => contender.name === name);
  if (found === undefined) throw new Error(`${title} has no contender ${JSON.stringify(name)}`);
  return found;
}
