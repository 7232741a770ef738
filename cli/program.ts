/** What the two programs are made of. This module: command lines, output and errors. */

import { readFileSync } from "node:fs";
import process from "node:process";
import { parseArgs } from "@std/cli/parse-args";
import config from "../deno.json" with { type: "json" };
import { systemErrors } from "../mod.ts";
import { isDeno, stdout } from "./standard_streams.ts";
import { say, standardError } from "./standard_error.ts";

const encoder = new TextEncoder();

/** Wrong usage. The program prints it in one line and exits with 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Any other error that ends the program. It is printed in one line, and the exit code is 1. */
export class ProgramError extends Error {
  override readonly name = "ProgramError";
}

interface Program {
  /** The text of `--help`. */
  help: string;
  /** The options that take a value. */
  options: readonly string[];
  /** The options without a value. */
  flags?: readonly string[];
  /** Whether arguments that are not options are allowed. */
  takesNames: boolean;
  /** Runs the program. Returns the exit code. */
  run(args: Arguments): Promise<number>;
}

/** The arguments of the command line, unchecked. */
export interface Arguments {
  options: Partial<Record<string, string>>;
  flags: ReadonlySet<string>;
  names: string[];
}

/** Runs a program: reads its command line, and turns every error into one line and an exit code. */
export async function runProgram(program: Program): Promise<void> {
  const code = await exitCode(program, process.argv.slice(2));
  await standardError.finish();
  process.exit(code);
}

async function exitCode(program: Program, args: string[]): Promise<number> {
  try {
    return await runWith(program, args);
  } catch (error) {
    if (error instanceof systemErrors.BrokenPipe) return 0; // the reader of the output has closed it
    const isMisuse = error instanceof UsageError;
    const line = explain(error).replace(/\s*\n\s*/g, " ");
    say(`error: ${line}${isMisuse ? " (see --help)" : ""}`);
    return isMisuse ? 2 : 1;
  }
}

async function runWith(program: Program, args: string[]): Promise<number> {
  const names: string[] = [];
  const { flags = [] } = program;
  let unknown: string | undefined;
  const { help, version, "--": rest = [], ...values } = parseArgs(
    attachValues(args, program.options),
    {
      "--": true,
      boolean: ["help", "version", ...flags],
      string: [...program.options],
      collect: [...program.options],
      alias: { help: "h" },
      unknown(arg: string, key?: string): boolean {
        if (key === undefined) names.push(arg);
        else unknown ??= arg;
        return false; // otherwise it turns names into numbers
      },
    },
  );
  names.push(...rest);
  if (help) return print(usageOf(program.help));
  if (version) return print(`${config.name} ${config.version}`);
  if (unknown !== undefined) throw new UsageError(`unknown option ${unknown}`);
  for (const flag of flags) {
    // parseArgs() takes any value for true.
    const isValued = args.some((arg) => arg.startsWith(`--${flag}=`));
    if (isValued) throw new UsageError(`--${flag} takes no value`);
  }
  if (names.length > 0 && !program.takesNames) {
    throw new UsageError(`unexpected argument ${JSON.stringify(names[0])}`);
  }
  const given = values as Partial<Record<string, string[] | boolean>>;
  const options: Arguments["options"] = {};
  for (const name of program.options) {
    const [value, ...more] = given[name] as string[] | undefined ?? [];
    if (more.length > 0) throw new UsageError(`--${name} is given ${more.length + 1} times`);
    if (value === "") throw new UsageError(`--${name} needs a value`);
    if (value !== undefined) options[name] = value;
  }
  const isGiven = (flag: string) => given[flag] === true;
  return await program.run({ options, flags: new Set(flags.filter(isGiven)), names });
}

/** Turns `--port -1` into `--port=-1`. Otherwise, parseArgs() would take the value for an option. */
function attachValues(args: string[], options: readonly string[]): string[] {
  const attached: string[] = [];
  for (const [index, arg] of args.entries()) {
    if (arg === "--") return [...attached, ...args.slice(index)];
    const last = attached.at(-1);
    const isValue = !arg.startsWith("--") && options.some((name) => last === `--${name}`);
    attached.push(isValue ? `${attached.pop()}=${arg}` : arg);
  }
  return attached;
}

/** The help, with the commands that npm installs where there is no Deno. */
function usageOf(help: string): string {
  if (isDeno) return help;
  const commands = help.replaceAll(/deno run .*?\b(server|client)\.ts/g, "parley-$1");
  return `${commands}\n\nThe permissions (--allow-...) are those of Deno. Here, none is needed.`;
}

function print(text: string): number {
  printLine(text);
  return 0;
}

/** Writes a line to standard output. Unlike `console.log()`, it throws `BrokenPipe` if the reader is gone. */
export function printLine(text: string): void {
  try {
    for (let rest = encoder.encode(`${text}\n`); rest.length > 0;) {
      rest = rest.subarray(stdout.writeSync(rest));
    }
  } catch (error) {
    throw writeError(error, "standard output");
  }
}

/** Turns the error of a write into one line. `BrokenPipe` stays as it is. */
export function writeError(error: unknown, name: string): unknown {
  if (error instanceof systemErrors.BrokenPipe) return error;
  const reason = (error as Error).message.replace(FILE_ERROR, "");
  return new ProgramError(`cannot write ${name}: ${reason}`);
}

/** What `node:fs` says besides the reason: `ENOENT: …, open '/the/path'`. */
const FILE_ERROR = /^E[A-Z]+: |(?:, \w+(?: '[^]*')?)$/g;

/** Reads the text file that an option names. */
export function readOptionFile(option: string, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof systemErrors.NotCapable) throw error;
    const reason = (error as Error).message.replace(FILE_ERROR, "");
    throw new ProgramError(`cannot read ${option} ${path}: ${reason}`);
  }
}

/** What a program needs permissions for, besides the network. */
export interface Needs {
  read?: readonly string[];
  written?: readonly string[];
  hasEnv?: boolean;
}

/** A missing permission in one line, with all flags that are needed and not one after the other. */
export function permissionError(
  { message }: Error,
  { read = [], written = [], hasEnv = false }: Needs = {},
): ProgramError {
  const what = message.replace(/^Requires /, "").replace(/, run again [^]*$/, "");
  const flags = hasEnv ? ["--allow-net", "--allow-env"] : ["--allow-net"];
  if (read.length > 0) flags.push(`--allow-read=${read.join(",")}`);
  if (written.length > 0) flags.push(`--allow-write=${written.join(",")}`);
  // For most of /dev and /proc, Deno requires this.
  const needed = what.startsWith("all access") ? "--allow-all" : flags.join(" ");
  return new ProgramError(`no permission for ${what}: run with ${needed}`);
}

/** Reads an integer. */
export function integerOption<Default>(
  { options }: Arguments,
  name: string,
  [min, max]: readonly [number, number],
  otherwise: Default,
): number | Default {
  const text = options[name];
  if (text === undefined) return otherwise;
  const value = /^\d+$/.test(text) ? Number(text) : NaN;
  if (value >= min && value <= max) return value;
  throw new UsageError(
    `--${name} must be a whole number from ${min} to ${max}, got ${JSON.stringify(text)}`,
  );
}

/** Reads one of a few words. */
export function choiceOption<Choice extends string>(
  { options }: Arguments,
  name: string,
  choices: readonly Choice[],
  otherwise: Choice,
): Choice {
  const text = options[name] ?? otherwise;
  const found = choices.find((choice) => choice === text);
  if (found !== undefined) return found;
  throw new UsageError(
    `--${name} must be one of ${choices.join(", ")}, got ${JSON.stringify(text)}`,
  );
}

function explain(error: unknown): string {
  if (error instanceof systemErrors.NotCapable) return permissionError(error).message;
  return error instanceof Error ? error.message : String(error);
}
