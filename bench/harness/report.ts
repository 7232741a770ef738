// The output on the terminal.

import type { Goal } from "./case.ts";
import type { Regression } from "./check.ts";
import type { CaseResult } from "./results.ts";
import type { Estimate } from "./stats.ts";
import { judge, summarize, type Summary } from "./summary.ts";

/** A case as an aligned Markdown table, with remarks. */
export function report(result: CaseResult, goals: readonly Goal[] = []): string {
  const summaries = summarize(result);
  const parts = [`## ${result.title}`, table(rowsOf(result, summaries))];
  const remarks = [
    ...judge(result, goals).map(({ goal, value, isHeld }) =>
      `${isHeld ? "held" : "MISSED"}: ${sentence(goal)}: ${shown(value)}`
    ),
    ...summaries.flatMap(({ name, loadBound }) =>
      loadBound === undefined ? [] : [
        `the load was the bottleneck of ${name}: it took ${percent(loadBound.load)} of its core, ` +
        `the server ${percent(loadBound.server)}`,
      ]
    ),
    ...Object.entries(result.missing).map(([name, why]) => `left out: ${name} ${why}`),
    ...Object.entries(result.failed).map(([name, why]) => `FAILED: ${name} ${why}`),
  ];
  if (remarks.length > 0) parts.push(remarks.map((remark) => `- ${remark}`).join("\n"));
  return parts.join("\n\n");
}

/** What has become worse, in one line each. */
export function reportRegressions(found: readonly Regression[]): string {
  return found.map(({ case: name, contender, recorded, now }) =>
    `worse: ${name}: ${contender}: ${shown(now)} × the reference, recorded ${shown(recorded)}`
  ).join("\n");
}

function rowsOf(result: CaseResult, summaries: readonly Summary[]): string[][] {
  const [what, unit] = result.cost;
  const hasRates = summaries.some(({ rate }) => rate !== undefined);
  const head = ["server", `${what}, ${unit}`, "× the reference"];
  if (hasRates) head.push(`${result.counted}/s`, "p50 µs", "p99 µs", "p99.9 µs");
  head.push("PSS MiB", "RSS MiB");
  return [
    head,
    ...summaries.map(({ name, cost, ratio, rate, latencies, pss, rss }) => [
      name,
      shown(cost),
      name === result.reference ? "1" : shown(ratio),
      ...(hasRates ? [rate, ...latencies].map((value) => value?.toFixed(0) ?? "") : []),
      ...[pss, rss].map((size) => (size / 1024).toFixed(1)),
    ]),
  ];
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const line = (row: readonly string[]): string =>
    `| ${
      row.map((cell, column) =>
        column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)
      ).join(" | ")
    } |`;
  const rule = `| ${
    widths.map((width, column) => "-".repeat(width - (column && 1)) + (column ? ":" : ""))
      .join(" | ")
  } |`;
  return [line(rows[0]!), rule, ...rows.slice(1).map(line)].join("\n");
}

function sentence({ contender, figure, against, atMost, atLeast }: Goal): string {
  const limit = atMost === undefined ? `at least ${digits(atLeast!)}` : `at most ${digits(atMost)}`;
  const what = figure === "rate" ? `${contender}, in throughput` : contender;
  return `${what}, ${limit}${against === undefined ? "" : ` × ${against}`}`;
}

function shown({ median, low, high }: Estimate): string {
  if (low === high) return digits(median); // from one round
  return `${digits(median)} (${digits(low)}–${digits(high)})`;
}

/** About three digits, without an exponent. */
export function digits(value: number): string {
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`;
}
