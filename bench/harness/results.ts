// What is recorded of every run, and which of the runs counts.

import type { Figures } from "./measure.ts";

/** The figures of one contender, one of each a round. */
export type Series =
  & { readonly [Name in "cost" | "rss" | "pss"]: readonly number[] }
  & { readonly [Name in keyof Figures]?: readonly number[] };

/** How one contender did. */
export interface ContenderResult {
  readonly name: string;
  /** Whether it is of this repository. */
  readonly isOurs: boolean;
  readonly series: Series;
}

/** How a case went. */
export interface CaseResult {
  readonly name: string;
  readonly title: string;
  readonly cost: readonly [what: string, unit: string];
  readonly counted: string;
  readonly reference: string;
  readonly contenders: readonly ContenderResult[];
  /** Who did not take part, and why. */
  readonly missing: Readonly<Record<string, string>>;
  /** Who took part and did not come through, and why. */
  readonly failed: Readonly<Record<string, string>>;
}

/** One run of the harness. */
export interface Run {
  readonly date: string;
  readonly commit: string;
  /** Whether the checkout had changes that were not committed. */
  readonly isDirty: boolean;
  readonly machine: Readonly<Record<string, string | number>>;
  /** Of the programs that took part. */
  readonly versions: Readonly<Record<string, string>>;
  readonly settings: Readonly<Record<string, number>>;
  readonly cases: readonly CaseResult[];
}

/** Digits that are kept of a figure: more would be noise. */
const DIGITS = 4;
const LINE_WIDTH = 100;

/** Makes series out of the figures of all rounds. What some round does not have is left out. */
export function seriesOf(rounds: readonly Figures[]): Series {
  const series: Record<string, number[]> = {};
  for (const name of Object.keys(rounds[0]!) as (keyof Figures)[]) {
    const values = rounds.map((figures) => figures[name]);
    if (values.some((value) => value === undefined)) continue;
    series[name] = values.map((value) => Number(value!.toPrecision(DIGITS)));
  }
  return series as unknown as Series;
}

/** Whether a case of a run is one to report: of a clean commit, and its first. */
export function isReported(runs: readonly Run[], run: Run, name: string): boolean {
  return run === runs.find((other) =>
    other.commit === run.commit && !other.isDirty &&
    other.cases.some((result) => result.name === name)
  );
}

/** The last result of a case that is one to report. */
export function lastReported(runs: readonly Run[], name: string): CaseResult | undefined {
  const run = runs.findLast((run) => isReported(runs, run, name));
  return run?.cases.find((result) => result.name === name);
}

/** Reads all runs; there are none where there is no file. */
export async function readRuns(path: string): Promise<Run[]> {
  try {
    return JSON.parse(await Deno.readTextFile(path)).runs;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/** Writes all runs, with the numbers of a series in one line, if it takes them. */
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
