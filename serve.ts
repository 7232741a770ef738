import { checkDuration, checkInteger, shown } from "./_internal/checks.ts";
import { SessionGroup } from "./_internal/session_group.ts";
import {
  logObserver,
  printErrors,
  type Refusal,
  type ServerObserver,
  type ServerState,
} from "./observer.ts";
import type { Handler, ServeOptions, Server, ServerStats } from "./serve_options.ts";
import { Session } from "./session.ts";
import { resolveSessionOptions } from "./session_options.ts";
import {
  type Address,
  type Connection,
  type Listener,
  normalizeAddress,
} from "./transport/connection.ts";
import { listenTcp } from "./transport/tcp.ts";

export type { Handler, ServeOptions, Server, ServerStats } from "./serve_options.ts";

/**
 * Serves: listens, and calls a handler for each connection.
 *
 * @param options Where to listen, limits and deadlines.
 * @param handler What happens in each session.
 * @returns The server, which listens already.
 * @throws {TypeError | RangeError} If an option is wrong.
 * @throws {Deno.errors.AddrInUse} If the port is taken, and whatever else listening throws.
 *
 * @example
 * ```ts
 * import { connect, serve } from "@parley/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = serve({ port: 0 }, async (session) => {
 *   for await (const line of session.lines()) await session.send(`${line.toUpperCase()}\n`);
 * });
 *
 * const { port } = server.addr as Deno.NetAddr;
 * await using client = await connect({ port });
 * await client.send("rose\n");
 * assertEquals(await client.readLine(), "ROSE");
 * ```
 */
export function serve(options: ServeOptions, handler: Handler): Server {
  return new TcpServer(options, handler);
}

/** Out of descriptors or memory, accepting is tried again after these many milliseconds, doubling. */
const MIN_RETRY = 5;
const MAX_RETRY = 1000;
/** After so many resets in a row, accepting rests for a moment. */
const MAX_RESETS = 1000;

class TcpServer implements Server {
  readonly addr: Address;
  readonly listening: Promise<Address>;
  readonly #options: ServeOptions;
  readonly #handler: Handler;
  readonly #observers: ServerObserver[];
  readonly #maxSessions: number;
  readonly #waits: boolean;
  readonly #shutdownTimeout: number;
  readonly #listener: Listener;
  readonly #group: SessionGroup<Session> = new SessionGroup((session, end) => {
    this.#stats.bytesRead += session.bytesRead;
    this.#stats.bytesWritten += session.bytesWritten;
    this.#tell("onSessionEnd", session, end);
    this.#changed();
  });
  readonly #finished = Promise.withResolvers<void>();
  readonly #stats = {
    accepted: 0,
    refused: 0,
    acceptErrors: 0,
    handlerErrors: 0,
    bytesRead: 0,
    bytesWritten: 0,
  };
  #state: ServerState = "listening";
  #isAccepting = true;
  #change: PromiseWithResolvers<void> | undefined;
  #shutdownTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: ServeOptions, handler: Handler) {
    if (typeof handler !== "function") {
      throw new TypeError(`handler must be a function, got ${shown(handler)}`);
    }
    const { overload = "wait" } = options;
    if (overload !== "wait" && overload !== "refuse") {
      throw new RangeError(`overload must be "wait" or "refuse", got ${JSON.stringify(overload)}`);
    }
    resolveSessionOptions(options);
    this.#waits = overload === "wait";
    this.#maxSessions = checkInteger("maxSessions", options.maxSessions ?? 10_000, 1, 2 ** 30);
    this.#shutdownTimeout = checkDuration("shutdownTimeout", options.shutdownTimeout ?? 15_000);
    this.#options = { ...options }; // what is changed afterwards is not looked at
    this.#handler = handler;
    this.#observers = observersOf(options);
    this.#listener = options.listener ?? listenTcp(options);
    this.addr = normalizeAddress(this.#listener.addr);
    this.listening = Promise.resolve(this.addr);
    this.#tell("onStateChange", "listening", this.addr);
    this.#accept();
    options.signal?.addEventListener("abort", this.#onAbort);
    if (options.signal?.aborted) this.shutdown();
  }

  get finished(): Promise<void> {
    return this.#finished.promise;
  }

  get state(): ServerState {
    return this.#state;
  }

  get sessions(): ReadonlySet<Session> {
    return new Set(this.#group.members.keys());
  }

  stats(): ServerStats {
    const stats = { active: this.#group.members.size, ...this.#stats };
    for (const session of this.#group.members.keys()) {
      stats.bytesRead += session.bytesRead;
      stats.bytesWritten += session.bytesWritten;
    }
    return stats;
  }

  suspend(): void {
    if (this.#state === "listening") this.#setState("suspended");
  }

  resume(): void {
    if (this.#state === "suspended") this.#setState("listening");
  }

  shutdown(): Promise<void> {
    if (this.#stop()) {
      this.#group.drain();
      if (this.#shutdownTimeout < Infinity) {
        this.#shutdownTimer = setTimeout(
          () => this.#group.terminate("drain", undefined),
          this.#shutdownTimeout,
        );
      }
      this.#changed();
    }
    return this.finished;
  }

  abort(reason?: unknown): void {
    this.#stop();
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

  readonly #onAbort = (): void => void this.shutdown();

  /**
   * No client can end this loop. A connection that is reset before it was accepted is nothing (the error is told as
   * `NotConnected`); out of descriptors, accepting fails thousands of times a second unless it is slowed down.
   */
  async #accept(): Promise<void> {
    let retryIn = 0;
    let resets = 0;
    for (;;) {
      while (this.#mustWait(this.#waits)) await this.#nextChange();
      if (this.#isStopping) break;
      try {
        const connection = await this.#listener.accept();
        retryIn = resets = 0;
        while (this.#mustWait(false)) await this.#nextChange();
        this.#admit(connection);
      } catch (error) {
        if (this.#isStopping) break;
        if (isTransient(error)) {
          if (++resets % MAX_RESETS === 0) await this.#pause(MIN_RETRY); // so that others have their turn
          continue;
        }
        this.#stats.acceptErrors++;
        const isClosed = error instanceof Deno.errors.BadResource; // by somebody else: no retry helps
        retryIn = isClosed ? Infinity : Math.min(MAX_RETRY, Math.max(MIN_RETRY, retryIn * 2));
        this.#tell("onAcceptError", error, retryIn);
        if (isClosed) this.shutdown();
        else await this.#pause(retryIn);
      }
    }
    this.#isAccepting = false;
    this.#changed();
  }

  get #isStopping(): boolean {
    return this.#state === "draining" || this.#state === "closed";
  }

  #mustWait(whenFull: boolean): boolean {
    if (this.#isStopping) return false;
    return this.#state === "suspended" ||
      (whenFull && this.#group.members.size >= this.#maxSessions);
  }

  #admit(connection: Connection): void {
    if (this.#isStopping) return connection.close();
    if (this.#group.members.size >= this.#maxSessions) {
      const refusal: Refusal = {
        remoteAddr: normalizeAddress(connection.remoteAddr),
        limit: "maxSessions",
      };
      this.#stats.refused++;
      connection.close();
      return this.#tell("onRefusal", refusal);
    }
    try {
      if (this.#options.noDelay ?? true) connection.setNoDelay?.(true);
      if (this.#options.keepAlive ?? false) connection.setKeepAlive?.(true);
    } catch { /* reset already: the session will see it */ }
    this.#stats.accepted++;
    this.#run(new Session(connection, this.#options, this.#group));
  }

  async #run(session: Session): Promise<void> {
    const life = this.#group.members.get(session)!;
    this.#tell("onSessionStart", session);
    try {
      await this.#handler(session);
      life.close();
    } catch (error) {
      if (!life.threw(error)) {
        this.#stats.handlerErrors++;
        this.#tell("onHandlerError", error, session);
      }
      life.fail(error);
    }
  }

  /** Stops accepting; whether it had not stopped before. */
  #stop(): boolean {
    if (this.#isStopping) return false;
    this.#setState("draining");
    try {
      this.#listener.close();
    } catch { /* somebody else has closed it already */ }
    return true;
  }

  #setState(state: ServerState): void {
    this.#state = state;
    this.#tell("onStateChange", state, this.addr);
    this.#changed();
  }

  /** Something that the accept loop or the end of the server waits for may be so now. */
  #changed(): void {
    this.#change?.resolve();
    this.#change = undefined;
    if (this.#isAccepting || this.#state === "closed" || this.#group.members.size > 0) return;
    clearTimeout(this.#shutdownTimer);
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    this.#state = "closed";
    this.#tell("onStateChange", "closed", this.addr);
    this.#finished.resolve();
  }

  #nextChange(): Promise<void> {
    return (this.#change ??= Promise.withResolvers()).promise;
  }

  /** Waits for so long, or until the server stops. */
  async #pause(duration: number): Promise<void> {
    let isOver = false;
    const timer = setTimeout(() => {
      isOver = true;
      this.#changed();
    }, duration);
    while (!isOver && !this.#isStopping) await this.#nextChange();
    clearTimeout(timer);
  }

  #tell<Event extends keyof ServerObserver>(
    event: Event,
    ...args: Parameters<Required<ServerObserver>[Event]>
  ): void {
    for (const observer of this.#observers) {
      attempt(
        () =>
          (observer[event] as ((...args: unknown[]) => unknown) | undefined)?.call(
            observer,
            ...args,
          ),
        // Whoever is told of errors may fail too: then there is nobody left to tell.
        (error) => attempt(() => this.#options.onError?.(error), () => {}),
      );
    }
  }
}

/** Calls what belongs to the user. Neither what it throws nor what it rejects with gets any further than `onError`. */
function attempt(run: () => unknown, onError: (error: unknown) => void): void {
  try {
    const result = run();
    if (result instanceof Promise) result.catch(onError);
  } catch (error) {
    onError(error);
  }
}

/** The observer that is given, the logger's, and one for the errors that nobody else is told of. */
function observersOf(options: ServeOptions): ServerObserver[] {
  const { observer, logger } = options;
  const observers: ServerObserver[] = [];
  if (observer !== undefined) observers.push(observer);
  if (logger !== undefined) observers.push(logObserver(logger));
  if (options.onError !== undefined) {
    observers.push({
      onHandlerError: (error, session) => options.onError!(error, session),
      onAcceptError: (error) => options.onError!(error),
    });
  }
  for (const event of ["onHandlerError", "onAcceptError"] as const) {
    if (!observers.some((one) => one[event] !== undefined)) {
      observers.push({ [event]: printErrors[event] });
    }
  }
  return observers;
}

/** Whether accepting failed only because of the one client that was to be accepted. */
function isTransient(error: unknown): boolean {
  const { NotConnected, ConnectionReset, ConnectionAborted, Interrupted } = Deno.errors;
  return [NotConnected, ConnectionReset, ConnectionAborted, Interrupted].some((kind) =>
    error instanceof kind
  );
}
