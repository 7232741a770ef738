/**
 * How fast `examples/proxy.ts` relays, beside `socat` and HAProxy.
 *
 *     deno run --allow-all bench/relay.ts [--megabytes N] [--rounds N]
 *
 * One connection carries so many MiB through the relay to a server of this program, which compares every byte. The relay
 * has a core to itself. Its CPU time, of all its threads and processes, is taken when the last byte has arrived.
 */

import { Buffer } from "node:buffer";
import { parseArgs } from "node:util";
import { cpuTime, outputOf, pinThisProcess, ServerProcess } from "./harness/process.ts";
import { estimate, median, ratios } from "./harness/stats.ts";

const MIB = 1024 * 1024;
const BLOCK = MIB;
const HAPROXY = `global
  maxconn 100
defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
`;

interface Relay {
  readonly name: string;
  /** Starts it; `PORT` stands for the port that it is to listen on. */
  readonly command: readonly string[];
}

/** What one transfer took, in seconds. */
interface Cost {
  readonly wall: number;
  readonly cpu: number;
}

function relaysTo(port: number, folder: string): Relay[] {
  const target = `127.0.0.1:${port}`;
  const example = new URL("../examples/proxy.ts", import.meta.url).pathname;
  const proxy = [Deno.execPath(), "run", "--quiet", "--allow-net", example, "PORT", target];
  const socat = `exec socat -b65536 "TCP-LISTEN:$0,bind=127.0.0.1,fork" TCP:${target}`;
  const frontend = `listen relay\n  bind 127.0.0.1:%s\n  server one ${target}\n`;
  const haproxy = `exec haproxy -db -f "$1/haproxy.cfg" -f <(printf '${frontend}' "$0")`;
  return [
    { name: "socat", command: ["bash", "-c", socat, "PORT"] },
    { name: "HAProxy", command: ["bash", "-c", haproxy, "PORT", folder] },
    { name: "examples/proxy.ts", command: proxy },
    { name: "examples/proxy.ts, node transport", command: [...proxy, "node"] },
  ];
}

async function send(conn: Deno.Conn, block: Uint8Array, size: number): Promise<void> {
  for (let sent = 0; sent < size;) {
    const at = sent % block.length;
    sent += await conn.write(block.subarray(at, at + Math.min(block.length - at, size - sent)));
  }
}

async function receive(conn: Deno.Conn, block: Uint8Array, size: number): Promise<void> {
  const buffer = new Uint8Array(256 * 1024);
  for (let have = 0; have < size;) {
    const at = have % block.length;
    const count = await conn.read(buffer.subarray(0, block.length - at));
    if (count === null) throw new Error(`the input ended after ${have} of ${size} bytes`);
    if (Buffer.compare(buffer.subarray(0, count), block.subarray(at, at + count)) !== 0) {
      throw new Error(`of the ${count} bytes after ${have}, some are wrong`);
    }
    have += count;
  }
}

async function transfer(
  { command }: Relay,
  listener: Deno.TcpListener,
  block: Uint8Array,
  size: number,
): Promise<Cost> {
  await using relay = await ServerProcess.start(command);
  await listener.accept().then((tried) => tried.close(), () => {}); // whether it listens was tried by connecting
  const accepted = listener.accept();
  using client = await Deno.connect({ hostname: "127.0.0.1", port: relay.port });
  using server = await accepted;
  const carry = async (count: number): Promise<void> => {
    await Promise.all([send(client, block, count), receive(server, block, count)]);
  };
  await carry(64 * BLOCK); // until its code is compiled
  const before = await cpuTime(relay.pid);
  const start = performance.now();
  await carry(size);
  const wall = (performance.now() - start) / 1000;
  return { wall, cpu: await cpuTime(relay.pid) - before };
}

function report(size: number, names: readonly string[], costs: readonly Cost[][]): string {
  const lines = [
    "| relay                             | MiB/s | of socat's         | CPU, ms per 256 MiB | × socat's          |",
    "| --------------------------------- | ----- | ------------------ | ------------------- | ------------------ |",
  ];
  const compared = (figure: (cost: Cost) => number, index: number): string => {
    const of = (at: number): number[] => costs.map((round) => figure(round[at]!));
    const { median, low, high } = estimate(ratios(of(index), of(0)));
    return `${median.toFixed(2)} (${low.toFixed(2)}–${high.toFixed(2)})`.padEnd(18);
  };
  for (const [index, name] of names.entries()) {
    const mine = costs.map((round) => round[index]!);
    const rate = median(mine.map(({ wall }) => size / MIB / wall)).toFixed(0).padStart(5);
    const cpu = median(mine.map(({ cpu }) => cpu * 1000 * 256 * MIB / size)).toFixed(0);
    const cells = [
      name.padEnd(33),
      rate,
      compared(({ wall }) => 1 / wall, index),
      cpu.padStart(19),
      compared(({ cpu }) => cpu, index),
    ];
    lines.push(`| ${cells.join(" | ")} |`);
  }
  return lines.join("\n");
}

function countOf(name: string, text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1) return count;
  throw new RangeError(`--${name} must be a whole number from 1 on, got ${text}`);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      megabytes: { type: "string", default: "256" },
      rounds: { type: "string", default: "10" },
    },
  });
  const size = countOf("megabytes", values.megabytes) * MIB;
  const rounds = countOf("rounds", values.rounds);
  await pinThisProcess();
  const block = Buffer.alloc(BLOCK);
  for (let at = 0; at < BLOCK; at += 65_536) {
    crypto.getRandomValues(block.subarray(at, at + 65_536));
  }
  const folder = await Deno.makeTempDir({ prefix: "parley-relay-" });
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  try {
    await Deno.writeTextFile(`${folder}/haproxy.cfg`, HAPROXY);
    const relays: Relay[] = [];
    for (const relay of relaysTo(listener.addr.port, folder)) {
      const [program] = relay.name.split(" ");
      const needs = program === "HAProxy" ? ["haproxy", "-v"] : ["socat", "-V"];
      const isThere = !["HAProxy", "socat"].includes(program!) ||
        await outputOf(needs) !== undefined;
      if (isThere) relays.push(relay);
      else console.error(`left out: ${program} is not installed`);
    }
    const costs: Cost[][] = [];
    for (let round = 0; round < rounds; round++) {
      const turn: Cost[] = [];
      for (const relay of relays) turn.push(await transfer(relay, listener, block, size));
      costs.push(turn);
    }
    console.log(report(size, relays.map(({ name }) => name), costs));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

try {
  await main();
} catch (error) {
  console.error(`error: ${error instanceof Error ? error.message : error}`);
  Deno.exit(1);
}
