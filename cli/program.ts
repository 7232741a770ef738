import { parseArgs } from "@std/cli/parse-args";
import config from "../deno.json" with { type: "json" };

/** Wrong usage: the program says so in one line and exits with 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Anything else that ends the program: said in one line, exit code 1. */
export class ProgramError extends Error {
  override readonly name = "ProgramError";
}

interface Program {
  /** What `--help` prints. */
  help: string;
  /** The options that take a value. */
  options: readonly string[];
  /** Whether arguments that are no options are taken. */
  takesNames: boolean;
  /** Does the work. Returns the exit code. */
  run(args: Arguments): Promise<number>;
}

/** What stands on the command line, not yet looked at. */
export interface Arguments {
  options: Partial<Record<string, string>>;
  names: string[];
}

/** Runs a program: reads its command line, and turns every error into one line and an exit code. */
export async function runProgram(program: Program): Promise<void> {
  let code: number;
  try {
    code = await runWith(program, Deno.args);
  } catch (error) {
    code = error instanceof UsageError ? 2 : 1;
    const hint = code === 2 ? " (see --help)" : "";
    console.error(`error: ${explain(error)}${hint}`);
  }
  Deno.exit(code);
}

function runWith(program: Program, args: string[]): Promise<number> {
  const unknown = (name: string, key?: string): boolean => {
    if (key !== undefined) throw new UsageError(`unknown option ${name}`);
    if (!program.takesNames) throw new UsageError(`unexpected argument ${JSON.stringify(name)}`);
    return true;
  };
  const { _: names, help, version, ...rest } = parseArgs(args, {
    boolean: ["help", "version"],
    string: [...program.options, "_"],
    collect: [...program.options],
    unknown,
  });
  if (help) return print(program.help);
  if (version) return print(`${config.name} ${config.version}`);
  const options: Arguments["options"] = {};
  for (const name of program.options) {
    const values = (rest as Record<string, string[]>)[name] ?? [];
    if (values.length > 1) throw new UsageError(`option --${name} is given ${values.length} times`);
    if (values[0] === "") throw new UsageError(`option --${name} needs a value`);
    if (values[0] !== undefined) options[name] = values[0];
  }
  return program.run({ options, names: names.map(String) });
}

function print(text: string): Promise<number> {
  console.log(text);
  return Promise.resolve(0);
}

/** An option that is a whole number. */
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

/** An option that is one of a few words. */
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
  if (error instanceof Deno.errors.NotCapable) {
    return `no permission to use the network (${
      error.message.split(",")[0]
    }): run with --allow-net`;
  }
  return error instanceof Error ? error.message : String(error);
}
