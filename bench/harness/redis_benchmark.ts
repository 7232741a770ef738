import type { Generator, Outcome, Pace } from "./generator.ts";
import { LOAD_CORE, outputOf, pinned, type ServerProcess } from "./process.ts";

/** The task of `redis-benchmark`. */
export interface RedisLoad {
  test: "set" | "get" | "ping_inline";
  /** Requests in flight on each of 50 connections. */
  depth: number;
}

/** Requests per millisecond, since it takes counts and not durations: one in flight, several, or pings. */
const REQUESTS = { one: 140, pipelined: 1000, pings: 1500 };

/** Loads a server with `redis-benchmark`, from Debian's redis-tools. */
export async function runRedisBenchmark(
  generator: Generator,
  server: ServerProcess,
  { test, depth }: RedisLoad,
  { warmup, duration }: Pace,
): Promise<Outcome> {
  const pipelined = test === "ping_inline" ? REQUESTS.pings : REQUESTS.pipelined;
  const rate = depth === 1 ? REQUESTS.one : pipelined;
  const run = async (units: number) => {
    const options = `-p ${server.port} -t ${test} -P ${depth} -n ${units} -c 50 --csv`.split(" ");
    const output = await outputOf([
      "taskset",
      ...pinned(LOAD_CORE, ["redis-benchmark", ...options]),
    ]);
    // The last line: name, requests per second, latencies in ms: mean, minimum, p50, p95, p99, maximum.
    const row = output?.split("\n").at(-1)?.split(",").map((cell) => Number(cell.slice(1, -1)));
    if (row?.length !== 8) throw new Error(`redis-benchmark failed: ${output}`);
    return { rate: row[1]!, p50: row[4]! * 1000, p99: row[6]! * 1000 };
  };
  await run(Math.ceil(warmup * rate));
  const units = Math.ceil(duration * rate);
  const before = await generator.cpuTime(server.pid);
  const { rate: reached, p50, p99 } = await run(units);
  const serverSeconds = await generator.cpuTime(server.pid) - before;
  return { units, seconds: units / reached, serverSeconds, p50, p99 };
}
