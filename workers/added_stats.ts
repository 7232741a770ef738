import { noRefusals } from "../serve/admission.ts";
import type { MemoryStats, ServerStats } from "../serve/options.ts";

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

/** The figures of a server that has ended, so nothing is open. */
export function finalStats(stats: ServerStats): ServerStats {
  const { ended } = stats.memory;
  return { ...stats, active: 0, memory: { ...noStats().memory, ended } };
}

function noStats(): ServerStats {
  return {
    active: 0,
    accepted: 0,
    refused: 0,
    refusals: noRefusals(),
    acceptErrors: 0,
    handlerErrors: 0,
    bytesRead: 0,
    bytesWritten: 0,
    waits: { sessions: 0, reads: 0, writes: 0 },
    memory: { held: 0, pressure: "none", paused: 0, ended: 0 },
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
