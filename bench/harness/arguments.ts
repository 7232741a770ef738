import { parseArgs } from "node:util";
import type { Settings } from "./measure.ts";

/** The text of `--help`. */
export const HELP = `Measures servers beside their peers, see bench/README.md.

Usage: deno task bench [options]

  --case NAME    measure only this case; may be given again
  --only TEXT    measure only contenders with TEXT in their names; may be given again
  --rounds N     how often each contender has its turn (default 10)
  --quick        short measurements in one round, and fewer connections
  --check        compare with the recorded ratios: exit with 1 if one is worse by more than the spread
  --output DIR   have results.json and charts/ there instead of in bench/
  --list         print the names of the cases
  --help         print this

A run is recorded in results.json, unless --check is given, or --only or --quick without --output.`;

/** The arguments of the command line. */
export interface Arguments {
  readonly settings: Settings;
  /** Names of cases; empty for all. */
  readonly cases: readonly string[];
  /** Parts of the names of contenders; empty for all. */
  readonly only: readonly string[];
  readonly check: boolean;
  readonly list: boolean;
  readonly help: boolean;
  readonly output: string | undefined;
  readonly isQuick: boolean;
  /** Whether to record the run. */
  readonly isRecorded: boolean;
}

const FULL: Settings = { rounds: 10, warmup: 1500, duration: 1000, maxConnections: Infinity };
const QUICK: Settings = { rounds: 1, warmup: 150, duration: 150, maxConnections: 2000 };

/** Reads the command line. Throws a `TypeError` or `RangeError` if it is invalid. */
export function readArguments(args: readonly string[]): Arguments {
  const { values } = parseArgs({
    args: [...args],
    options: {
      case: { type: "string", multiple: true, default: [] },
      only: { type: "string", multiple: true, default: [] },
      rounds: { type: "string" },
      quick: { type: "boolean", default: false },
      check: { type: "boolean", default: false },
      list: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
      output: { type: "string" },
    },
  });
  const { only, quick, check, list, help, output } = values;
  const settings = quick ? QUICK : FULL;
  const rounds = values.rounds === undefined ? settings.rounds : Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1) {
    throw new RangeError(`--rounds must be a whole number from 1 on, got ${values.rounds}`);
  }
  return {
    settings: { ...settings, rounds },
    cases: values.case,
    ...{ only, check, list, help, output },
    isQuick: quick,
    isRecorded: !check && (output !== undefined || (only.length === 0 && !quick)),
  };
}
