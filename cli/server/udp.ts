/** The greeting service over datagrams. */

import process from "node:process";
import type { Logger } from "../../mod.ts";
import { type DatagramHandler, type DatagramServer, serveDatagrams } from "../../datagram/mod.ts";
import { type Arguments, UsageError } from "../program.ts";
import { startError } from "./errors.ts";
import type { Place, Plan } from "./options.ts";
import { withoutLineEnd } from "./services/greeting.ts";

/** The options that have a meaning with `--udp`. */
const USABLE = new Set([
  ...["udp", "service", "delay", "hostname", "port", "allow", "deny", "shutdown-timeout"],
  ...["log-level", "log-format"],
]);
/** As over TCP, where one read takes at most this much. It also ends a loop of two servers that greet each other. */
const MAX_MESSAGE = 1024;

/** Throws if an option is given that is of no use with `--udp`. */
export function checkUdp({ options, flags }: Arguments, { service }: Plan): void {
  for (const name of [...Object.keys(options), ...flags]) {
    if (!USABLE.has(name)) throw new UsageError(`--${name} is of no use with --udp`);
  }
  if (service === "greeting") return;
  throw new UsageError(`--udp is for --service greeting, got --service ${service}`);
}

/** Serves until a signal stops it; a second one stops it at once. Returns the exit code. */
export async function serveUdp(
  plan: Plan,
  stopSignals: readonly NodeJS.Signals[],
  logger: Logger,
): Promise<number> {
  const { hostname, port } = plan.place as Extract<Place, { port: number }>;
  const { allow, deny, shutdownTimeout } = plan.limits;
  let signals = 0;
  for (const signal of stopSignals) {
    process.on(signal, () => {
      if (++signals > 1) server.abort();
      else server.shutdown();
    });
  }
  let server: DatagramServer;
  try {
    server = serveDatagrams({
      hostname,
      port,
      maxMessageSize: MAX_MESSAGE,
      logger,
      ...(allow !== undefined && { allow }),
      ...(deny !== undefined && { deny }),
      ...(shutdownTimeout !== undefined && { shutdownTimeout }),
    }, greeting(plan.delay));
    await server.listening;
  } catch (error) {
    throw startError(error, plan);
  }
  await server.finished;
  return signals > 1 ? 1 : 0;
}

/** Greets each name: one a datagram. There is nothing that `exit` could end, so it is only answered. */
function greeting(delay: number): DatagramHandler {
  const decoder = new TextDecoder();
  return async (message, sender) => {
    const name = withoutLineEnd(decoder.decode(message));
    if (delay > 0) await new Promise((resolve) => setTimeout(resolve, delay));
    await sender.send(name === "exit" ? "good-bye!" : `hello, ${name}!`);
  };
}
