/** Serving by several threads: {@linkcode serveWorkers} and its server. */

import { clearInterval, clearTimeout, setInterval, setTimeout } from "node:timers";
import { isMainThread } from "node:worker_threads";
import { checkDuration } from "../_internal/checks.ts";
import { Observers } from "../_internal/observers.ts";
import { checkOptions } from "../_internal/options.ts";
import { rejectQuietly } from "../_internal/promises.ts";
import { interruptedError } from "../_internal/system_errors.ts";
import { WorkerCrashError } from "../errors.ts";
import { SERVER_TLS_OPTIONS } from "../serve/known_options.ts";
import { LameDuck } from "../serve/lame_duck.ts";
import { limitValues } from "../serve/limits.ts";
import type { ServerState } from "../serve/observer.ts";
import type { ServerTlsOptions, ShutdownOptions } from "../serve/options.ts";
import {
  type Address,
  type Listener,
  type NetAddr,
  normalizeAddress,
  type PeerCertificate,
} from "../transport/connection.ts";
import { listen } from "../transport/listen.ts";
import type { TlsServerOptions } from "../transport/tls/options.ts";
import { TlsAcceptor } from "../transport/tls/server.ts";
import { addStats } from "./added_stats.ts";
import { ask } from "./asking.ts";
import {
  checkServing,
  memoryShare,
  moduleUrl,
  observersOf,
  sentOptions,
  workerCount,
} from "./checked_options.ts";
import { type SessionsAnswer, type SessionsQuestion, setInsideOfWorkers } from "./inside.ts";
import { Member } from "./member.ts";
import type { ToWorker } from "./messages.ts";
import { addMetrics } from "./metrics.ts";
import type { WorkerEnd, WorkersObserver } from "./observer.ts";
import {
  checkObserver,
  checkSendable,
  type ServeWorkersOptions,
  WORKERS_OPTIONS,
  type WorkersServer,
  type WorkersStats,
} from "./options.ts";
import type { LifeOptions } from "./running_worker.ts";
import { sentError } from "./sent_error.ts";
import { makeLimitsMemory, SharedLimits } from "./shared_limits.ts";

/** The interval of pings, in milliseconds. */
const PING_INTERVAL = 250;
/** How long a worker may take to abort before it is terminated, in milliseconds. */
const ABORT_TIMEOUT = 1000;
const MAX_HEAP = 2 * 1024 ** 3;

/**
 * Starts a server whose sessions are served by several threads, so that it uses all cores. Each worker imports the module,
 * listens on the same port, and serves the connections that the system gives it. Limits count over all workers.
 *
 * The module exports the handler as its default, and may export `options` such as an `observer` of sessions. Call
 * `serveWorkers()` in another module, or in the same one under `if (import.meta.main)`: workers import the whole module.
 *
 * It requires Linux, and on Deno `--allow-read` for the modules that workers import.
 *
 * @param module The URL of the module, such as `import.meta.resolve("./service.ts")`.
 * @param options Where to listen, limits and deadlines, and the number of workers.
 * @returns The server, which is about to listen.
 * @throws {TypeError | RangeError} If an option is invalid or cannot be sent to workers, or in a worker.
 * @throws {Deno.errors.AddrInUse} If the port is in use. Other errors of listening are thrown as well.
 *
 * @example
 * ```ts ignore
 * // service.ts
 * import type { Session } from "@parley/tcp";
 *
 * export default async function greet(session: Session) {
 *   for await (const name of session.lines()) await session.send(`hello, ${name}!\n`);
 * }
 *
 * // main.ts
 * import { serveWorkers } from "@parley/tcp/workers";
 *
 * const server = serveWorkers(import.meta.resolve("./service.ts"), { port: 1234 });
 * await server.finished;
 * ```
 */
export function serveWorkers(module: string | URL, options: ServeWorkersOptions): WorkersServer {
  return new Workers(module, options);
}

class Workers implements WorkersServer {
  readonly #module: string;
  readonly #options: Readonly<Record<string, unknown>>;
  readonly #main: ServeWorkersOptions;
  readonly #observers: Observers<WorkersObserver>;
  readonly #limits: SharedLimits;
  readonly #limitsMemory: LifeOptions["start"]["limits"];
  readonly #acceptor: TlsAcceptor | undefined;
  readonly #members: Member[];
  readonly #listening = Promise.withResolvers<Address>();
  readonly #finished = Promise.withResolvers<void>();
  readonly #lameDuck: LameDuck;
  readonly #pings: ReturnType<typeof setInterval>;
  #addr: Address;
  #tls: ServerTlsOptions | undefined;
  #state: ServerState = "starting";
  /** Whether the first worker has found its address. */
  #isFound = false;
  /** Whether all workers have listened. */
  #isListening = false;
  #isSuspended = false;
  #isReferenced = true;
  #remembersSessions = false;
  #pingedAt = performance.now();
  #abortTimer: ReturnType<typeof setTimeout> | undefined;
  #failure: unknown;

  static {
    setInsideOfWorkers((server) => {
      if (!(#members in server)) return;
      const workers: Workers = server;
      return {
        rememberSessions: () => workers.#rememberSessions(),
        askSessions: (question, worker) => workers.#askSessions(question, worker),
      };
    });
  }

  constructor(module: string | URL, options: ServeWorkersOptions) {
    if (!isMainThread) {
      throw new TypeError(
        "serveWorkers() must be called in the main thread. Workers import the whole module that serves: " +
          "is it called there, without if (import.meta.main)?",
      );
    }
    this.#module = moduleUrl(module);
    checkOptions(options, WORKERS_OPTIONS);
    const { hostname = "127.0.0.1", port, signal, maxCrashes = 10, reusePort = false } = options;
    this.#main = { ...options };
    const count = workerCount(options);
    this.#options = { ...sentOptions(options), maxBufferMemory: memoryShare(options, count) };
    this.#tls = options.tls;
    this.#acceptor = this.#tls && new TlsAcceptor(this.#tls);
    checkServing(options, this.#acceptor);
    this.#limitsMemory = makeLimitsMemory(
      limitValues(options),
      count,
      options.overload !== "refuse",
    );
    this.#limits = new SharedLimits(this.#limitsMemory, 0, () => {});
    this.#lameDuck = new LameDuck(options, {
      canDelay: () => this.#isListening && !this.#isStopping,
      onBegin: () => this.#setState("lame-duck"),
      onDrain: (isSpread) => this.#stop({ kind: "drain", isSpread }),
    });
    this.#observers = new Observers(observersOf(options), (error) => options.onError?.(error));
    this.#addr = { transport: "tcp", hostname, port };
    const { tcpBacklog } = options;
    // Otherwise, a second server on the same port would get a share of the connections without an error.
    const probe = listen({
      ...{ hostname, port, reusePort, transport: "node", isTrial: true },
      ...(tcpBacklog !== undefined && { tcpBacklog }),
    });
    const hooks = {
      lifeOptions: (worker: number) => this.#lifeOptions(worker),
      isReferenced: () => this.#isReferenced,
      onListening: (member: Member, addr: Address) => this.#onListening(member, addr),
      onRoom: (member: Member) => this.#tellOfRoom(member),
      onLifeEnd: (member: Member) => {
        this.#limits.clear(member.worker);
        this.#tellOfRoom(member);
      },
      onDeath: (member: Member, end: WorkerEnd) => this.#onDeath(member, end),
      onEnd: () => this.#onEnd(),
    };
    this.#members = Array.from({ length: count }, (_, i) => new Member(i, maxCrashes, hooks));
    if (probe.ready === undefined) this.#begin(probe);
    else probe.ready.then(() => this.#begin(probe)).catch((error) => this.#fail(error));
    this.#pings = setInterval(() => this.#ping(), PING_INTERVAL);
    this.#pings.unref();
    signal?.addEventListener("abort", this.#onAbort);
    if (signal?.aborted) this.shutdown();
  }

  get addr(): Address {
    return this.#addr;
  }

  get listening(): Promise<Address> {
    return this.#listening.promise;
  }

  get finished(): Promise<void> {
    return this.#finished.promise;
  }

  get state(): ServerState {
    return this.#state;
  }

  get certificates(): PeerCertificate[] {
    return this.#acceptor?.certificates ?? [];
  }

  stats(): WorkersStats {
    const workers = this.#members.map((member) => member.stats());
    return {
      ...addStats(workers.map(({ stats }) => stats)),
      workers,
      metrics: addMetrics(workers.map(({ metrics }) => metrics)),
    };
  }

  reloadTls(tls: TlsServerOptions): void {
    if (this.#acceptor === undefined) throw new TypeError("the server was started without tls");
    checkOptions(tls, SERVER_TLS_OPTIONS, "tls");
    checkSendable("tls", tls);
    this.#acceptor.reload(tls); // only to check the options
    this.#tls = { ...structuredClone(tls), mode: this.#main.tls!.mode ?? "required" };
    this.#post({ kind: "reload-tls", tls: this.#tls });
  }

  observe(observer: WorkersObserver): () => void {
    checkObserver("observer", observer);
    return this.#observers.add(observer);
  }

  suspend(): void {
    if (this.#isStopping || this.#isSuspended) return;
    this.#isSuspended = true;
    this.#post({ kind: "suspend" });
    if (this.#state !== "lame-duck") this.#setState("suspended");
  }

  resume(): void {
    if (!this.#isSuspended) return;
    this.#isSuspended = false;
    this.#post({ kind: "resume" });
    if (this.#state === "lame-duck") return;
    if (this.#isListening) this.#setState("listening");
    else this.#state = "starting";
  }

  shutdown(options: ShutdownOptions = {}): Promise<void> {
    this.#lameDuck.shutdown(options);
    return this.finished;
  }

  abort(reason?: unknown): void {
    if (this.#state === "closed") return;
    const message: ToWorker = {
      kind: "abort",
      reason: reason === undefined ? undefined : sentError(reason),
    };
    this.#stop(message);
    this.#post(message);
    if (this.#hasEnded) return;
    this.#abortTimer ??= setTimeout(() => this.#terminate(), ABORT_TIMEOUT);
  }

  ref(): void {
    this.#isReferenced = true;
    for (const member of this.#members) member.ref();
  }

  unref(): void {
    this.#isReferenced = false;
    for (const member of this.#members) member.unref();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }

  readonly #onAbort = (): void => void this.shutdown();

  get #isStopping(): boolean {
    return this.#state === "draining" || this.#state === "closed";
  }

  get #hasEnded(): boolean {
    return this.#members.every(({ isEnded }) => isEnded);
  }

  #lifeOptions(worker: number): LifeOptions {
    this.#limits.clear(worker);
    const { workerTimeout = 30_000, maxHeap = MAX_HEAP, workerData } = this.#main;
    const { port } = this.#addr as NetAddr;
    return {
      start: {
        worker,
        module: this.#module,
        options: {
          ...this.#options,
          port,
          transport: "node",
          reusePort: this.#members.length > 1 || this.#main.reusePort === true,
          ...(this.#tls && { tls: this.#tls }),
        },
        limits: this.#limitsMemory,
        isSuspended: this.#isSuspended,
      },
      workerData,
      maxHeap,
      workerTimeout: checkDuration("workerTimeout", workerTimeout),
      isReferenced: this.#isReferenced,
    };
  }

  /** Starts the first worker. It chooses the port, on which the others listen as well. */
  #begin(probe: Listener): void {
    probe.close();
    if (!this.#isStopping) this.#members[0]!.start();
  }

  #fail(error: unknown): void {
    this.#failure = error;
    this.#stop({ kind: "drain", isSpread: false });
  }

  #rememberSessions(): void {
    this.#remembersSessions = true;
    this.#post({ kind: "remember-sessions" });
  }

  async #askSessions(
    question: SessionsQuestion,
    worker?: number,
  ): Promise<[number, SessionsAnswer][]> {
    const asked = this.#members.filter((one) => worker === undefined || one.worker === worker);
    const answers = await Promise.all(asked.map((member) => ask(member, question)));
    return answers.flatMap((answer, n): [number, SessionsAnswer][] =>
      answer === undefined ? [] : [[asked[n]!.worker, answer]]
    );
  }

  #onListening(member: Member, addr: Address): void {
    if (this.#isStopping) return;
    // What happened while it started.
    member.post({ kind: this.#isSuspended ? "suspend" : "resume" });
    if (this.#tls !== undefined) member.post({ kind: "reload-tls", tls: this.#tls });
    if (this.#remembersSessions) member.post({ kind: "remember-sessions" });
    member.introduce(this.#members.filter((other) => other !== member && other.isServing));
    this.#observers.tell("onWorkerStart", member.worker);
    if (!this.#isFound) {
      this.#isFound = true;
      this.#addr = normalizeAddress(addr);
      for (const other of this.#members.slice(1)) other.start();
    }
    if (this.#isListening || !this.#members.every(({ isServing }) => isServing)) return;
    this.#isListening = true;
    this.#listening.resolve(this.#addr);
    if (this.#state === "starting") this.#setState("listening");
  }

  #onDeath({ worker }: Member, end: WorkerEnd): void {
    this.#observers.tell("onWorkerEnd", worker, end);
    if (end.restartIn < Infinity || this.#isStopping) return;
    const { reason, cause } = end;
    this.#fail(this.#isListening ? new WorkerCrashError(worker, reason, { cause }) : cause);
  }

  #onEnd(): void {
    if (!this.#hasEnded) return;
    clearInterval(this.#pings);
    clearTimeout(this.#abortTimer);
    this.#main.signal?.removeEventListener("abort", this.#onAbort);
    this.#setState("closed");
    const isFailure = this.#failure !== undefined;
    if (!this.#isListening && isFailure) this.#listening.reject(this.#failure);
    else rejectQuietly(this.#listening, interruptedError("server"));
    if (this.#isListening && isFailure) this.#finished.reject(this.#failure);
    else this.#finished.resolve();
  }

  #stop(message: ToWorker): void {
    if (this.#isStopping) return;
    this.#lameDuck.stop();
    this.#setState("draining");
    for (const member of this.#members) member.stop(message);
  }

  #terminate(): void {
    for (const member of this.#members) if (!member.isEnded) member.terminate();
  }

  #post(message: ToWorker): void {
    for (const member of this.#members) member.post(message);
  }

  /** Tells the other workers that a worker has released connections. */
  #tellOfRoom(from: Member): void {
    for (const member of this.#members) if (member !== from) member.post({ kind: "room" });
  }

  /** If this thread was busy or the process was stopped, that time does not count against the workers. */
  #ping(): void {
    const now = performance.now();
    const elapsed = Math.min(now - this.#pingedAt, 2 * PING_INTERVAL);
    this.#pingedAt = now;
    for (const member of this.#members) member.ping(elapsed);
  }

  /** A server that has never listened is not reported to observers. */
  #setState(state: ServerState): void {
    this.#state = state;
    if (this.#isFound) this.#observers.tell("onStateChange", state, this.#addr);
  }
}
