import { checkDuration, shown } from "./_internal/checks.ts";
import { SessionGroup } from "./_internal/session_group.ts";
import type { ServerState } from "./observer.ts";
import { Admission, type Permit, type Stage } from "./serve_admission.ts";
import { Observers } from "./serve_observers.ts";
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

/** The server behind {@linkcode serve}. Its stages are a parameter so that tests can give it some of their own. */
export class TcpServer implements Server {
  readonly addr: Address;
  readonly listening: Promise<Address>;
  readonly #options: ServeOptions;
  readonly #handler: Handler;
  readonly #observers: Observers;
  readonly #admission: Admission;
  readonly #permits: Map<Session, Permit> = new Map();
  readonly #waits: boolean;
  readonly #shutdownTimeout: number;
  readonly #listener: Listener;
  readonly #group: SessionGroup<Session> = new SessionGroup((session, end) => {
    this.#stats.bytesRead += session.bytesRead;
    this.#stats.bytesWritten += session.bytesWritten;
    this.#admission.release(this.#permits.get(session)!);
    this.#permits.delete(session);
    this.#observers.tell("onSessionEnd", session, end);
    this.#changed();
  });
  readonly #finished = Promise.withResolvers<void>();
  readonly #stats = {
    accepted: 0,
    acceptErrors: 0,
    handlerErrors: 0,
    bytesRead: 0,
    bytesWritten: 0,
  };
  #state: ServerState = "listening";
  #isAccepting = true;
  #change: PromiseWithResolvers<void> | undefined;
  #shutdownTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: ServeOptions, handler: Handler, stages: readonly Stage[] = []) {
    if (typeof handler !== "function") {
      throw new TypeError(`handler must be a function, got ${shown(handler)}`);
    }
    const { overload = "wait" } = options;
    if (overload !== "wait" && overload !== "refuse") {
      throw new RangeError(`overload must be "wait" or "refuse", got ${JSON.stringify(overload)}`);
    }
    resolveSessionOptions(options);
    this.#waits = overload === "wait";
    this.#admission = new Admission(options, {
      onAdmission: (connection, permit) => this.#begin(connection, permit),
      onRefusal: (refusal) => this.#observers.tell("onRefusal", refusal),
      onRelease: () => this.#changed(),
      isSuspended: () => this.#state === "suspended",
      nextChange: () => this.#nextChange(),
    }, stages);
    this.#shutdownTimeout = checkDuration("shutdownTimeout", options.shutdownTimeout ?? 15_000);
    this.#options = { ...options }; // what is changed afterwards is not looked at
    this.#handler = handler;
    this.#observers = new Observers(options);
    this.#listener = options.listener ?? listenTcp(options);
    this.addr = normalizeAddress(this.#listener.addr);
    this.listening = Promise.resolve(this.addr);
    this.#observers.tell("onStateChange", "listening", this.addr);
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
    const refusals = { ...this.#admission.refusals };
    const refused = Object.values(refusals).reduce((all, count) => all + count, 0);
    const stats = { active: this.#group.members.size, refused, refusals, ...this.#stats };
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
        if (this.#isStopping) connection.close();
        else this.#admission.admit(connection);
      } catch (error) {
        if (this.#isStopping) break;
        if (isTransient(error)) {
          if (++resets % MAX_RESETS === 0) await this.#pause(MIN_RETRY); // so that others have their turn
          continue;
        }
        this.#stats.acceptErrors++;
        const isClosed = error instanceof Deno.errors.BadResource; // by somebody else: no retry helps
        retryIn = isClosed ? Infinity : Math.min(MAX_RETRY, Math.max(MIN_RETRY, retryIn * 2));
        this.#observers.tell("onAcceptError", error, retryIn);
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
    return this.#state === "suspended" || (whenFull && this.#admission.isFull);
  }

  #begin(connection: Connection, permit: Permit): void {
    this.#stats.accepted++;
    const session = new Session(connection, this.#options, this.#group);
    this.#permits.set(session, permit);
    this.#run(session);
  }

  async #run(session: Session): Promise<void> {
    const life = this.#group.members.get(session)!;
    this.#observers.tell("onSessionStart", session);
    try {
      await this.#handler(session);
      life.close();
    } catch (error) {
      if (!life.threw(error)) {
        this.#stats.handlerErrors++;
        this.#observers.tell("onHandlerError", error, session);
      }
      life.fail(error);
    }
  }

  /** Stops accepting; whether it had not stopped before. */
  #stop(): boolean {
    if (this.#isStopping) return false;
    this.#setState("draining");
    this.#admission.close();
    try {
      this.#listener.close();
    } catch { /* somebody else has closed it already */ }
    return true;
  }

  #setState(state: ServerState): void {
    this.#state = state;
    this.#observers.tell("onStateChange", state, this.addr);
    this.#changed();
  }

  /** Something that the accept loop or the end of the server waits for may be so now. */
  #changed(): void {
    this.#change?.resolve();
    this.#change = undefined;
    if (this.#isAccepting || this.#state === "closed" || this.#admission.count > 0) return;
    clearTimeout(this.#shutdownTimer);
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    this.#state = "closed";
    this.#observers.tell("onStateChange", "closed", this.addr);
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
}

/** Whether accepting failed only because of the one client that was to be accepted. */
function isTransient(error: unknown): boolean {
  const { NotConnected, ConnectionReset, ConnectionAborted, Interrupted } = Deno.errors;
  return [NotConnected, ConnectionReset, ConnectionAborted, Interrupted].some((kind) =>
    error instanceof kind
  );
}
