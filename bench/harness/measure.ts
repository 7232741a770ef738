// One measurement: a fresh server, a warm-up, a load.

import { certificate } from "./build.ts";
import type { Case, Contender, Work } from "./case.ts";
import type { Generator, Load, Outcome, Pace } from "./generator.ts";
import type { Peer } from "./peers.ts";
import { ALL_CORES, type Memory, ServerProcess } from "./process.ts";
import { runRedisBenchmark } from "./redis_benchmark.ts";

/** The figures of one measurement. */
export interface Figures {
  /** The main figure: µs of CPU time per unit, KiB per session, or growth. */
  readonly cost: number;
  /** Units per second. */
  readonly rate?: number;
  /** Latencies in µs. */
  readonly p50?: number;
  readonly p99?: number;
  readonly p999?: number;
  /** Memory of the server in KiB, while all connections are open. */
  readonly rss: number;
  readonly pss: number;
  /** The share of its core that each has used. */
  readonly serverShare?: number;
  readonly loadShare?: number;
}

/** How thoroughly to measure. */
export interface Settings extends Pace {
  readonly rounds: number;
  /** No case opens more connections. */
  readonly maxConnections: number;
}

/** Sessions before memory is measured, so that all code has run. */
const FIRST_SESSIONS = 64;
/** The number of idle sessions when the memory is measured for the first time. */
const SOME_SESSIONS = 1 / 8;
/** Memory is settled once `unchanged` collections in a row change nothing: on a busy machine, one may not have run yet. */
const SETTLING = { interval: 200, change: 0.002, unchanged: 4, most: 50 };

/** Starts a contender, measures the work of a case, and ends it. */
export async function measure(
  { work, pace, hasAllCores }: Case,
  { service }: Contender,
  { command, collecting, collects, env }: Peer,
  generator: Generator,
  common: Settings,
): Promise<Figures> {
  const cores = hasAllCores ? ALL_CORES : undefined;
  const settings = { ...common, ...pace, ...(cores === undefined ? {} : { cores }) };
  const start = work.kind === "idle" ? collecting : command;
  const args = service === undefined ? ["PORT"] : [service, "PORT", ...await tlsFilesFor(work)];
  await using server = await ServerProcess.start([...start, ...args], env, cores);
  switch (work.kind) {
    case "load":
      return await underLoad(work.load, server, generator, settings);
    case "growth":
      return await growth(work.load, work.from, server, generator, settings);
    case "idle":
      return await idle(work.sessions, collects, server, generator, settings);
    case "redis": {
      const outcome = await runRedisBenchmark(generator, server, work.load, settings);
      return figures(outcome, await server.memory());
    }
  }
}

function figures(outcome: Outcome, memory: Memory): Figures {
  const { units, seconds, serverSeconds, loadSeconds, p50, p99, p999 } = outcome;
  return {
    cost: serverSeconds / units * 1e6,
    rate: units / seconds,
    p50,
    p99,
    ...(p999 === undefined ? {} : { p999 }),
    ...memory,
    serverShare: serverSeconds / seconds,
    ...(loadSeconds === undefined ? {} : { loadShare: loadSeconds / seconds }),
  };
}

async function underLoad(
  load: Load,
  server: ServerProcess,
  generator: Generator,
  settings: Settings,
): Promise<Figures> {
  const connections = Math.min(load.connections, settings.maxConnections);
  let memory: Memory | undefined;
  const outcome = await generator.run(server, { ...load, connections }, settings, async () => {
    memory = await server.memory();
  });
  return figures(outcome, memory!);
}

async function growth(
  load: Load,
  from: number,
  server: ServerProcess,
  generator: Generator,
  settings: Settings,
): Promise<Figures> {
  const few = await underLoad({ ...load, connections: from }, server, generator, settings);
  const many = await underLoad(load, server, generator, settings);
  return { ...many, cost: many.cost / few.cost };
}

/**
 * How much memory grows per session from some idle sessions to many. Starting from none would not count memory that the
 * server has allocated for earlier sessions and not returned.
 */
async function idle(
  sessions: number,
  collects: boolean,
  server: ServerProcess,
  generator: Generator,
  settings: Settings,
): Promise<Figures> {
  const load: Load = { mode: "talk", service: "echo", connections: FIRST_SESSIONS, size: 64 };
  await generator.run(server, load, settings);
  const many = Math.min(sessions, settings.maxConnections);
  const some = Math.ceil(many * SOME_SESSIONS);
  const added = many - some;
  const hold = (connections: number, meanwhile: () => Promise<void>): Promise<Outcome> =>
    generator.run(server, { ...load, mode: "hold", connections }, settings, meanwhile);
  let [before, after]: Memory[] = [];
  await hold(some, async () => {
    before = await settledMemory(server, collects);
    await hold(added, async () => {
      after = await settledMemory(server, collects);
    });
  });
  // RSS: a process that ends elsewhere and shared a library would show in PSS.
  return { cost: (after!.rss - before!.rss) / added, ...after! };
}

/** Triggers garbage collections until the memory no longer changes. */
async function settledMemory(server: ServerProcess, collects: boolean): Promise<Memory> {
  const { interval, change, unchanged, most } = SETTLING;
  let memory = await server.memory();
  let left = unchanged;
  for (let tries = 0; left > 0 && tries < most; tries++) {
    if (collects) server.signal("SIGUSR2");
    await new Promise((resolve) => setTimeout(resolve, interval));
    const before = memory;
    memory = await server.memory();
    left = Math.abs(memory.rss - before.rss) < before.rss * change ? left - 1 : unchanged;
  }
  return memory;
}

/** The paths for a server with TLS. */
async function tlsFilesFor(work: Work): Promise<readonly string[]> {
  if (work.kind !== "load" || !work.load.tls) return [];
  const files = await certificate();
  if (files === undefined) throw new Error("TLS needs a certificate: install Debian's openssl");
  return files;
}
