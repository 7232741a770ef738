// The client program with permissions of its own, and the programs that it talks to.

import { type Ended, Program } from "./_programs.ts";
import { canRun } from "./_permissions.ts";

/** Starts `deno run PERMISSIONS client.ts ARGS`. */
export function startClient(permissions: string[], ...args: string[]): Program {
  return new Program("deno", ["run", "--quiet", ...permissions, "client.ts", ...args]);
}

/** Starts `client.ts --raw --port PORT ARGS`. */
export function startRaw(port: number, ...args: string[]): Program {
  return startClient(["--allow-net"], "--raw", "--port", String(port), ...args);
}

/** Runs the client to its end, with `input` on its standard input. */
export async function runClient(
  permissions: string[],
  args: string[],
  input = "",
): Promise<Ended> {
  await using program = startClient(permissions, ...args);
  if (input !== "") await program.type(input);
  await program.endInput();
  return await program.ended();
}

/** Whether any of these commands may not be started. */
export async function cannotRun(...commands: string[]): Promise<boolean> {
  return !(await Promise.all(commands.map(canRun))).every(Boolean);
}

/** A program that listens on a free port of the loopback address. */
export interface Listening extends AsyncDisposable {
  readonly program: Program;
  readonly port: number;
}

/** Starts such a program and waits until it prints its address. */
async function listening(command: string, args: string[], said: RegExp): Promise<Listening> {
  const program = new Program(command, args);
  try {
    const port = await Promise.race([program.stdout.until(said), program.stderr.until(said)]);
    return {
      program,
      port: Number(port[1]),
      [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
    };
  } catch (error) {
    await program[Symbol.asyncDispose]();
    throw error;
  }
}

/** `nc -l`, for one connection. */
export function startNc(...args: string[]): Promise<Listening> {
  return listening("nc", ["-v", "-n", ...args, "-l", "127.0.0.1", "0"], /Listening on \S+ (\d+)/);
}

/** `socat` between one connection and an address of its own kind, such as `EXEC:rev`. */
export function startSocat(address: string): Promise<Listening> {
  const args = ["-d", "-d", "TCP-LISTEN:0,bind=127.0.0.1", address];
  return listening("socat", args, /listening on AF=2 127\.0\.0\.1:(\d+)/);
}

/** `openssl s_server`. */
export function startOpenssl(...args: string[]): Promise<Listening> {
  return listening(
    "openssl",
    ["s_server", "-accept", "127.0.0.1:0", ...args],
    /ACCEPT 127\.0\.0\.1:(\d+)/,
  );
}
