import { digits } from "./report.ts";
import type { CaseResult } from "./results.ts";
import { summarize, type Summary } from "./summary.ts";

const WIDTH = 760;
const NAMES = 240;
const VALUES = 120;
const ROW = 26;
const TOP = 58;
const BAR = 14;
/** Greys and a blue that are legible on white and on black. */
const COLOURS = { text: "#747c86", bar: "#98a1ab", ours: "#2b7de0", interval: "#59616b" };

/** Bars are cut at this multiple of the cost of the reference or of ours, so that the others can be distinguished. */
const MOST = 2.5;
/** The gap in a bar that is cut, and the rest after it. */
const [GAP, END] = [5, 12];

/** Draws a case: a bar for the cost of each contender, with its interval. Ours have another colour. */
export function chart(result: CaseResult): string {
  const summaries = summarize(result);
  const scale = (WIDTH - NAMES - VALUES) / limitOf(result, summaries);
  const height = TOP + summaries.length * ROW + 8;
  const [what, unit] = result.cost;
  const key = `${what}, ${unit}, and × ${result.reference}; less is better; dark: 95 % interval`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img"
  font-family="system-ui, sans-serif" font-size="13" fill="${COLOURS.text}">
  <title>${escape(result.title)}</title>
  <text x="8" y="22" font-size="16" font-weight="600">${escape(result.title)}</text>
  <text x="8" y="42">${escape(key)}</text>
${summaries.map((summary, row) => rowOf(summary, TOP + row * ROW, scale)).join("\n")}
</svg>
`;
}

/** The cost that takes the full width. */
function limitOf(result: CaseResult, summaries: readonly Summary[]): number {
  const shown = summaries.filter(({ name, isOurs }) => isOurs || name === result.reference);
  return Math.min(
    Math.max(...summaries.map(({ cost }) => cost.high)),
    MOST * Math.max(...shown.map(({ cost }) => cost.median)),
  );
}

function rowOf({ name, isOurs, cost, ratio }: Summary, top: number, scale: number): string {
  const y = top + ROW / 2;
  const width = (value: number): number => Math.max(0, value * scale);
  const most = WIDTH - NAMES - VALUES;
  const isCut = width(cost.median) > most;
  const end = NAMES + (isCut ? most : Math.min(most, width(cost.high)));
  const style = isOurs ? ` font-weight="600" fill="${COLOURS.ours}"` : "";
  const marks = isCut
    ? [rect(0, most - GAP - END, y, isOurs), rect(most - END, END, y, isOurs)]
    : [rect(0, width(cost.median), y, isOurs), interval(width(cost.low), end - NAMES, y)];
  return `  <g>
    <text x="${NAMES - 8}" y="${y + 4}" text-anchor="end"${style}>${escape(name)}</text>
    ${marks.join("\n    ")}
    <text x="${(end + 8).toFixed(1)}" y="${y + 4}"${style}>${digits(cost.median)} · ${
    digits(ratio.median)
  } ×</text>
  </g>`;
}

function rect(from: number, width: number, y: number, isOurs: boolean): string {
  const box = `x="${(NAMES + from).toFixed(1)}" y="${y - BAR / 2}" width="${width.toFixed(1)}"`;
  return `<rect ${box} height="${BAR}" fill="${isOurs ? COLOURS.ours : COLOURS.bar}"/>`;
}

function interval(low: number, high: number, y: number): string {
  const line = `M${(NAMES + low).toFixed(1)} ${y}H${(NAMES + high).toFixed(1)}`;
  return `<path d="${line}" stroke="${COLOURS.interval}" stroke-width="3"/>`;
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}
