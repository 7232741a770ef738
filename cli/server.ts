import { formatAddress, type Handler, serve, type ServeOptions, type Server } from "../mod.ts";
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
  --delay MS           milliseconds of pretended work before a reply (default 0)
  --max-sessions N     most clients at a time; more wait (default 10000)
  --log-level LEVEL    debug, info, warning or error (default info)
  --log-format FORMAT  text or json, on standard error (default text)
  --help               print this
  --version            print the version

SIGINT (Ctrl-C) and SIGTERM stop it: replies that are due are still sent, for
at most 15 s. A second one ends it at once.`;

const SIGNALS: readonly Deno.Signal[] = Deno.build.os === "windows"
  ? ["SIGINT", "SIGBREAK"]
  : ["SIGINT", "SIGTERM"];

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

  let signals = 0;
  const onSignal = () => {
    if (++signals === 1) server.shutdown();
    else server.abort(new Error("the program was told to stop twice"));
  };
  // Before it listens: whoever starts the program may stop it as soon as it says that it does.
  for (const signal of SIGNALS) Deno.addSignalListener(signal, onSignal);
  const server = start({ hostname, port, maxSessions, logger }, greeting(delay));
  await server.finished;
  return signals > 1 ? 1 : 0;
}

function start(
  options: ServeOptions & { hostname: string; port: number },
  handler: Handler,
): Server {
  try {
    return serve(options, handler);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    const where = formatAddress({ transport: "tcp", ...options });
    throw new ProgramError(`cannot listen on ${where}: ${explain(error)}`);
  }
}

/** What keeps the program from listening, and what to do about it. */
function explain(error: unknown): string {
  if (error instanceof Deno.errors.AddrInUse) {
    return "the port is in use: stop the other program, or choose another with --port";
  }
  if (error instanceof Deno.errors.PermissionDenied) {
    return "the system does not allow it: choose a port over 1023 with --port";
  }
  if (error instanceof Deno.errors.AddrNotAvailable) {
    return "the address is not one of this machine: choose another with --hostname";
  }
  return `${error instanceof Error ? error.message : error}: choose another with --hostname`;
}
