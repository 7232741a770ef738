/** Serving: accepting, limits, draining and observing. This module: `serve()` and its server. */

import { checkDuration, checkFunction } from "../_internal/checks.ts";
import type { Observers } from "../_internal/observers.ts";
import { checkOptions } from "../_internal/options.ts";
import { openEarly } from "../_internal/open_early.ts";
import { drainSessions } from "./drain.ts";
import { SessionGroup } from "../session/group.ts";
import { insideOf } from "../session/inside.ts";
import type { Lifecycle } from "../session/lifecycle.ts";
import type { ServerObserver, ServerState } from "./observer.ts";
import { acceptAll } from "./acceptor.ts";
import { Admission, type Permit, type Stage } from "./admission.ts";
import { observersFor } from "./observers.ts";
import { LameDuck } from "./lame_duck.ts";
import type { Limits } from "./limits.ts";
import { MemoryGuard } from "./memory.ts";
import { checkObserver, SERVE_OPTIONS, SERVER_TLS_OPTIONS } from "./known_options.ts";
import type { Handler, ServeOptions, Server, ServerStats, ShutdownOptions } from "./options.ts";
import { stagesOf, tlsUpgrade } from "./stages.ts";
import { addEnd, addLives, noStats } from "./stats.ts";
import { Session } from "../session.ts";
import { resolveSessionOptions } from "../session/options.ts";
import {
  type Address,
  type Connection,
  normalizeAddress,
  type PeerCertificate,
} from "../transport/connection.ts";
import { listen } from "../transport/listen.ts";
import type { StartedListener } from "../transport/node/listen_target.ts";
import type { TlsServerOptions } from "../transport/tls/options.ts";
import { TlsAcceptor } from "../transport/tls/server.ts";

export type {
  DurationRange,
  Durations,
  Handler,
  MemoryStats,
  RateStats,
  ServeOptions,
  Server,
  ServerStats,
  ServerTlsOptions,
  SessionRate,
  ShutdownOptions,
} from "./options.ts";

/**
 * Starts a server: listens, and calls a handler for each connection.
 *
 * @param options Where to listen, limits and deadlines.
 * @param handler Called with each session.
 * @returns The server, which listens already.
 * @throws {TypeError | RangeError} If an option is invalid.
 * @throws {Deno.errors.AddrInUse} If the port is in use. Other errors of listening are thrown as well. For a Unix socket
 * whose file exists already, {@linkcode Server.listening} rejects instead.
 *
 * @example
 * ```ts
 * import { connect, type NetAddr, serve } from "@parley/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = serve({ port: 0 }, async (session) => {
 *   for await (const line of session.lines()) await session.send(`${line.toUpperCase()}\n`);
 * });
 *
 * const { port } = server.addr as NetAddr;
 * await using client = await connect({ port });
 * await client.send("rose\n");
 * assertEquals(await client.readLine(), "ROSE");
 * ```
 */
export function serve(options: ServeOptions, handler: Handler): Server {
  return new TcpServer(options, handler);
}

/** The server behind {@linkcode serve}. The stages are a parameter for tests, and the limits for workers. */
export class TcpServer implements Server {
  readonly #listening = Promise.withResolvers<Address>();
  readonly #options: ServeOptions;
  readonly #handler: Handler;
  readonly #observers: Observers<ServerObserver>;
  readonly #admission: Admission;
  /** The permits of sessions that count for `maxSessionsPerAddress`. A `Map` would keep ended sessions, as in `SessionGroup`. */
  readonly #permits: WeakMap<Session, Permit> = new WeakMap();
  readonly #memory: MemoryGuard;
  readonly #tls: TlsAcceptor | undefined;
  readonly #shutdownTimeout: number;
  readonly #lameDuck: LameDuck;
  readonly #listener: StartedListener;
  readonly #group: SessionGroup<Session> = new SessionGroup((session, end) => {
    addEnd(this.#stats, session, end);
    this.#admission.release(this.#permits.get(session));
    this.#permits.delete(session);
    this.#observers.tell("onSessionEnd", session, end);
    this.#changed();
  });
  readonly #finished = Promise.withResolvers<void>();
  /** The figures without those of the open sessions. */
  readonly #stats = noStats();
  /** How connections wait for `resume()`. */
  readonly #waiting = {
    isSuspended: (): boolean => this.#isSuspended,
    nextChange: (): Promise<void> => (this.#change ??= Promise.withResolvers()).promise,
  };
  #state: ServerState = "starting";
  /** Whether any state was reported to observers. */
  #isTold = false;
  #isListening = false;
  #isAccepting = true;
  #isAborted = false;
  #isSuspended = false;
  #change: PromiseWithResolvers<void> | undefined;
  /** When sessions must have ended, by `performance.now()`. */
  #drainEnd = 0;
  readonly #stopDrains: (() => void)[] = [];

  constructor(
    options: ServeOptions,
    handler: Handler,
    stages?: readonly Stage[],
    limits?: Limits,
  ) {
    checkOptions(options, SERVE_OPTIONS);
    checkFunction("handler", handler);
    const { signal } = options;
    this.#group.settings = resolveSessionOptions(options);
    this.#tls = options.tls === undefined ? undefined : new TlsAcceptor(options.tls);
    this.#group.acceptTls = tlsUpgrade(options, this.#tls, this.#stats);
    this.#group.onError = (error, session) => this.#onHandlerError(error, session);
    this.#admission = new Admission(
      options,
      {
        ...this.#waiting,
        onAdmission: (connection, permit) => this.#begin(connection, permit),
        onRefusal: (refusal) => this.#observers.tell("onRefusal", refusal),
        onRelease: () => this.#changed(),
      },
      stages ?? stagesOf(options, this.#tls, this.#stats),
      limits,
    );
    this.#memory = new MemoryGuard(options, {
      budget: this.#group.budget,
      lives: () => this.#group.members.values(),
      now: () => this.#group.now(),
      pace: (duration) => this.#group.pace(duration),
      onPressure: (event) => {
        this.#observers.tell("onMemoryPressure", event);
        this.#changed();
      },
    });
    this.#shutdownTimeout = checkDuration("shutdownTimeout", options.shutdownTimeout ?? 15_000);
    this.#lameDuck = new LameDuck(options, {
      canDelay: () => this.#isListening && !this.#isStopping,
      onBegin: () => this.#setState("lame-duck"),
      onDrain: (isSpread) => this.drain(isSpread),
    });
    this.#options = { ...options }; // later changes of the object have no effect
    this.#handler = handler;
    this.#observers = observersFor(options);
    openEarly();
    const listener = this.#listener = listen(options);
    if (listener.ready === undefined) this.#start();
    else listener.ready.then(() => this.#start(), (error) => this.#fail(error));
    signal?.addEventListener("abort", this.#onAbort);
    if (signal?.aborted) this.shutdown();
  }

  get addr(): Address {
    return normalizeAddress(this.#listener.addr);
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

  get sessions(): ReadonlySet<Session> {
    return new Set(this.#group.members.values().map(({ session }) => session as Session));
  }

  get certificates(): PeerCertificate[] {
    return this.#tls?.certificates ?? [];
  }

  stats(): ServerStats {
    const refusals = { ...this.#admission.refusals };
    const refused = Object.values(refusals).reduce((all, count) => all + count, 0);
    const stats = {
      ...structuredClone(this.#stats),
      refused,
      refusals,
      waits: { sessions: this.#admission.waits, ...this.#group.waits },
      memory: this.#memory.stats(),
    };
    addLives(stats, this.#group.members.values());
    return stats;
  }

  reloadTls(tls: TlsServerOptions): void {
    if (this.#tls === undefined) throw new TypeError("the server was started without tls");
    checkOptions(tls, SERVER_TLS_OPTIONS, "tls");
    this.#tls.reload(tls);
  }

  observe(observer: ServerObserver): () => void {
    checkObserver("observer", observer);
    return this.#observers.add(observer);
  }

  suspend(): void {
    if (this.#isStopping || this.#isSuspended) return;
    this.#isSuspended = true;
    if (this.#state !== "lame-duck") this.#setState("suspended");
  }

  resume(): void {
    if (!this.#isSuspended) return;
    this.#isSuspended = false;
    if (this.#state === "lame-duck") this.#changed();
    else if (this.#isListening) this.#setState("listening");
    else this.#state = "starting";
  }

  shutdown(options: ShutdownOptions = {}): Promise<void> {
    this.#lameDuck.shutdown(options);
    return this.finished;
  }

  /** Drains without a delay. If it is spread, sessions are ended one after the other. */
  drain(isSpread: boolean): void {
    if (!this.#isStopping) this.#admitWaiting();
    if (!this.#stop()) return;
    this.#admission.drain();
    this.#drainEnd = performance.now() + this.#shutdownTimeout;
    if (this.#shutdownTimeout < Infinity) {
      const timer = setTimeout(() => this.#admission.close(), this.#shutdownTimeout);
      this.#stopDrains.push(() => clearTimeout(timer));
    }
    this.#group.drain();
    this.#drainSessions(this.#group.members.values(), this.#shutdownTimeout, isSpread);
    this.#changed();
  }

  /** Admits those whom the runtime has accepted already: they are no longer in the queue of the system. */
  #admitWaiting(): void {
    if (this.#isSuspended || this.#memory.isFull) return;
    for (const connection of this.#listener.acceptWaiting?.() ?? []) {
      if (!this.#admission.admit(connection)) connection.close();
    }
  }

  #drainSessions(lives: Iterable<Lifecycle>, timeout: number, isSpread: boolean): void {
    this.#stopDrains.push(drainSessions(lives, timeout, isSpread));
  }

  abort(reason?: unknown): void {
    this.#isAborted = true;
    this.#stop();
    this.#admission.close();
    this.#group.terminate("local", reason);
    this.#changed();
  }

  ref(): void {
    this.#listener.ref?.();
  }

  unref(): void {
    this.#listener.unref?.();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }

  /** What the sessions are made of. */
  get lives(): Lifecycle[] {
    return this.#group.members.values();
  }

  /** Serves a connection that another process has served before. `prepare` is called before the handler. */
  adopt(attach: () => Connection, prepare: (session: Session) => void): void {
    let connection: Connection;
    try {
      connection = attach();
    } catch (error) { // the peer has gone, or there is no descriptor
      return this.#onAcceptError(error, 0);
    }
    const permit = this.#admission.adopt(connection);
    if (permit !== undefined) this.#begin(connection, permit, prepare);
  }

  /** Another worker has released a connection. */
  onRoom(): void {
    this.#changed();
  }

  readonly #onAbort = (): void => void this.shutdown();

  #start(): void {
    this.#isListening = true;
    this.#listening.resolve(this.addr);
    if (this.#state === "starting") this.#setState("listening");
    this.#accept();
  }

  /** The server cannot listen. */
  #fail(error: unknown): void {
    if (this.#isStopping) this.#listening.promise.catch(() => {}); // stopped before it listened: need not be handled
    this.#listening.reject(error);
    this.#isAccepting = false;
    if (!this.#isTold) this.#state = "draining"; // it never listened, so there is nothing to report
    this.#stop();
    this.#changed();
  }

  async #accept(): Promise<void> {
    await acceptAll(this.#listener, {
      ...this.#waiting,
      isStopping: () => this.#isStopping,
      isWaiting: () => this.#isSuspended || this.#memory.isFull || this.#admission.mustWait,
      count: () => this.#admission.count,
      onConnection: (connection) => !this.#isAborted && this.#admission.admit(connection),
      onExhausted: (error) => {
        if (!this.#admission.shed(error)) this.#group.shed(error);
      },
      onError: (error, retryIn) => {
        this.#onAcceptError(error, retryIn);
        if (retryIn === Infinity) this.drain(false);
      },
    });
    this.#isAccepting = false;
    this.#changed();
  }

  get #isStopping(): boolean {
    return this.#state === "draining" || this.#state === "closed";
  }

  #begin(connection: Connection, permit: Permit, prepare?: (session: Session) => void): void {
    this.#stats.accepted++;
    const session = new Session(connection, this.#options, this.#group);
    if (permit.block !== undefined) this.#permits.set(session, permit);
    prepare?.(session);
    const isLate = this.#isStopping; // the server has stopped since the connection was accepted
    this.#run(session);
    if (isLate) this.#drainLate(session);
  }

  #drainLate(session: Session): void {
    const { life } = insideOf(session);
    const rest = Math.max(0, this.#drainEnd - performance.now());
    if (life.isMember) this.#drainSessions([life], rest, false);
  }

  /** Calls the handler. An async function here, or closures, would make each idle session larger. */
  #run(session: Session): void {
    const { life } = insideOf(session);
    this.#observers.tell("onSessionStart", session);
    try {
      Promise.resolve(this.#handler(session)).then(
        life.onReturned.bind(life),
        life.onThrown.bind(life),
      );
    } catch (error) {
      life.onThrown(error);
    }
  }

  #onAcceptError(error: unknown, retryIn: number): void {
    this.#stats.acceptErrors++;
    this.#observers.tell("onAcceptError", error, retryIn);
  }

  #onHandlerError(error: unknown, session: Session): void {
    this.#stats.handlerErrors++;
    this.#observers.tell("onHandlerError", error, session);
  }

  /** Stops accepting. Returns whether the server was still running. */
  #stop(): boolean {
    if (this.#isStopping) return false;
    this.#lameDuck.stop();
    this.#isSuspended = false;
    this.#setState("draining");
    try {
      this.#listener.close();
    } catch { /* it was closed already */ }
    return true;
  }

  #setState(state: ServerState): void {
    this.#state = state;
    this.#isTold = true;
    this.#observers.tell("onStateChange", state, this.addr);
    this.#changed();
  }

  /** Something has changed that the accept loop or the end of the server may wait for. */
  #changed(): void {
    this.#change?.resolve();
    this.#change = undefined;
    if (this.#isAccepting || this.#state === "closed" || this.#admission.count > 0) return;
    for (const stop of this.#stopDrains) stop();
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    this.#state = "closed";
    if (this.#isTold) this.#observers.tell("onStateChange", "closed", this.addr);
    this.#finished.resolve();
  }
}
