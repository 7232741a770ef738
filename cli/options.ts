import type { TransportName } from "../mod.ts";
import { type Arguments, choiceOption, UsageError } from "./program.ts";

const UNITS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
/** The longest delay of a timer, in milliseconds. */
const MAX_DURATION = 2 ** 31 - 1;

/** Reads a duration: with a unit, in bare milliseconds, or `none`. Returns milliseconds, `Infinity` for `none`. */
export function durationOption<Default>(
  { options }: Arguments,
  name: string,
  otherwise: Default,
): number | Default {
  const text = options[name];
  if (text === undefined) return otherwise;
  if (text === "none") return Infinity;
  const [, count, unit = "ms"] = /^(\d+)(ms|s|m|h)?$/.exec(text) ?? [];
  const duration = Number(count) * UNITS[unit]!;
  if (duration >= 1 && duration <= MAX_DURATION) return duration;
  throw new UsageError(
    `--${name} must be a time from 1ms to 596h, such as 500ms, 30s, 10m or 1h, ` +
      `a number of milliseconds, or none, got ${JSON.stringify(text)}`,
  );
}

const SIZES: Record<string, number> = { "": 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };

/** An option that is a size such as `64M`, a number of bytes or `none`. Returns bytes, `Infinity` for `none`. */
export function sizeOption(
  { options }: Arguments,
  name: string,
  [min, max]: readonly [min: string, max: string],
): number | undefined {
  const text = options[name];
  if (text === undefined) return;
  if (text === "none") return Infinity;
  const size = bytesOf(text);
  if (size >= bytesOf(min) && size <= bytesOf(max)) return size;
  throw new UsageError(
    `--${name} must be a size from ${min} to ${max}, such as 500K, 64M or 1G, ` +
      `a number of bytes, or none, got ${JSON.stringify(text)}`,
  );
}

function bytesOf(text: string): number {
  const [, count, unit = ""] = /^(\d+)([KMG]?)$/.exec(text) ?? [];
  return Number(count) * SIZES[unit]!;
}

/** Reads a list that is separated by commas. The items are not checked. */
export function listOption({ options }: Arguments, name: string): string[] | undefined {
  return options[name]?.split(",").map((item) => item.trim());
}

/** Reads the permissions of a file, in octal. */
export function modeOption({ options }: Arguments, name: string): number | undefined {
  const text = options[name];
  if (text === undefined) return;
  if (/^0?[0-7]{3}$/.test(text)) return parseInt(text, 8);
  throw new UsageError(
    `--${name} must be three octal digits from 000 to 777, got ${JSON.stringify(text)}`,
  );
}

/** Reads the transport that listens or dials; `undefined` for the default of the library. */
export function transportOption(args: Arguments): TransportName | undefined {
  if (args.options.transport === undefined) return;
  return choiceOption<TransportName>(args, "transport", ["deno", "node"], "deno");
}
