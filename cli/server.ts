import { serve, type Server } from "../mod.ts";
import { greeting } from "./greeting.ts";
import { LOG_LEVELS, openLog } from "./logging.ts";
import {
  type Arguments,
  choiceOption,
  integerOption,
  ProgramError,
  runProgram,
} from "./program.ts";

const HELP = `The greeting service: says welcome!, then hello, NAME! to each name until exit.

Usage: deno run --allow-net server.ts [options]

  --hostname HOST      address to listen on (default 127.0.0.1; 0.0.0.0 for all)
  --port PORT          port to listen on, 0 for a free one (default 1234)
  --delay MS           pretended work before each reply, in milliseconds (default 0)
  --max-sessions N     most clients at a time; more wait (default 10000)
  --log-level LEVEL    debug, info, warning or error (default info)
  --log-format FORMAT  text or json, on standard error (default text)
  --help               print this
  --version            print the version

SIGINT and SIGTERM let sessions finish, for at most 15 s; a second one ends them at once.`;

/** The program: serves until it is told to stop. */
export function main(): Promise<void> {
  return runProgram({
    help: HELP,
    options: ["hostname", "port", "delay", "max-sessions", "log-level", "log-format"],
    takesNames: false,
    run,
  });
}

async function run(args: Arguments): Promise<number> {
  const hostname = args.options["hostname"] ?? "127.0.0.1";
  const port = integerOption(args, "port", [0, 65535], 1234);
  const delay = integerOption(args, "delay", [0, 2 ** 31 - 1], 0);
  const maxSessions = integerOption(args, "max-sessions", [1, 2 ** 30], 10_000);
  const level = choiceOption(args, "log-level", LOG_LEVELS, "info");
  const logger = openLog(level, choiceOption(args, "log-format", ["text", "json"], "text"));

  let server: Server;
  try {
    server = serve({ hostname, port, maxSessions, logger }, greeting(delay));
  } catch (error) {
    throw explained(error, hostname, port);
  }
  return await untilStopped(server);
}

/** The first signal drains, the second aborts. Returns the exit code. */
async function untilStopped(server: Server): Promise<number> {
  let signals = 0;
  const onSignal = () => {
    if (++signals === 1) server.shutdown();
    else server.abort(new Error("the program was told to stop twice"));
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, onSignal);
  await server.finished;
  return signals > 1 ? 1 : 0;
}

function explained(error: unknown, hostname: string, port: number): unknown {
  const where = `${hostname} port ${port}`;
  if (error instanceof Deno.errors.AddrInUse) {
    return new ProgramError(
      `${where} is in use: stop the other program, or choose another with --port`,
    );
  }
  if (error instanceof Deno.errors.PermissionDenied) {
    return new ProgramError(
      `${where} is not allowed by the system: choose a port over 1023 with --port`,
    );
  }
  if (error instanceof Deno.errors.AddrNotAvailable) {
    return new ProgramError(
      `${hostname} is no address of this machine: choose one with --hostname`,
    );
  }
  if (error instanceof Deno.errors.NotCapable) return error;
  return new ProgramError(
    `cannot listen on ${where}: ${error instanceof Error ? error.message : error}`,
  );
}
