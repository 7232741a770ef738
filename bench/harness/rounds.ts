// Contenders take turns (A B C A B C …), so that what else the machine does falls on all of them.

import { type Case, type Contender, isOurs } from "./case.ts";
import type { Generator } from "./generator.ts";
import { type Figures, measure, type Settings } from "./measure.ts";
import { type Peer, peer } from "./peers.ts";
import type { Progress } from "./progress.ts";
import { type CaseResult, seriesOf } from "./results.ts";

interface Entry {
  readonly contender: Contender;
  readonly peer: Peer;
  readonly figures: Figures[];
}

/** Who takes part in a case, and who cannot. */
export interface Field {
  readonly entries: Entry[];
  readonly missing: Record<string, string>;
}

/** Finds and builds the wanted contenders of a case, and its reference in any case. */
export async function gather(
  { contenders, reference }: Case,
  isWanted: (name: string) => boolean,
): Promise<Field> {
  const field: Field = { entries: [], missing: {} };
  for (const contender of contenders) {
    if (contender.name !== reference && !isWanted(contender.name)) continue;
    const found = await peer(contender.peer);
    if (typeof found === "string") field.missing[contender.name] = found;
    else field.entries.push({ contender, peer: found, figures: [] });
  }
  return field;
}

/** Runs all rounds of a case. Whoever fails takes no further part. */
export async function runCase(
  plan: Case,
  { entries, missing }: Field,
  generator: Generator,
  settings: Settings,
  progress: Progress,
): Promise<CaseResult> {
  const failed: Record<string, string> = {};
  for (let round = 1; round <= settings.rounds; round++) {
    for (const { contender, peer, figures } of entries) {
      progress.begin(`${plan.name}, round ${round} of ${settings.rounds}`, contender.name);
      progress.step();
      if (contender.name in failed) continue;
      try {
        figures.push(await measure(plan, contender, peer, generator, settings));
      } catch (error) {
        failed[contender.name] = `in round ${round}: ${reasonOf(error)}`;
      }
    }
  }
  progress.clear();
  const { name, title, cost, counted, reference } = plan;
  return {
    ...{ name, title, cost, counted, reference },
    contenders: entries.filter(({ contender }) => !(contender.name in failed)).map((entry) => ({
      name: entry.contender.name,
      isOurs: isOurs(entry.contender),
      series: seriesOf(entry.figures),
    })),
    missing,
    failed,
  };
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}: ${reasonOf(error.cause)}`;
}
