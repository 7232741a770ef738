// The records of all runs, and which of them are reported.

import type { Figures } from "./measure.ts";

/** The figures of one contender, one per round. */
export type Series =
  & { readonly [Name in "cost" | "rss" | "pss"]: readonly number[] }
  & { readonly [Name in keyof Figures]?: readonly number[] };

/** The result of a contender. */
export interface ContenderResult {
  readonly name: string;
  /** Whether it belongs to this repository. */
  readonly isOurs: boolean;
  readonly series: Series;
}

/** The result of a case. */
export interface CaseResult {
  readonly name: string;
  readonly title: string;
  readonly cost: readonly [what: string, unit: string];
  readonly counted: string;
  readonly reference: string;
  readonly contenders: readonly ContenderResult[];
  /** Contenders that were missing, and why. */
  readonly missing: Readonly<Record<string, string>>;
  /** Contenders that have failed, and why. */
  readonly failed: Readonly<Record<string, string>>;
}

/** One run of the harness. */
export interface Run {
  readonly date: string;
  readonly commit: string;
  /** Whether the checkout had changes that were not committed. */
  readonly isDirty: boolean;
  readonly machine: Readonly<Record<string, string | number>>;
  /** The versions of the programs. */
  readonly versions: Readonly<Record<string, string>>;
  readonly settings: Readonly<Record<string, number>>;
  readonly cases: readonly CaseResult[];
}

/** Significant digits of a figure: more would be noise. */
const DIGITS = 4;
const LINE_WIDTH = 100;

/** Makes series of the figures of all rounds. Figures that are missing in a round are left out. */
export function seriesOf(rounds: readonly Figures[]): Series {
  const series: Record<string, number[]> = {};
  for (const name of Object.keys(rounds[0]!) as (keyof Figures)[]) {
    const values = rounds.map((figures) => figures[name]);
    if (values.some((value) => value === undefined)) continue;
    series[name] = values.map((value) => Number(value!.toPrecision(DIGITS)));
  }
  return series as unknown as Series;
}

/** Whether a case of a run is reported: the first run at a clean commit. */
export function isReported(runs: readonly Run[], run: Run, name: string): boolean {
  return run === runs.find((other) =>
    other.commit === run.commit && !other.isDirty &&
    other.cases.some((result) => result.name === name)
  );
}

/** The last reported result of a case. */
export function lastReported(runs: readonly Run[], name: string): CaseResult | undefined {
  const run = runs.findLast((run) => isReported(runs, run, name));
  return run?.cases.find((result) => result.name === name);
}

/** Reads all runs. Without a file, there are none. */
export async function readRuns(path: string): Promise<Run[]> {
  try {
    return JSON.parse(await Deno.readTextFile(path)).runs;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/** Writes all runs, with the numbers of a series in one line if they fit. */
export async function writeRuns(path: string, runs: readonly Run[]): Promise<void> {
  const text = JSON.stringify({ runs }, null, 2).replace(
    /^(.*)\[\n([\s\d.,e+-]+)\]/gm,
    (list, before: string, values: string) => {
      const line = `${before}[${values.trim().replace(/\s+/g, " ")}]`;
      return line.length < LINE_WIDTH ? line : list;
    },
  );
  await Deno.writeTextFile(`${path}.new`, `${text}\n`);
  await Deno.rename(`${path}.new`, path);
}
