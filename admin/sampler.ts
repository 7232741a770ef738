/** What servers did over the last hour. */

import { clearInterval, setInterval } from "node:timers";
import process from "node:process";
import { type Durations, longestSince } from "../_internal/durations.ts";
import { Lateness } from "../_internal/lateness.ts";
import type { ServerStats } from "../serve/options.ts";
import type { WorkersStats } from "../workers/options.ts";
import { type ServedBy, workersOf } from "./servers.ts";

/** The interval of samples, in milliseconds, and how many are kept: an hour. */
const SAMPLE_INTERVAL = 2_000;
const MAX_SAMPLES = 1_800;

/** The figures of one server. Counts are those since it has begun. */
export interface Sample {
  /** Milliseconds since 1970. */
  time: number;
  active: number;
  started: number;
  ended: number;
  refused: number;
  errors: number;
  bytesRead: number;
  bytesWritten: number;
  unsent: number;
  blocked: number;
  /** The memory of its sessions' buffers. */
  held: number;
  /** The resident memory of the process, and its heap. */
  rss: number;
  heap: number;
  /** How late the event loop was at most since the last sample, in milliseconds. */
  lateness: number;
  /** The open sessions of each worker. */
  workers: number[];
  /** The heap of each worker. */
  workersHeap: number[];
  /** How late the event loop of each worker was at most. */
  workersLateness: number[];
}

/** A server at one moment. */
export interface Snapshot {
  readonly name: string;
  readonly server: ServedBy;
  readonly stats: ServerStats | WorkersStats;
  readonly sample: Sample;
}

/** Takes samples of all servers, and keeps those of an hour. */
export class Sampler {
  readonly #servers: ReadonlyMap<string, ServedBy>;
  readonly #history: Map<string, Sample[]> = new Map();
  readonly #onSample: (snapshots: readonly Snapshot[]) => void;
  readonly #lateness: Lateness = new Lateness();
  readonly #timer: ReturnType<typeof setInterval>;
  /** How late the event loops were by the last sample, by thread. */
  readonly #latest: Map<string, Durations> = new Map();

  constructor(
    servers: ReadonlyMap<string, ServedBy>,
    onSample: (snapshots: readonly Snapshot[]) => void,
  ) {
    this.#servers = servers;
    this.#onSample = onSample;
    for (const name of servers.keys()) this.#history.set(name, []);
    this.sample();
    this.#lateness.start();
    this.#timer = setInterval(() => this.sample(), SAMPLE_INTERVAL);
    this.#timer.unref();
  }

  /** The samples of a server, the oldest first. */
  history(name: string): readonly Sample[] {
    return this.#history.get(name)!;
  }

  stop(): void {
    this.#lateness.stop();
    clearInterval(this.#timer);
  }

  /** How late a thread was at most since the last sample. */
  #latenessOf(thread: string, durations: Durations): number {
    const before = this.#latest.get(thread);
    this.#latest.set(thread, structuredClone(durations));
    return longestSince(before, durations);
  }

  /** Takes a sample of each server. */
  sample(): void {
    const { rss, heapUsed: heap } = process.memoryUsage();
    const lateness = this.#latenessOf("main", this.#lateness.durations);
    const snapshots: Snapshot[] = [];
    for (const [name, server] of this.#servers) {
      const stats = server.stats();
      const workers = workersOf(stats);
      const sample: Sample = {
        time: Date.now(),
        active: stats.active,
        started: stats.accepted,
        ended: sum(stats.ends),
        refused: stats.refused,
        errors: stats.acceptErrors + stats.handlerErrors,
        bytesRead: stats.bytesRead,
        bytesWritten: stats.bytesWritten,
        unsent: stats.unsent,
        blocked: stats.blocked,
        held: stats.memory.held,
        ...{ rss, heap, lateness },
        workers: workers.map(({ stats }) => stats.active),
        workersHeap: workers.map(({ heap }) => heap),
        workersLateness: workers.map(({ worker, lateness }) =>
          this.#latenessOf(`${worker} ${name}`, lateness)
        ),
      };
      snapshots.push({ name, server, stats, sample });
      const samples = this.#history.get(name)!;
      samples.push(sample);
      if (samples.length > MAX_SAMPLES) samples.shift();
    }
    this.#onSample(snapshots);
  }
}

/** The samples as lists, which are shorter as JSON. */
export function columnsOf(samples: readonly Sample[]): Record<keyof Sample, unknown[]> {
  const keys = Object.keys(samples[0]!) as (keyof Sample)[];
  const entries = keys.map((key) => [key, samples.map((sample) => rounded(sample[key]))]);
  return Object.fromEntries(entries);
}

function rounded(value: number | number[]): unknown {
  return typeof value === "number" ? Math.round(value * 10) / 10 : value.map(rounded);
}

function sum(counts: ServerStats["ends"]): number {
  return Object.values(counts).reduce((all, count) => all + count, 0);
}
