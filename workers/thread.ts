/** The program of a worker's thread: a server of its own, which the main thread controls. */

import process from "node:process";
import { parentPort } from "node:worker_threads";
import { checkFunction, checkMethods } from "../_internal/checks.ts";
import { Lateness } from "../_internal/lateness.ts";
import { checkOptions } from "../_internal/options.ts";
import { type Handler, TcpServer } from "../serve/serve.ts";
import { SessionList } from "../serve/session_list.ts";
import { noteConnections } from "../transport/node/open_connections.ts";
import { openBus } from "./bus.ts";
import type { SessionsAnswer, SessionsQuestion } from "./inside.ts";
import type { FromWorker, ToWorker, WorkerFigures, WorkerStart } from "./messages.ts";
import { setWorkerNumber } from "./number.ts";
import { SERVICE_OPTIONS, type ServiceModule } from "./options.ts";
import { receivedError, sentError } from "./sent_error.ts";
import { SharedLimits } from "./shared_limits.ts";

// `workerData` belongs to the module that serves.
parentPort!.once("message", run);

async function run(start: WorkerStart): Promise<void> {
  const { port } = start;
  setWorkerNumber(start.worker);
  noteConnections(start.connections);
  let server: TcpServer | undefined;
  let figures: (() => WorkerFigures) | undefined;
  let sessions: SessionList | undefined;
  let isStopping = false;
  const bus = openBus();
  const lateness = new Lateness();
  const tell = (message: FromWorker): void => port.postMessage(message);
  port.on("message", (message: ToWorker) => {
    if (message.kind === "ping") return tell({ kind: "pong", figures: figures?.() });
    if (message.kind === "peers") return bus.connect(message.ports);
    if (server === undefined) isStopping ||= message.kind === "drain" || message.kind === "abort";
    else if (message.kind === "remember-sessions") sessions ??= new SessionList(server);
    else if (message.kind === "sessions") {
      message.port.postMessage(answer(sessions ??= new SessionList(server), message.question));
    } else obey(server, message);
  });
  // Deno 2.9.6 does not close all sockets of a thread that ends.
  process.on("exit", () => server?.abort(new Error("the worker has ended")));
  try {
    const service = await import(start.module);
    if (isStopping) return port.close();
    const { metrics } = service as Partial<ServiceModule>;
    if (metrics !== undefined) checkMethods(`metrics of ${start.module}`, metrics, ["collect"]);
    const served = server = serveModule(service, start, () => tell({ kind: "room" }));
    const { durations } = lateness;
    lateness.start();
    figures = () => ({
      stats: served.stats(),
      metrics: metrics?.collect() ?? [],
      lateness: durations,
      heap: process.memoryUsage().heapUsed,
    });
    tell({ kind: "listening", addr: await server.listening });
    await server.finished;
    tell({ kind: "finished", figures: figures() });
  } catch (error) {
    tell({ kind: "failed", error: sentError(error) });
  }
  lateness.stop();
  port.close(); // nothing else in this file keeps the thread alive
}

function serveModule(
  module: Partial<ServiceModule>,
  { worker, options, limits, isSuspended, ...start }: WorkerStart,
  onRelease: () => void,
): TcpServer {
  const { default: handler, options: own = {} } = module;
  checkFunction(`the default export of ${start.module}`, handler);
  checkOptions(own, SERVICE_OPTIONS, `options of ${start.module}`);
  const counted = new SharedLimits(limits, worker, onRelease);
  const server = new TcpServer({ ...own, ...options }, handler as Handler, undefined, counted);
  if (isSuspended) server.suspend();
  return server;
}

function answer(sessions: SessionList, question: SessionsQuestion): SessionsAnswer {
  return question.kind === "page" ? sessions.page(question.query) : sessions.end(question.id);
}

/** A message that is for the server itself. */
type Order = Exclude<ToWorker, { kind: "peers" | "ping" | "remember-sessions" | "sessions" }>;

function obey(server: TcpServer, message: Order): void {
  switch (message.kind) {
    case "suspend":
      return server.suspend();
    case "resume":
      return server.resume();
    case "drain":
      return server.drain(message.isSpread);
    case "abort":
      return server.abort(message.reason && receivedError(message.reason));
    case "reload-tls":
      return server.reloadTls(message.tls);
    case "room":
      return server.onRoom();
  }
}
