/** Checks of options as a whole: which names there are, and the types that nobody else asks for. */

import { checkFunction, checkObject } from "./checks.ts";

/** Throws if the value of an option is not what it must be. */
export type Check = (name: string, value: unknown) => void;

/** The check of each option that there is: the compiler sees to it that none is missing. */
export type Known<Options> = Readonly<Record<keyof Options, Check>>;

/** Of options that are checked where their range is. */
export function elsewhere(): void {}

/** What stands for options that were left out: to look for names in them takes 30 ns, for each line that is read. */
export const NO_OPTIONS: Readonly<Record<never, never>> = Object.freeze({});

/** Of options that are options themselves. */
export function within(known: Readonly<Record<string, Check>>): Check {
  return (name, value) => checkOptions(value, known, name);
}

/** Of objects that may have some of these methods, and whatever else they like. */
export function optionalMethods<Methods>(methods: readonly (keyof Methods & string)[]): Check {
  return (name, value) => {
    checkObject(name, value);
    for (const method of methods) {
      const got = (value as Record<string, unknown>)[method];
      if (got !== undefined) checkFunction(`${name}.${method}`, got);
    }
  };
}

/**
 * Checks the options of a function. What is `undefined` counts as left out.
 *
 * @param options What the function was given.
 * @param known The options that there are.
 * @param name What messages call the whole, where it is an option itself.
 */
export function checkOptions(
  options: unknown,
  known: Readonly<Record<string, Check>>,
  name?: string,
): void {
  if (options === NO_OPTIONS) return;
  checkObject(name ?? "options", options);
  const before = name === undefined ? "" : `${name}.`;
  for (const option in options as Record<string, unknown>) {
    const value = (options as Record<string, unknown>)[option];
    if (value === undefined) continue;
    if (!Object.hasOwn(known, option)) {
      const meant = nearest(option, Object.keys(known));
      const hint = meant === undefined ? "" : `: did you mean ${before}${meant}?`;
      throw new TypeError(`there is no option ${before}${option}${hint}`);
    }
    known[option]!(before + option, value);
  }
}

/** The name that is most like a misspelled one, if one is like it at all. */
function nearest(name: string, names: readonly string[]): string | undefined {
  const written = name.toLowerCase();
  const most = Math.ceil(name.length / 3);
  let least = most + 1;
  let best: string | undefined;
  for (const one of names) {
    const known = one.toLowerCase();
    let edits = editsBetween(written, known);
    if (name.length > 2 && known.startsWith(written)) edits = Math.min(edits, most); // `host` for `hostname`
    if (edits >= least) continue;
    least = edits;
    best = one;
  }
  return best;
}

/** How many letters have to be put in, left out, replaced or swapped to make one text of another (Damerau 1964). */
function editsBetween(one: string, other: string): number {
  let before: number[] = [];
  let row = Array.from({ length: other.length + 1 }, (_, at) => at);
  for (let i = 1; i <= one.length; i++) {
    const next = [i];
    for (let j = 1; j <= other.length; j++) {
      const [a, b] = [one[i - 1], other[j - 1]];
      next[j] = Math.min(row[j - 1]! + (a === b ? 0 : 1), row[j]! + 1, next[j - 1]! + 1);
      const isSwapped = a === other[j - 2] && b === one[i - 2];
      if (isSwapped) next[j] = Math.min(next[j]!, before[j - 2]! + 1);
    }
    [before, row] = [row, next];
  }
  return row[other.length]!;
}
