// The server program with permissions of its own, and the programs that people connect to it with.

import { type Ended, Program } from "./_programs.ts";
import { canRun } from "./_permissions.ts";

/** Starts `deno run PERMISSIONS server.ts ARGS`. */
export function startServer(permissions: string[], ...args: string[]): Program {
  return new Program("deno", ["run", "--quiet", ...permissions, "server.ts", ...args]);
}

/** Starts it and waits until it listens; `place` is where. */
export async function serving(
  permissions: string[],
  ...args: string[]
): Promise<AsyncDisposable & { program: Program; place: string }> {
  const program = startServer(permissions, ...args);
  try {
    const [, place] = await program.stderr.until(/listening on (.+)\n/);
    return {
      program,
      place: place!,
      [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
    };
  } catch (error) {
    await program[Symbol.asyncDispose]();
    throw error;
  }
}

/** Runs a command to its end, with `input` on its standard input. */
export async function runCommand(command: string, args: string[], input = ""): Promise<Ended> {
  await using program = new Program(command, args);
  if (input !== "") await program.type(input);
  await program.endInput();
  return await program.ended();
}

/** Whether any of these commands may not be started. */
export async function cannotRun(...commands: string[]): Promise<boolean> {
  return !(await Promise.all(commands.map(canRun))).every(Boolean);
}
