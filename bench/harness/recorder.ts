import { resolve } from "node:path";
import type { Arguments } from "./arguments.ts";
import type { Case } from "./case.ts";
import { chart } from "./chart.ts";
import { type Regression, regressions } from "./check.ts";
import { describeCheckout, describeMachine } from "./machine.ts";
import { peer } from "./peers.ts";
import { outputOf } from "./process.ts";
import {
  type CaseResult,
  isReported,
  lastReported,
  readRuns,
  type Run,
  writeRuns,
} from "./results.ts";
import type { Field } from "./rounds.ts";

const HERE = new URL("..", import.meta.url).pathname.replace(/\/$/, "");

/** Writes the results and draws the charts after each case, so that an interrupted run is not lost. */
export class Recorder {
  readonly #folder: string;
  readonly #isRecorded: boolean;
  readonly #drawsAll: boolean;
  readonly #before: readonly Run[];
  #run: Run;

  private constructor(args: Arguments, before: readonly Run[], run: Run) {
    this.#folder = folderOf(args);
    this.#isRecorded = args.isRecorded;
    this.#drawsAll = args.output !== undefined;
    this.#before = before;
    this.#run = run;
  }

  /** Reads the recorded results. `plans` are the cases and contenders of this run. */
  static async open(args: Arguments, plans: readonly [Case, Field][]): Promise<Recorder> {
    const versions: Record<string, string> = {};
    const names = plans.flatMap(([, { entries }]) =>
      entries.map(({ contender }) => contender.peer)
    );
    for (const name of new Set(names)) {
      const found = await peer(name);
      if (typeof found !== "string") versions[name] = found.version;
    }
    const { rounds, warmup, duration } = args.settings;
    const before = await readRuns(`${folderOf(args)}/results.json`);
    return new Recorder(args, before, {
      date: new Date().toISOString(),
      ...await describeCheckout(),
      machine: await describeMachine(),
      versions,
      settings: { rounds, warmup, duration },
      cases: [],
    });
  }

  /** What is worse than recorded; `undefined` if nothing is. */
  compare(result: CaseResult): Regression[] | undefined {
    const recorded = lastReported(this.#before, result.name);
    return recorded && regressions(result, recorded);
  }

  /** Adds a case. */
  async add(result: CaseResult): Promise<void> {
    this.#run = { ...this.#run, cases: [...this.#run.cases, result] };
    if (!this.#isRecorded) return;
    const runs = [...this.#before, this.#run];
    const files = [`${this.#folder}/results.json`];
    await Deno.mkdir(`${this.#folder}/charts`, { recursive: true });
    await writeRuns(files[0]!, runs);
    if (this.#drawsAll || isReported(runs, this.#run, result.name)) {
      files.push(`${this.#folder}/charts/${result.name}.svg`);
      await Deno.writeTextFile(files[1]!, chart(result));
    } else console.error(`${result.name} is recorded, but not drawn: see bench/README.md\n`);
    await outputOf(["deno", "fmt", "--quiet", ...files], { cwd: HERE });
  }
}

function folderOf({ output }: Arguments): string {
  return output === undefined ? HERE : resolve(output);
}
