import { attempt } from "../_internal/attempt.ts";
import { systemErrors } from "../_internal/system_error_classes.ts";
import { checkFunction } from "../_internal/checks.ts";
import { Observers } from "../_internal/observers.ts";
import { unlessAborted } from "../_internal/time_limit.ts";
import type { Lifecycle } from "../session/lifecycle.ts";
import { SessionGroup } from "../session/group.ts";
import { insideOf } from "../session/inside.ts";
import { connectWithin } from "./connect.ts";
import {
  CertificateError,
  type SessionEnd,
  SessionEndedError,
  TlsHandshakeError,
} from "../errors.ts";
import { isOwnError, withinSetUp } from "./set_up.ts";
import {
  type ReconnectingClient,
  type ReconnectObserver,
  type ReconnectOptions,
  type ReconnectSettings,
  resolveReconnectOptions,
} from "./reconnect_options.ts";
import { Session } from "../session.ts";

export type {
  ConnectAddress,
  ReconnectingClient,
  ReconnectObserver,
  ReconnectOptions,
} from "./reconnect_options.ts";

/**
 * Makes a client that reconnects. It dials when the first session is asked for. When a session has ended or a dial has
 * failed, it waits for a random time and dials again.
 *
 * @param options Where to connect, how the sessions behave, and how to reconnect.
 * @returns The client. Loop over its sessions, or have it call a handler for each: `client.run(handler)`.
 * @throws {TypeError | RangeError} If an option is invalid.
 *
 * @example A subscriber that survives its server
 * ```ts
 * import { type NetAddr, reconnect, serve } from "@parley/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = serve({ port: 0 }, (session) => session.send(`news ${session.id}\n`));
 *
 * const { port } = server.addr as NetAddr;
 * const client = reconnect({ port });
 * const news: string[] = [];
 * await client.run(async (session) => {
 *   for await (const line of session.lines()) news.push(line);
 *   if (session.id === 3) client.close();
 * });
 * assertEquals(news, ["news 1", "news 2", "news 3"]);
 * ```
 */
export function reconnect<Ready>(options: ReconnectOptions<Ready>): ReconnectingClient<Ready> {
  return new Client(resolveReconnectOptions(options));
}

const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined };

/** What to do after a dial or a session. */
interface RetryDecision {
  /** Milliseconds until the next dial, `Infinity` for none. */
  readonly retryIn: number;
  /** The time of the next dial, by `performance.now()`. */
  readonly dialAt: number;
  /** What the client fails with. */
  readonly failure?: Failure;
}

interface Failure {
  readonly error: unknown;
}

const NO_RETRY: RetryDecision = { retryIn: Infinity, dialAt: Infinity };

/**
 * All work is done by a waiting `next()`, one step at a time. So there is never more than one dial or session at a time.
 * Only the end of a session is handled when it occurs.
 */
export class Client<Ready> implements ReconnectingClient<Ready> {
  /** What the last dial or session failed with. */
  lastFailure: unknown;
  readonly #settings: ReconnectSettings<Ready>;
  readonly #observers: Observers<ReconnectObserver>;
  readonly #group: SessionGroup<Session> = new SessionGroup();
  /** Aborts when the client is closed or aborted, and ends whatever waits. */
  readonly #stop = new AbortController();
  readonly #closing = new DOMException("the client was closed", "AbortError");
  #dials = 0;
  #failures = 0;
  /** How many short sessions in a row were ended by `redial()` and counted as no failure. */
  #drains = 0;
  #isDrained = false;
  #session: Session | undefined;
  #life: Lifecycle | undefined;
  #ready: Ready | undefined;
  /** The set-up of the session. Resolves with its failure, if any. */
  #settingUp: Promise<Failure | undefined> | undefined;
  #decision: Promise<RetryDecision> | undefined;
  #pending: Promise<IteratorResult<Session, undefined>> | undefined;
  #isOver = false;

  constructor(settings: ReconnectSettings<Ready>) {
    this.#settings = settings;
    this.#observers = new Observers(settings.observers, settings.onError);
    this.#group.onError = (error) => attempt(() => settings.onError(error), () => {});
  }

  get session(): Session | undefined {
    return this.#session;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Session, undefined>> {
    if (this.#pending !== undefined) {
      const problem = "another next() of this client waits already: one at a time";
      return Promise.reject(new TypeError(problem));
    }
    if (this.#isOver) return Promise.resolve(DONE);
    return this.#pending = this.#step().finally(() => {
      this.#pending = undefined;
      this.#unwatch();
    });
  }

  async return(): Promise<IteratorReturnResult<undefined>> {
    await this.close();
    return DONE;
  }

  async run(handler: (session: Session, ready: Ready) => unknown): Promise<void> {
    checkFunction("handler", handler);
    for await (const session of this) {
      const life = this.#life!;
      try {
        await handler(session, this.#ready as Ready);
      } catch (error) {
        life.fail(error);
        if (!life.threw(error)) throw error;
      }
    }
  }

  redial(): void {
    if (this.#session === undefined) return;
    this.#isDrained = true;
    this.#life!.close("drain");
  }

  async close(): Promise<void> {
    this.#isOver = true;
    this.#stop.abort(this.#closing);
    this.#session?.close();
    await this.#pending?.catch(() => {}); // the caller of next() gets the error
    await this.#decision;
  }

  abort(reason?: unknown): void {
    this.#stop.abort(reason);
    this.#session?.abort(reason ?? this.#stop.signal.reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  readonly #onAbort = (): void => this.abort(this.#settings.signal!.reason);

  async #step(): Promise<IteratorResult<Session, undefined>> {
    const { signal } = this.#settings;
    try {
      if (signal?.aborted) this.#onAbort();
      signal?.addEventListener("abort", this.#onAbort);
      const session = await this.#nextSession();
      if (session !== undefined) return { done: false, value: session };
    } catch (error) {
      this.#isOver = true;
      if (error !== this.#closing) throw error;
    }
    this.#isOver = true;
    return DONE;
  }

  /** Listens to the signal only while there is something to abort, so that a client that is dropped leaves no listener. */
  #unwatch(): void {
    if (this.#pending !== undefined || this.#session !== undefined) return;
    this.#settings.signal?.removeEventListener("abort", this.#onAbort);
  }

  /** Dials until there is a session that is set up. Resolves to `undefined` if there is none any more. */
  async #nextSession(): Promise<Session | undefined> {
    const { signal } = this.#stop;
    this.#session?.close();
    let decision = await this.#decision;
    for (;;) {
      signal.throwIfAborted();
      if (decision !== undefined) {
        if (decision.failure !== undefined) throw decision.failure.error;
        if (decision === NO_RETRY) return;
        await this.#delay(Math.max(0, decision.dialAt - performance.now()));
      }
      const outcome = await this.#dial();
      if (!(outcome instanceof Session)) decision = outcome;
      else if (signal.aborted) decision = await this.#decision; // it was aborted when it began
      else return outcome;
    }
  }

  /** Dials once. Resolves to a session that is set up, or to what to do after the failure. */
  async #dial(): Promise<Session | RetryDecision> {
    const { targets } = this.#settings;
    const { signal } = this.#stop;
    const { options, address } = targets[this.#dials++ % targets.length]!;
    const number = this.#failures + 1;
    this.#observers.tell("onDial", address, number);
    let session: Session;
    try {
      session = await connectWithin(this.#group, { ...options, signal });
    } catch (error) {
      this.#failures = number;
      const decision = await this.#decide(error, true, isPermanent(error));
      this.#observers.tell("onDialError", error, number, decision.retryIn);
      return decision;
    }
    this.#startSession(session, address);
    return await this.#settingUp === undefined ? session : await this.#decision!;
  }

  #startSession(session: Session, address: string): void {
    const { aborted, reason } = this.#stop.signal;
    this.#life = insideOf(session).life;
    this.#session = session;
    this.#settingUp = undefined;
    this.#isDrained = false;
    this.#decision = session.closed.then((end) => this.#onEnd(session, end));
    this.#observers.tell("onSessionStart", session);
    if (aborted) session.abort(reason); // its dial could not be cancelled any more
    else if (this.#settings.setUp !== undefined) {
      this.#settingUp = this.#setUp(session, address);
    }
  }

  /** Sets a session up. If that fails, the session ends, and its dial counts as failed. */
  async #setUp(session: Session, address: string): Promise<Failure | undefined> {
    const settings = this.#settings;
    const life = this.#life!;
    try {
      const limit = { address, timeout: settings.setUpTimeout, what: "set-up" };
      this.#ready = await withinSetUp(session, settings.setUp!, limit);
    } catch (error) {
      life.terminate("error", error);
      return { error };
    }
  }

  /** Never rejects: it may take long until a `next()` awaits it. */
  async #onEnd(session: Session, end: SessionEnd): Promise<RetryDecision> {
    this.#session = undefined;
    this.#unwatch();
    const failure = this.#settingUp && await this.#settingUp;
    const hasLasted = failure === undefined && end.duration >= this.#settings.resetAfter;
    if (hasLasted) this.#drains = 0;
    // A server that drains whenever it has accepted must not be dialled without a pause.
    const isSuccess = hasLasted ||
      this.#isDrained && this.#drains++ < this.#settings.targets.length;
    this.#failures = isSuccess ? 0 : this.#failures + 1;
    const { error } = failure ??
      { error: new SessionEndedError(end.reason, { cause: end.cause }) };
    const isOwn = failure !== undefined && isOwnError(error, this.#life!);
    const decision = await this.#decide(error, failure !== undefined, isOwn || isPermanent(error));
    this.#observers.tell("onSessionEnd", session, end, decision.retryIn);
    return decision;
  }

  /** Decides what to do after `error`, with which a dial or a session has ended. */
  async #decide(error: unknown, isDial: boolean, isPermanent: boolean): Promise<RetryDecision> {
    const { maxAttempts, shouldRetry, random } = this.#settings;
    this.lastFailure = error;
    if (this.#stop.signal.aborted) return NO_RETRY;
    try {
      if (this.#failures >= maxAttempts) throw error;
      const answer = await unlessAborted(
        Promise.resolve(shouldRetry(error, this.#failures)),
        this.#stop.signal,
      );
      if (answer ?? !isPermanent) {
        const retryIn = Math.round(random() * this.#longestDelay());
        return { retryIn, dialAt: performance.now() + retryIn };
      }
      if (!isDial && answer !== undefined) return NO_RETRY;
      throw error;
    } catch (error) {
      return { ...NO_RETRY, failure: { error } };
    }
  }

  #longestDelay(): number {
    const { targets, minDelay, maxDelay } = this.#settings;
    const rounds = Math.floor(Math.max(0, this.#failures - 1) / targets.length);
    return Math.min(maxDelay, minDelay * 2 ** rounds);
  }

  /** Waits for a number of milliseconds. Rejects when the client stops. */
  async #delay(duration: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, duration);
    try {
      await unlessAborted(promise, this.#stop.signal);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Whether another attempt is useless: one of the sides must be configured differently. */
function isPermanent(error: unknown): boolean {
  if (error instanceof SessionEndedError) return error.cause instanceof CertificateError;
  if (error instanceof TlsHandshakeError) return PERMANENT_TLS.includes(error.code);
  return PERMANENT.some((kind) => error instanceof kind);
}

const PERMANENT = [TypeError, RangeError, systemErrors.NotCapable];
const PERMANENT_TLS = ["certificate", "version", "alpn", "server-name"];
