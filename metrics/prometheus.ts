/** The text formats of Prometheus: 0.0.4, and OpenMetrics 1.0.0. */

import type { Durations } from "../serve/options.ts";
import type { Metric, MetricAttributes, MetricKind } from "../workers/metrics.ts";

/** A text format. */
export type Format = "text" | "openmetrics";

const CONTENT_TYPES: Record<Format, string> = {
  text: "text/plain; version=0.0.4; charset=utf-8",
  openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
};
const TYPES: Record<MetricKind, string> = {
  counter: "counter",
  updowncounter: "gauge",
  histogram: "histogram",
};
/** The units that are part of a name. What is counted is not. */
const UNITS: Readonly<Record<string, string>> = { s: "seconds", By: "bytes" };
/** More of an `Accept` header is not looked at. */
const MAX_ACCEPT = 1000;

/** Returns the type of content of a format. */
export function contentType(format: Format): string {
  return CONTENT_TYPES[format];
}

/** Chooses a format by the `Accept` header: OpenMetrics only if it is asked for at least as much as the other. */
export function formatFor(accept: string = ""): Format {
  let text = 0;
  let openmetrics = 0;
  for (const range of accept.slice(0, MAX_ACCEPT).toLowerCase().split(",")) {
    const [type, ...parameters] = range.split(";").map((part) => part.trim());
    const given = parameters.find((parameter) => parameter.startsWith("q="));
    const quality = given === undefined ? 1 : Number(given.slice(2)) || 0;
    const version = parameters.find((parameter) => parameter.startsWith("version="));
    if (type === "application/openmetrics-text") {
      if (version === undefined || version === "version=1.0.0") {
        openmetrics = Math.max(openmetrics, quality);
      }
    } else if (type === "text/plain" || type === "text/*" || type === "*/*") {
      text = Math.max(text, quality);
    }
  }
  return openmetrics > 0 && openmetrics >= text ? "openmetrics" : "text";
}

/** Writes metrics in a format. */
export function render(metrics: readonly Metric[], format: Format): string {
  const isOpen = format === "openmetrics";
  let text = "";
  for (const { name, kind, unit, description, points } of metrics) {
    const word = UNITS[unit];
    const family = name.replaceAll(/\W/g, "_") + (word === undefined ? "" : `_${word}`);
    const sample = kind === "counter" ? `${family}_total` : family;
    const declared = isOpen ? family : sample;
    text += `# HELP ${declared} ${description}\n# TYPE ${declared} ${TYPES[kind]}\n`;
    if (isOpen && word !== undefined) text += `# UNIT ${declared} ${word}\n`;
    for (const { attributes, value } of points) {
      const labels = labelsOf(attributes);
      text += typeof value === "number"
        ? `${sample}${inBraces(labels)} ${value}\n`
        : histogram(sample, labels, value);
    }
  }
  return isOpen ? `${text}# EOF\n` : text;
}

function histogram(name: string, labels: readonly string[], durations: Durations): string {
  let text = "";
  let count = 0;
  let sum = 0;
  for (const [longest, range] of Object.entries(durations)) {
    count += range.count;
    sum += range.sum;
    const bound = `le="${boundOf(Number(longest) / 1000)}"`;
    text += `${name}_bucket${inBraces([...labels, bound])} ${count}\n`;
  }
  const braces = inBraces(labels);
  return `${text}${name}_sum${braces} ${sum / 1000}\n${name}_count${braces} ${count}\n`;
}

/** The same in both formats, so that series do not change with the format: OpenMetrics writes whole numbers as `1.0`. */
function boundOf(seconds: number): string {
  if (seconds === Infinity) return "+Inf";
  return Number.isInteger(seconds) ? `${seconds}.0` : String(seconds);
}

function labelsOf(attributes: MetricAttributes): string[] {
  return Object.entries(attributes).map(([name, value]) =>
    `${name.replaceAll(/\W/g, "_")}="${escapeValue(String(value))}"`
  );
}

function inBraces(labels: readonly string[]): string {
  return labels.length === 0 ? "" : `{${labels.join(",")}}`;
}

function escapeValue(value: string): string {
  return value.replaceAll(/[\\"\n]/g, (char) => char === "\n" ? "\\n" : `\\${char}`);
}
