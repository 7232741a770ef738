// Compares the cost of servers with that of their peers. `bench/README.md` says how, and what to install.
//
//     deno task bench
//     deno task bench --quick --case lines-16

import { type Arguments, HELP, readArguments } from "./harness/arguments.ts";
import type { Case } from "./harness/case.ts";
import { CASES } from "./harness/cases.ts";
import type { Regression } from "./harness/check.ts";
import { Generator } from "./harness/generator.ts";
import { endServersOnSignals, outputOf, pinThisProcess } from "./harness/process.ts";
import { Progress } from "./harness/progress.ts";
import { Recorder } from "./harness/recorder.ts";
import { report, reportRegressions } from "./harness/report.ts";
import type { CaseResult } from "./harness/results.ts";
import { type Field, gather, runCase } from "./harness/rounds.ts";

const QUICK_NOTICE =
  "A quick run: short, and with fewer connections than the titles say. It is nothing to report.";

async function main(args: Arguments): Promise<number> {
  if (args.help || args.list) {
    console.log(args.help ? HELP : CASES.map(({ name, title }) => `${name}: ${title}`).join("\n"));
    return 0;
  }
  await requireTools();
  const generator = await Generator.build();
  const plans = await planOf(casesOf(args), args, generator);
  await pinThisProcess();
  endServersOnSignals();
  const recorder = await Recorder.open(args, plans);
  if (args.isQuick) console.log(`${QUICK_NOTICE}\n`);
  const progress = new Progress(
    plans.reduce((sum, [, { entries }]) => sum + entries.length, 0) * args.settings.rounds,
  );
  const worse: Regression[] = [];
  let hasFailed = false;
  for (const [plan, field] of plans) {
    const result = await runCase(plan, field, generator, args.settings, progress);
    hasFailed ||= Object.keys(result.failed).length > 0;
    if (plan.reference in result.failed) {
      console.error(`${plan.name}: FAILED: ${plan.reference} ${result.failed[plan.reference]}\n`);
      continue;
    }
    console.log(`${report(result, plan.goals)}\n`);
    if (args.check) worse.push(...compared(result, recorder));
    await recorder.add(result);
  }
  if (worse.length > 0) console.log(reportRegressions(worse));
  return hasFailed || worse.length > 0 ? 1 : 0;
}

async function requireTools(): Promise<void> {
  if (navigator.hardwareConcurrency < 2) {
    throw new Error("the harness needs two cores: one for the server, one for the load");
  }
  if (await outputOf(["taskset", "--version"]) === undefined) {
    throw new Error("the harness needs taskset: install Debian's util-linux");
  }
}

function compared(result: CaseResult, recorder: Recorder): Regression[] {
  const worse = recorder.compare(result);
  if (worse === undefined) console.log(`${result.name}: nothing is recorded to compare with\n`);
  else if (worse.length === 0) console.log(`${result.name}: no worse than recorded\n`);
  return worse ?? [];
}

function casesOf({ cases }: Arguments): readonly Case[] {
  for (const name of cases) {
    if (!CASES.some((one) => one.name === name)) {
      throw new RangeError(`there is no case ${JSON.stringify(name)}: see --list`);
    }
  }
  return cases.length === 0 ? CASES : CASES.filter(({ name }) => cases.includes(name));
}

/** The cases that can be run, with their contenders. Reports what is left out. */
async function planOf(
  cases: readonly Case[],
  { only }: Arguments,
  generator: Generator,
): Promise<[Case, Field][]> {
  const plans: [Case, Field][] = [];
  const isWanted = (name: string): boolean =>
    only.length === 0 || only.some((part) => name.includes(part));
  for (const part of only) {
    if (!cases.some(({ contenders }) => contenders.some(({ name }) => name.includes(part)))) {
      throw new RangeError(`there is no contender with ${JSON.stringify(part)} in its name`);
    }
  }
  for (const plan of cases) {
    const { work, reference } = plan;
    const needsTls = work.kind === "load" && work.load.tls === true;
    const field = await gather(plan, isWanted);
    const problem = needsTls && !generator.hasTls
      ? "the load needs Debian's libssl-dev"
      : field.missing[reference];
    if (problem === undefined) plans.push([plan, field]);
    else console.error(`${plan.name} is left out: ${problem}`);
  }
  return plans;
}

try {
  Deno.exit(await main(readArguments(Deno.args)));
} catch (error) {
  console.error(`error: ${error instanceof Error ? error.message : error}`);
  Deno.exit(2);
}
