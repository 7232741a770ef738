/**
 * The throughput of the two programs, compared with `nc` and `socat`.
 *
 *     deno run --allow-all bench/transfer.ts [--megabytes N] [--rounds N]
 *
 * Each transfer is a pipe as a user would write it, `cat FILE | client | cmp - FILE`, against a server that echoes.
 * It is timed from the start of its programs, including that of Deno, and fails if a byte is wrong.
 */

import { parseArgs } from "node:util";
import { estimate, median, ratios } from "./harness/stats.ts";

const NOTHING_BUT_NET = ["deno", "run", "--quiet", "--allow-net"];

/** The servers by name: they listen on a free port and echo. */
const SERVERS: Record<string, readonly string[]> = {
  "server.ts": [...NOTHING_BUT_NET, "server.ts", "--service", "echo", "--port", "0"],
  socat: ["socat", "-d", "-d", "-b65536", "TCP-LISTEN:0,bind=127.0.0.1,fork", "EXEC:cat"],
};

/** The clients by name: they relay their standard streams. The port comes last. */
const CLIENTS: Record<string, readonly string[]> = {
  "client.ts": [...NOTHING_BUT_NET, "client.ts", "--raw", "--port"],
  nc: ["nc", "-N", "127.0.0.1"],
};

/** The pairs that take turns. The others are compared with the first. */
const PAIRS = [
  ["nc", "socat"],
  ["client.ts", "server.ts"],
  ["client.ts", "socat"],
  ["nc", "server.ts"],
] as const;

const HERE = new URL("..", import.meta.url);

/** A server that runs until it is disposed. */
class Server implements AsyncDisposable {
  readonly port: number;
  readonly #child: Deno.ChildProcess;
  readonly #log: Promise<void>;

  private constructor(child: Deno.ChildProcess, port: number, log: Promise<void>) {
    this.#child = child;
    this.port = port;
    this.#log = log;
  }

  /** Starts a command, and waits until it reports its port. */
  static async start([program, ...args]: readonly string[]): Promise<Server> {
    const command = { args, cwd: HERE, stdin: "null", stdout: "null", stderr: "piped" } as const;
    const child = new Deno.Command(program!, command).spawn();
    const lines = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
    for (let said = "";;) {
      const { value, done } = await lines.read();
      if (done) throw new Error(`${program} does not listen: ${said}`);
      said += value;
      const port = /listening on .*127\.0\.0\.1:(\d+)\s/.exec(said)?.[1];
      if (port === undefined) continue;
      const log = (async () => {
        while (!(await lines.read()).done);
      })();
      return new Server(child, Number(port), log);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGTERM");
    await Promise.all([this.#child.status, this.#log]);
  }
}

/** Sends a file to a server and back. Returns how many seconds it took. */
async function transfer(file: string, client: readonly string[], port: number): Promise<number> {
  const pipe = 'set -o pipefail; cat "$0" | "$@" | cmp - "$0"';
  const args = ["-c", pipe, file, ...client, `${port}`];
  const start = performance.now();
  const { success, stdout, stderr } = await new Deno.Command("bash", { args, cwd: HERE }).output();
  const duration = (performance.now() - start) / 1000;
  if (success) return duration;
  const said = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)).join("").trim();
  throw new Error(`${client.join(" ")} ${port} failed: ${said || "not all came back"}`);
}

/** A file of a given size, whose bytes repeat only after a while. */
async function fill(path: string, size: number): Promise<void> {
  using file = await Deno.create(path);
  const block = new Uint8Array(1_000_003);
  for (let at = 0; at < block.length; at += 65_536) {
    crypto.getRandomValues(block.subarray(at, at + 65_536));
  }
  for (let left = size; left > 0;) left -= await file.write(block.subarray(0, left));
}

function countOf(name: string, text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1) return count;
  throw new RangeError(`--${name} must be a whole number from 1 on, got ${text}`);
}

function report(megabytes: number, durations: readonly number[][]): string {
  const lines = [
    `| client    | server    | MB/s each way | of nc with socat's |`,
    `| --------- | --------- | ------------- | ------------------ |`,
  ];
  for (const [index, [client, server]] of PAIRS.entries()) {
    const rates = durations.map((round) => megabytes / round[index]!);
    const { median: ratio, low, high } = estimate(
      ratios(rates, durations.map((round) => megabytes / round[0]!)),
    );
    const rate = median(rates).toFixed(0).padStart(13);
    const interval = `${ratio.toFixed(2)} (${low.toFixed(2)}–${high.toFixed(2)})`;
    lines.push(`| ${client.padEnd(9)} | ${server.padEnd(9)} | ${rate} | ${interval.padEnd(18)} |`);
  }
  return lines.join("\n");
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      megabytes: { type: "string", default: "200" },
      rounds: { type: "string", default: "10" },
    },
  });
  const megabytes = countOf("megabytes", values.megabytes);
  const rounds = countOf("rounds", values.rounds);
  const file = await Deno.makeTempFile({ prefix: "parley-transfer-" });
  try {
    await using servers = new AsyncDisposableStack();
    await fill(file, megabytes * 1_000_000);
    const ports: Record<string, number> = {};
    for (const [name, command] of Object.entries(SERVERS)) {
      ports[name] = servers.use(await Server.start(command)).port;
    }
    const durations: number[][] = [];
    for (let round = 0; round < rounds; round++) {
      const turn: number[] = [];
      for (const [client, server] of PAIRS) {
        turn.push(await transfer(file, CLIENTS[client]!, ports[server]!));
      }
      durations.push(turn);
    }
    console.log(report(megabytes, durations));
  } finally {
    await Deno.remove(file);
  }
}

try {
  await main();
} catch (error) {
  console.error(`error: ${error instanceof Error ? error.message : error}`);
  Deno.exit(1);
}
