/** What servers did over the last hour. */

import { clearInterval, setInterval } from "node:timers";
import process from "node:process";
import type { ServerStats } from "../serve/options.ts";
import type { WorkersStats } from "../workers/options.ts";
import { type ServedBy, workersOf } from "./servers.ts";

/** The interval of samples, in milliseconds, and how many are kept: an hour. */
const SAMPLE_INTERVAL = 2_000;
const MAX_SAMPLES = 1_800;
/** The interval of a timer that shows how late the event loop is, in milliseconds. */
const PROBE_INTERVAL = 100;

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
  readonly #timers: ReturnType<typeof setInterval>[];
  #probedAt: number = performance.now();
  #lateness = 0;

  constructor(
    servers: ReadonlyMap<string, ServedBy>,
    onSample: (snapshots: readonly Snapshot[]) => void,
  ) {
    this.#servers = servers;
    this.#onSample = onSample;
    for (const name of servers.keys()) this.#history.set(name, []);
    this.sample();
    this.#timers = [
      setInterval(() => this.#probe(), PROBE_INTERVAL),
      setInterval(() => this.sample(), SAMPLE_INTERVAL),
    ];
    for (const timer of this.#timers) timer.unref();
  }

  /** The samples of a server, the oldest first. */
  history(name: string): readonly Sample[] {
    return this.#history.get(name)!;
  }

  stop(): void {
    for (const timer of this.#timers) clearInterval(timer);
  }

  #probe(): void {
    const now = performance.now();
    this.#lateness = Math.max(this.#lateness, now - this.#probedAt - PROBE_INTERVAL);
    this.#probedAt = now;
  }

  /** Takes a sample of each server. */
  sample(): void {
    const { rss, heapUsed: heap } = process.memoryUsage();
    const lateness = this.#lateness;
    this.#lateness = 0;
    const snapshots: Snapshot[] = [];
    for (const [name, server] of this.#servers) {
      const stats = server.stats();
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
        workers: workersOf(stats).map(({ stats }) => stats.active),
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

function rounded(value: number | number[]): number | number[] {
  return typeof value === "number" ? Math.round(value * 10) / 10 : value;
}

function sum(counts: ServerStats["ends"]): number {
  return Object.values(counts).reduce((all, count) => all + count, 0);
}
