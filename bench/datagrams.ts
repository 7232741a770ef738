/**
 * What an echo of datagrams costs, beside `node:dgram` by hand on the same runtime.
 *
 *     deno run --allow-all bench/datagrams.ts [--size N] [--rounds N] [--node COMMAND]
 *
 * The servers have a core to themselves, one at a time. Their CPU time is taken, of all their threads.
 */

import { parseArgs } from "node:util";
import {
  cpuTime,
  LOAD_CORE,
  outputOf,
  pinned,
  pinThisProcess,
  SERVER_CORE,
} from "./harness/process.ts";
import { estimate, median, ratios } from "./harness/stats.ts";

const SOCKETS = 64;
/** How long each server is measured, and before that warmed up until its code is compiled, in seconds. */
const SECONDS = 3;
const WARM_UP = 2;

interface Contender {
  readonly name: string;
  readonly command: readonly string[];
  /** The position of the one that it is compared with. */
  readonly reference: number;
}

const here = (path: string): string => new URL(path, import.meta.url).pathname;

function contenders(node: string | undefined): Contender[] {
  const [byHand, ours] = [here("servers/dgram.mjs"), here("servers/datagrams.ts")];
  const deno = [Deno.execPath(), "run", "--quiet", "--no-check", "--allow-net"];
  const all = [
    { name: "Deno, node:dgram by hand", command: [...deno, byHand], reference: 0 },
    { name: "Deno, serveDatagrams()", command: [...deno, ours], reference: 0 },
    { name: "Deno, maxMessageSize: 1500", command: [...deno, ours, "1500"], reference: 0 },
  ];
  if (node === undefined) return all;
  return [
    ...all,
    { name: "Node, node:dgram by hand", command: [node, byHand], reference: 3 },
    { name: "Node, by hand, told of errors", command: [node, byHand, "told"], reference: 3 },
    { name: "Node, serveDatagrams()", command: [node, ours], reference: 3 },
  ];
}

/** The CPU time of an echo, in microseconds. */
async function measure(command: readonly string[], load: string, size: number): Promise<number> {
  const server = new Deno.Command("taskset", {
    args: pinned(SERVER_CORE, command),
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const output = server.stdout.pipeThrough(new TextDecoderStream()).getReader();
  try {
    const port = String(Number((await output.read()).value));
    const send = async (seconds: number): Promise<number> => {
      const args = [port, String(SOCKETS), String(size), String(seconds)];
      return Number(await outputOf(["taskset", ...pinned(LOAD_CORE, [load, ...args])]));
    };
    await send(WARM_UP);
    const before = await cpuTime(server.pid);
    const echoes = await send(SECONDS);
    return (await cpuTime(server.pid) - before) * 1e6 / echoes;
  } finally {
    server.kill("SIGKILL");
    await server.status;
    await output.cancel();
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      size: { type: "string", default: "64" },
      rounds: { type: "string", default: "5" },
      node: { type: "string", default: here("../.runtimes/node_modules/node24/bin/node") },
    },
  });
  const node = await outputOf([values.node, "--version"]) === undefined ? undefined : values.node;
  if (node === undefined) console.error(`left out: Node 24, which deno task runtimes installs`);
  await pinThisProcess();
  const load = await Deno.makeTempFile({ prefix: "parley-datagrams-" });
  try {
    const built = await outputOf(["gcc", "-O2", "-o", load, here("load/datagrams.c")]);
    if (built === undefined) throw new Error("gcc cannot build load/datagrams.c");
    const all = contenders(node);
    const costs: number[][] = all.map(() => []);
    for (let round = 0; round < Number(values.rounds); round++) {
      for (const [at, { command }] of all.entries()) {
        costs[at]!.push(await measure(command, load, Number(values.size)));
      }
    }
    for (const [at, { name, reference }] of all.entries()) {
      const { median: ratio, low, high } = estimate(ratios(costs[at]!, costs[reference]!));
      const shown = [ratio, low, high].map((one) => one.toFixed(2));
      const cost = median(costs[at]!).toFixed(1);
      console.log(
        `${name.padEnd(30)} ${cost.padStart(6)} µs  ${shown[0]} (${shown[1]}–${shown[2]})`,
      );
    }
  } finally {
    await Deno.remove(load);
  }
}

await main();
