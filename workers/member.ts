/** A worker of a server, which is started again when it has died. */

import { clearTimeout, setTimeout } from "node:timers";
import { MessageChannel, type MessagePort } from "node:worker_threads";
import { addedDurations, noDurations, WAITS } from "../_internal/durations.ts";
import type { Address } from "../transport/connection.ts";
import { addStats, finalStats } from "./added_stats.ts";
import type { ToWorker, WorkerFigures } from "./messages.ts";
import { addMetrics, finalMetrics } from "./metrics.ts";
import type { WorkerEnd } from "./observer.ts";
import type { WorkerStats } from "./options.ts";
import { type LifeEnd, type LifeOptions, RunningWorker } from "./running_worker.ts";

/** The delay before a worker is started again, in milliseconds. It doubles with each crash in a row. */
const MIN_RESTART = 50;
const MAX_RESTART = 5000;
/** A worker that has served for less time has crashed at once, in milliseconds. */
const STABLE_AFTER = 1000;

/** What a member uses of its server. */
export interface MemberHooks {
  /** The current start options of a thread. */
  lifeOptions(worker: number): LifeOptions;
  onListening(member: Member, addr: Address): void;
  onRoom(member: Member): void;
  /** A thread has ended, and its connections are closed. */
  onLifeEnd(member: Member): void;
  /** Whether the server keeps the process alive. */
  isReferenced(): boolean;
  /** A worker has died. `restartIn` is `Infinity` if it is not started again. */
  onDeath(member: Member, end: WorkerEnd): void;
  /** A worker has ended for ever. */
  onEnd(member: Member): void;
}

/** One of the workers. */
export class Member {
  readonly worker: number;
  readonly #hooks: MemberHooks;
  readonly #maxCrashes: number;
  #life: RunningWorker | undefined;
  #servingSince: number | undefined;
  #hasServed = false;
  #isStopping = false;
  #isEnded = false;
  #restart: ReturnType<typeof setTimeout> | undefined;
  #crashes = 0;
  #deaths = 0;
  /** The figures of earlier lives. */
  #earlier: WorkerFigures | undefined;

  constructor(worker: number, maxCrashes: number, hooks: MemberHooks) {
    this.worker = worker;
    this.#maxCrashes = maxCrashes;
    this.#hooks = hooks;
  }

  /** Whether it listens. */
  get isServing(): boolean {
    return this.#servingSince !== undefined;
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  start(): void {
    this.#life = new RunningWorker(this.#hooks.lifeOptions(this.worker), {
      onListening: (addr) => {
        this.#servingSince = performance.now();
        this.#hasServed = true;
        this.#hooks.onListening(this, addr);
      },
      onRoom: () => this.#hooks.onRoom(this),
      onEnd: (end) => this.#onLifeEnd(end),
    });
  }

  stats(): WorkerStats {
    return {
      worker: this.worker,
      state: this.#state(),
      deaths: this.#deaths,
      ...addFigures(this.#earlier, this.#life?.figures),
    };
  }

  /** Sends a message to the worker, if it listens. */
  post(message: ToWorker, transfer: MessagePort[] = []): void {
    if (this.isServing) this.#life!.post(message, transfer);
  }

  /** Connects it with others, for the bus of hubs. */
  introduce(others: readonly Member[]): void {
    const ports = others.map((other) => {
      const { port1, port2 } = new MessageChannel();
      other.post({ kind: "peers", ports: [port1] }, [port1]);
      return port2;
    });
    this.post({ kind: "peers", ports }, ports);
  }

  ping(elapsed: number): void {
    this.#life?.ping(elapsed);
  }

  /** Shuts down for ever. A worker that does not listen yet has nothing to drain. */
  stop(message: ToWorker): void {
    this.#isStopping = true;
    if (this.isServing) this.post(message);
    else this.terminate();
  }

  /** Aborts for ever. */
  terminate(): void {
    this.#isStopping = true;
    clearTimeout(this.#restart);
    if (this.#life === undefined) this.#finish();
    else this.#life.terminate({ reason: undefined, cause: undefined });
  }

  ref(): void {
    this.#life?.ref();
    this.#restart?.ref();
  }

  unref(): void {
    this.#life?.unref();
    this.#restart?.unref();
  }

  #state(): WorkerStats["state"] {
    if (this.#isEnded) return "ended";
    if (this.isServing) return "serving";
    return this.#restart === undefined ? "starting" : "waiting";
  }

  #onLifeEnd({ reason, cause, isStuck = false }: LifeEnd): void {
    const duration = this.isServing ? Math.round(performance.now() - this.#servingSince!) : 0;
    this.#retire();
    this.#hooks.onLifeEnd(this);
    if (this.#isStopping) return this.#finish();
    this.#deaths++;
    this.#crashes = duration < STABLE_AFTER ? this.#crashes + 1 : 0;
    const restartIn = isStuck ? Infinity : this.#restartIn();
    this.#hooks.onDeath(this, {
      reason: reason ?? "error",
      cause: cause ?? new Error("the server of the worker has stopped by itself"),
      duration,
      restartIn,
    });
    if (restartIn === Infinity || this.#isStopping) return this.#finish();
    this.#restart = setTimeout(() => this.#startAgain(), restartIn);
    if (!this.#hooks.isReferenced()) this.#restart.unref();
  }

  #startAgain(): void {
    this.#restart = undefined;
    try {
      this.start();
    } catch (error) { // no memory for a thread, or the permission was revoked
      this.#onLifeEnd({ reason: "error", cause: error as Error });
    }
  }

  /** Keeps the figures of the ended thread, without what it had open. */
  #retire(): void {
    const figures = this.#life?.figures;
    this.#life = this.#servingSince = undefined;
    if (figures === undefined) return;
    const [stats, metrics] = [finalStats(figures.stats), finalMetrics(figures.metrics)];
    this.#earlier = addFigures(this.#earlier, { ...figures, stats, metrics, heap: 0 });
  }

  /** The delay before it starts again, in milliseconds. A worker that could not start at all is not started again. */
  #restartIn(): number {
    const canServe = this.#hasServed || this.worker > 0;
    if (this.#crashes >= (canServe ? this.#maxCrashes : 1)) return Infinity;
    return Math.min(MAX_RESTART, MIN_RESTART * 2 ** Math.max(0, this.#crashes - 1));
  }

  #finish(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#hooks.onEnd(this);
  }
}

function addFigures(...all: (WorkerFigures | undefined)[]): WorkerFigures {
  return {
    stats: addStats(all.map((figures) => figures?.stats)),
    metrics: addMetrics(all.map((figures) => figures?.metrics ?? [])),
    lateness: all.reduce(
      (sum, figures) => figures === undefined ? sum : addedDurations(sum, figures.lateness),
      noDurations(WAITS),
    ),
    heap: all.reduce((sum, figures) => sum + (figures?.heap ?? 0), 0),
  };
}
