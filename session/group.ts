import { type EndReason, type SessionEnd, SessionEndedError } from "../errors.ts";
import { LinkedList } from "../_internal/linked_list.ts";
import type { Connection } from "../transport/connection.ts";
import { Budget } from "./budget.ts";
import { BufferPool } from "./buffer_pool.ts";
import { FlushQueue } from "./flush_queue.ts";
import type { Lifecycle } from "./lifecycle.ts";
import type { SessionSettings } from "./options.ts";
import type { Waits } from "./throttle.ts";

/** The sweep runs eight times within the shortest duration of all sessions, in intervals within these limits. */
const SWEEPS = 8;
const MIN_INTERVAL = 5;
const MAX_INTERVAL = 1000;

/**
 * Sessions that share one sweep of deadlines, one flush queue and one drain: those of a server, or the single session of
 * a client.
 */
export class SessionGroup<Session> {
  readonly queue: FlushQueue = new FlushQueue();
  readonly budget: Budget = new Budget();
  readonly pool: BufferPool = new BufferPool(this.budget);
  readonly waits: Waits = { reads: 0, writes: 0 };
  /**
   * Not a `Map`: as sessions come and go, V8 replaces its table, and the old one keeps the sessions of then and refers to
   * the new one. Once a table is in the old part of the heap, all that follow it survive there. That took 13 ms for each
   * small collection instead of 0.6.
   */
  readonly members: LinkedList<Lifecycle> = new LinkedList();
  /** What draining throws, once it has begun. */
  drained: SessionEndedError | undefined;
  /** The checked options, if all sessions have the same. */
  settings: SessionSettings | undefined;
  /** For sessions of a server: returns the function that accepts TLS, or throws if the server has no TLS. */
  acceptTls: (() => (connection: Connection) => Promise<Connection>) | undefined;
  /** For the session of a client: the dialled host. */
  serverName: string | undefined;
  /** Called with the error of a user's function, such as `goodbye`. */
  onError: ((error: unknown, session: Session) => void) | undefined;
  readonly #onLeave: ((session: Session, end: SessionEnd) => void) | undefined;
  #drain: AbortController | undefined;
  #nextId = 1;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #interval = Infinity;
  #clock = 0;
  #readAt: number = Math.floor(performance.now());

  constructor(onLeave?: (session: Session, end: SessionEnd) => void) {
    this.#onLeave = onLeave;
  }

  /** Aborts when draining begins. */
  get draining(): AbortSignal {
    if (this.#drain === undefined) {
      this.#drain = new AbortController();
      if (this.drained !== undefined) this.#drain.abort(this.drained);
    }
    return this.#drain.signal;
  }

  /**
   * The clock for deadlines, in milliseconds. While the process was stopped or busy, it could not read from its peers, so
   * such a time counts as two sweeps at most. The values are integers, which V8 stores in place: each session has
   * several.
   */
  now(): number {
    const real = Math.floor(performance.now());
    this.#clock += Math.min(real - this.#readAt, Math.ceil(2 * this.#interval));
    this.#readAt = real;
    return this.#clock;
  }

  /** Adds a session and returns its number. */
  join(life: Lifecycle): number {
    life.place = this.members.push(life);
    this.pace(life.shortest);
    return this.#nextId++;
  }

  leave(life: Lifecycle, end: SessionEnd): void {
    this.members.remove(life.place!);
    if (this.members.length === 0) this.#stop();
    this.#onLeave?.(life.session as Session, end);
  }

  /** Makes the sweep frequent enough for a duration in milliseconds. */
  pace(duration: number): void {
    const interval = Math.min(MAX_INTERVAL, Math.max(MIN_INTERVAL, duration / SWEEPS));
    if (interval >= this.#interval) return;
    this.now(); // the time until now was not one in which the process was stopped
    this.#stop();
    this.#interval = interval;
    this.#timer = setTimeout(this.#sweep, interval);
  }

  /** Tells all sessions that draining begins. Their loops end when each of their readers is asked to drain. */
  drain(): void {
    this.drained ??= new SessionEndedError("drain");
    this.#drain?.abort(this.drained);
  }

  terminate(reason: EndReason, cause: unknown): void {
    for (const life of this.members.values()) life.terminate(reason, cause);
  }

  report(session: Session, error: unknown): void {
    this.onError?.(error, session);
  }

  /** Ends the newest session to free its descriptor, unless it has received anything. */
  shed(cause: unknown): void {
    const life = this.members.last;
    if (life?.reader.bytesRead === 0) life.terminate("limit", cause);
  }

  #stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#interval = Infinity;
  }

  readonly #sweep = (): void => {
    const now = this.now();
    this.#interval = Infinity;
    this.pool.trim();
    if (this.budget.isShort) this.budget.review();
    let shortest = Infinity;
    for (const life of this.members.values()) shortest = Math.min(shortest, life.sweep(now));
    if (this.members.length > 0) this.pace(shortest);
  };
}
