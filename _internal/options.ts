/** Checks options as a whole: their names, and the types that are not checked elsewhere. */

import { checkFunction, checkObject } from "./checks.ts";

/** Throws if the value of an option is not what it must be. */
export interface Check {
  (name: string, value: unknown): void;
  /** The checks of the options inside, where it has some. */
  readonly inner?: Readonly<Record<string, Check>>;
}

/** The checks of all options of a function. The compiler makes sure that none is missing. */
export type Known<Options> = Readonly<Record<keyof Options, Check>>;

/** For options that are checked elsewhere, together with their range. */
export function elsewhere(): void {}

/** The default for options that are left out. It is not checked: that would take 30 ns for each line that is read. */
export const NO_OPTIONS: Readonly<Record<never, never>> = Object.freeze({});

/** For options that contain options. */
export function within(known: Readonly<Record<string, Check>>): Check {
  const check = (name: string, value: unknown): void => checkOptions(value, known, name);
  return Object.assign(check, { inner: known });
}

/** Where options belong that are often given elsewhere, and names that other libraries have for them. */
export const PLACES: Readonly<Record<string, string>> = {
  maxLength: "session.lines() and codecs have it",
  maxLineLength: "session.lines() and lines() have maxLength",
  maxFrameLength: "codecs have maxLength",
  onTooLong: "session.lines() and codecs have it",
  borrow: "session.bytes() has it",
  fatal: "sessions, session.text() and session.lines() have it",
  chunkSize: "serve() and connect() have it",
  idleTimeout: "serve() and connect() have it",
  frameTimeout: "serve() and connect() have it",
  writeTimeout: "serve() and connect() have it",
};

/** For objects that may have some of these methods, and anything else. */
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
 * @param options The options that were given.
 * @param known The checks of the options that exist.
 * @param name The name of the option that contains these options, for messages.
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
      throw new TypeError(`there is no option ${before}${option}${hint(option, known, before)}`);
    }
    known[option]!(before + option, value);
  }
}

/** What to do about an option that does not exist. */
function hint(option: string, known: Readonly<Record<string, Check>>, before: string): string {
  const inside = Object.keys(known).filter((name) =>
    Object.hasOwn(known[name]!.inner ?? {}, option)
  );
  if (inside.length > 0) {
    return `: did you mean ${inside.map((name) => `${before}${name}.${option}`).join(" or ")}?`;
  }
  const meant = nearest(option, Object.keys(known));
  if (meant !== undefined) return `: did you mean ${before}${meant}?`;
  return Object.hasOwn(PLACES, option) ? `: ${PLACES[option]}` : "";
}

/** The name that is most similar to a misspelled one, if there is a similar one. */
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

/** How many letters must be inserted, removed, replaced or swapped to turn one text into another (Damerau 1964). */
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
