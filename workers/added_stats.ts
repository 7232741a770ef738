import type { MemoryStats, ServerStats } from "../serve/options.ts";
import { noStats } from "../serve/stats.ts";

const PRESSURES: readonly MemoryStats["pressure"][] = [
  "none",
  "reading-paused",
  "accepting-paused",
];

/** Adds up the figures of several servers. `undefined` counts as nothing. */
export function addStats(all: readonly (ServerStats | undefined)[]): ServerStats {
  const sum = noStats();
  for (const stats of all) if (stats !== undefined) add(sum, stats);
  return sum;
}

/** The figures of a server that has ended, so nothing is open. Sessions that were cut off by that had an error. */
export function finalStats(stats: ServerStats): ServerStats {
  const { active, unread, unsent, blocked, memory } = noStats();
  return {
    ...stats,
    ends: { ...stats.ends, error: stats.ends.error + stats.active },
    memory: { ...memory, ended: stats.memory.ended },
    ...{ active, unread, unsent, blocked },
  };
}

function add<Figures extends object>(sum: Figures, more: Figures): void {
  for (const name of Object.keys(sum) as (keyof Figures)[]) {
    const value = more[name];
    if (typeof value === "number") (sum[name] as number) += value;
    else if (typeof value === "object") add(sum[name] as object, value as object);
    else sum[name] = higher(sum[name] as string, value as string) as Figures[typeof name];
  }
}

/** Returns the higher of two memory pressures. */
function higher(one: string, other: string): string {
  const levels: readonly string[] = PRESSURES;
  return levels.indexOf(one) > levels.indexOf(other) ? one : other;
}
