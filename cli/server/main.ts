/** The server program. */

import process from "node:process";
import { setTimeout } from "node:timers";
import { formatAddress, type Logger, serve, type ServeOptions, type Server } from "../../mod.ts";
import { type Admin, type LogLevelControl, serveAdmin } from "../../admin/mod.ts";
import type { Bus } from "../../hub/mod.ts";
import type { Capture } from "../../capture/mod.ts";
import { captureInto, captureWarning, endCapture } from "../capturing.ts";
import { Metrics } from "../../metrics/mod.ts";
import { serveWorkers, type WorkersServer } from "../../workers/mod.ts";
import { LOG_LEVELS, type LogFormat, LogLevelOf, openLog } from "./logging.ts";
import { type Arguments, choiceOption, readOptionFile, runProgram } from "../program.ts";
import { adminError, startError } from "./errors.ts";
import { FLAGS, OPTIONS, type Place, type Plan, readPlan } from "./options.ts";
import { systemdOptions } from "./systemd.ts";
import { openNats } from "./nats.ts";
import { readCertificate, reloadCertificate, warnOfOthers } from "./tls.ts";
import { serviceOf } from "./services.ts";
import type { WorkerPlan } from "./worker.ts";

const HELP = `The greeting service: says welcome!, then hello, NAME! to each name until exit.
Or, with --service, another one.

Usage: deno run --allow-net server.ts [options]

Service
  --service NAME       greeting, echo, discard or chat (default greeting)
  --delay MS           of greeting: milliseconds before a reply (default 0)
  --workers N          how many threads serve, auto for one for each core;
                       requires --allow-read of this package, and Linux
                       (default: this thread alone)
  --nats URL           of chat: the NATS server that makes one room of several
                       processes, such as nats://127.0.0.1:4222

Address
  --hostname HOST      address to listen on (default 127.0.0.1; 0.0.0.0 for all)
  --port PORT          port to listen on, 0 for a free one (default 1234)
  --udp                serve datagrams: one name in each
  --unix PATH          Unix socket to listen on instead; requires --allow-read
                       and --allow-write of PATH as well
  --mode MODE          permissions of its file, such as 660 (default: the
                       umask); requires --allow-sys
  --systemd            take the socket that systemd has opened, and tell systemd
                       what the server does (Type=notify); requires --allow-env
  --socket NAME        name of the socket, if systemd has opened several
  --transport NAME     deno, or node, which costs less from about a thousand
                       busy clients on (default deno, if the version allows it)

TLS, which requires --allow-read of both files
  --tls-cert FILE      certificate in PEM, followed by the intermediate ones
  --tls-key FILE       its private key, which other users should not be able to
                       read; on SIGHUP, the server reads both files again
  --tls-mode MODE      required, or detect: clients of echo and discard may do
                       without TLS (default required)

Clients, where LIST is addresses and CIDR blocks such as 10.0.0.0/8,::1
  --allow LIST         addresses that may connect (default: all)
  --deny LIST          addresses that may not, even if allowed
  --proxy-protocol     each connection begins with a PROXY header, v1 or v2
  --trusted LIST       addresses of the proxies; others are refused
  --max-sessions N     maximum number of sessions; more wait (default 10000)
  --max-sessions-per-address N
                       maximum from one address; more are refused (default: all)
  --ipv6-prefix N      bits of an IPv6 address that count as one (default 64)
  --session-rate N     maximum of new sessions a second from one address; more
                       are refused (default: all)
  --read-rate SIZE     maximum of bytes a second from each client, such as 64K;
  --write-rate SIZE    and to each client; more wait (default: none)
  --max-buffer-memory SIZE
                       maximum of unread input and unsent output of all clients
                       together, such as 64M, 1G or none (default 256M)

Times, such as 500ms, 30s, 10m, 1h or none; a bare number is milliseconds
  --idle-timeout TIME      longest time without a byte (default 10m)
  --read-idle-timeout TIME
                           longest time without one from the client
                           (default none)
  --drain-delay TIME       how long it still accepts after it was told to stop,
                           until a load balancer has taken it out; then it
                           ends its sessions one by one (default none)
  --shutdown-timeout TIME  longest wait for sessions at the end (default 15s)

Log, on standard error
  --log-level LEVEL    debug, info, warning or error (default info)
  --log-format FORMAT  text or json (default text)

For operators
  --admin ADDRESS      a page, health checks and metrics at ADDRESS, such as
                       127.0.0.1:9090, or the path of a Unix socket
  --admin-control      let the page suspend, drain and end sessions
  --admin-token FILE   the token that this needs, at least 16 characters; a
                       Unix socket needs none
  --capture FILE       write all that sessions read and write into FILE, for
                       Wireshark, without its TLS; requires --allow-read and
                       --allow-write of FILE, FILE.1, FILE.2 and FILE.3

  -h, --help           print this help
  --version            print the version

Examples
  deno run --allow-net server.ts --service chat --hostname 0.0.0.0 --port 4000
  deno run --allow-net --allow-read server.ts --tls-cert c.pem --tls-key k.pem
  deno run -NRWS server.ts --unix /tmp/greet.sock --mode 660

SIGINT (Ctrl-C) and SIGTERM stop it: pending replies are still sent, for at most
--shutdown-timeout after --drain-delay. A second signal ends it at once.`;

type StopSignal = "SIGINT" | "SIGTERM" | "SIGBREAK";

const IS_WINDOWS = process.platform === "win32";
const STOP_SIGNALS: readonly StopSignal[] = IS_WINDOWS
  ? ["SIGINT", "SIGBREAK"]
  : ["SIGINT", "SIGTERM"];

/** The program: serves until it is stopped. */
export function main(): Promise<void> {
  return runProgram({ help: HELP, options: OPTIONS, flags: FLAGS, takesNames: false, run });
}

async function run(args: Arguments): Promise<number> {
  const plan = readPlan(args);
  const level = choiceOption(args, "log-level", LOG_LEVELS, "info");
  const format = choiceOption<LogFormat>(args, "log-format", ["text", "json"], "text");
  const logger = openLog(level, format);
  if (args.flags.has("udp")) {
    const { checkUdp, serveUdp } = await import("./udp.ts");
    checkUdp(args, plan);
    return await serveUdp(plan, STOP_SIGNALS, logger);
  }
  const { certificate, nats, workers } = plan;
  // Workers connect themselves.
  const bus = nats === undefined || workers !== undefined ? undefined : await openNats(nats);

  let signals = 0;
  const onStop = (signal: StopSignal) => {
    if (++signals > 1) return server.abort(new Error("the program got a second signal to stop"));
    server.shutdown();
    tellRest(server, signal, logger);
  };
  // Before it listens, since a signal may come as soon as it has reported that it listens.
  for (const signal of STOP_SIGNALS) process.on(signal, () => onStop(signal));
  if (!IS_WINDOWS) { // on Windows, it means that the console is closed
    process.on("SIGHUP", () => {
      if (certificate !== undefined) reloadCertificate(server, certificate, logger);
      else logger.info("SIGHUP makes the server read its certificate again, and it has none", {});
    });
  }
  const capture = captureOf(plan, logger);
  const logLevel = new LogLevelOf(logger, level);
  const log = { level, format, sharedLevel: logLevel.shared };
  const server = start(plan, logger, log, capture, bus);
  const admin = openAdmin(plan, server, capture, logger, logLevel);
  try {
    await admin?.listening;
  } catch (error) {
    throw adminError(error, plan);
  }
  try {
    await server.listening;
  } catch (error) {
    if (signals === 0) throw startError(error, plan);
  }
  await server.finished;
  await admin?.close();
  if (capture !== undefined) await endCapture(capture, (problem) => logger.warn(problem, {}));
  return signals > 1 ? 1 : 0;
}

/** What workers are told of the log. */
type WorkerLog = Pick<WorkerPlan, "level" | "format" | "sharedLevel">;

/** A server, with or without workers. */
type Running = Server | WorkersServer;

/** After how many milliseconds a server without sessions reports what it waits for. Usually it has ended by then. */
const PATIENCE = 1_000;

/** Reports what a stopping server waits for, and how to stop it at once. */
function tellRest(server: Running, signal: StopSignal, logger: Logger): void {
  const { active } = server.stats();
  const isLameDuck = server.state === "lame-duck";
  const another = signal === "SIGINT" ? "another Ctrl-C (SIGINT)" : `another ${signal}`;
  if (active === 0 && !isLameDuck) {
    setTimeout(() => {
      if (server.state !== "draining") return;
      const clients = "clients in a TLS handshake or before their PROXY header";
      logger.info(`waiting for ${clients}: ${another} ends them at once`, { active });
    }, PATIENCE).unref();
    return;
  }
  const sessions = active === 1 ? "1 session" : `${active} sessions`;
  logger.info(
    isLameDuck
      ? `accepting until the drain delay is over: ${another} stops the server at once`
      : `waiting for ${sessions} to end: ${another} ends them at once`,
    { active },
  );
}

function openAdmin(
  plan: Plan,
  server: Running,
  capture: Capture | undefined,
  logger: Logger,
  logLevel: LogLevelControl,
): Admin | undefined {
  if (plan.admin === undefined) return;
  const { place, control, token } = plan.admin;
  const metrics = new Metrics();
  metrics.addServer(plan.service, server);
  if (capture !== undefined) metrics.addCapture(plan.service, capture);
  try {
    const admin = serveAdmin({
      ...place,
      control,
      ...(token !== undefined && { token: readOptionFile("--admin-token", token).trim() }),
      metrics,
      logLevel,
      logger,
    }, { [plan.service]: server });
    admin.listening.then((addr) => {
      const address = formatAddress(addr);
      logger.info(`the page for operators is at ${address}`, { address });
    }, () => {}); // the caller waits for it, too
    return admin;
  } catch (error) {
    throw adminError(error, plan);
  }
}

function captureOf(plan: Plan, logger: Logger): Capture | undefined {
  const { capture: file } = plan;
  if (file === undefined) return;
  try {
    const capture = captureInto(file, (problem) => logger.error(problem, { file }));
    logger.warn(captureWarning(file), { file });
    return capture;
  } catch (error) {
    throw startError(error, plan);
  }
}

function start(
  plan: Plan,
  logger: Logger,
  log: WorkerLog,
  capture: Capture | undefined,
  bus: Bus | undefined,
): Running {
  try {
    const tls = plan.certificate &&
      { ...readCertificate(plan.certificate), mode: plan.tlsMode };
    const common = { ...plan.limits, ...(tls && { tls }), logger };
    const server = plan.workers === undefined
      ? serveHere(plan, {
        ...common,
        ...(capture && { observer: { onSessionStart: (session) => capture.add(session) } }),
      }, bus)
      : serveInWorkers(plan, common, log);
    if (plan.certificate !== undefined) warnOfOthers(plan.certificate, logger);
    return server;
  } catch (error) {
    throw startError(error, plan);
  }
}

function serveHere(
  { service, delay, place }: Plan,
  common: ServeOptions,
  bus: Bus | undefined,
): Server {
  const { handler, options } = serviceOf(service, delay, bus, common.logger);
  const where = "systemd" in place ? systemdOptions(place.systemd, common) : place;
  return serve({ ...options, ...common, ...where }, handler);
}

function serveInWorkers(
  { service, delay, place, workers, nats }: Plan,
  { transport: _, ...common }: ServeOptions,
  log: WorkerLog,
): WorkersServer {
  const { hostname, port } = place as Extract<Place, { port: number }>;
  const workerData: WorkerPlan = { service, delay, nats, ...log };
  // The module has the same ending as this one when both are compiled.
  const module = new URL(`./worker.${import.meta.url.split(".").pop()!}`, import.meta.url);
  return serveWorkers(module, {
    ...{ hostname, port, ...common, workerData },
    ...(workers !== undefined && { workers }),
  });
}
