// The load: builds `load/load.c` and starts it on the core that the servers do not use.

import { build } from "./build.ts";
import { LOAD_CORE, outputOf, pinned, type ServerProcess } from "./process.ts";

const LOAD = new URL("../load/", import.meta.url);
const SOURCES = ["load.c", "client.h", "channel.h", "script.h", "figures.h"];

/** The task of the server. */
export interface Load {
  mode: "talk" | "connect" | "publish" | "hold";
  service: "echo" | "lines" | "frames" | "greeting" | "broadcast" | "mqtt";
  connections: number;
  /** Requests in flight on each connection. */
  depth?: number;
  /** Bytes of a request. */
  size: number;
  tls?: boolean;
}

/** How long it is loaded, in milliseconds. */
export interface Pace {
  readonly warmup: number;
  readonly duration: number;
  /** Where the load runs, if it is not on its own core. */
  readonly cores?: string;
}

/** The result: how much was done, in which time, with how much CPU time of the server and of the load. */
export interface Outcome {
  readonly units: number;
  readonly seconds: number;
  readonly serverSeconds: number;
  /** `undefined` if it is not known. */
  readonly loadSeconds?: number;
  /** Latencies in microseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly p999?: number;
}

/** The load generator, compiled. */
export class Generator {
  readonly #path: string;
  /** Whether OpenSSL is there to talk TLS with. */
  readonly hasTls: boolean;

  private constructor(path: string, hasTls: boolean) {
    this.#path = path;
    this.hasTls = hasTls;
  }

  /** Builds the load, with TLS if possible. Throws without gcc or libc6-dev. */
  static async build(): Promise<Generator> {
    const version = await outputOf(["gcc", "--version"]);
    if (version === undefined) {
      throw new Error("the load needs gcc: install Debian's gcc and libc6-dev");
    }
    const sources = SOURCES.map((name) => new URL(name, LOAD));
    const gcc = ["gcc", "-O2", "-o", "OUT", sources[0]!.pathname];
    const common = { name: "load", sources, version };
    try {
      const command = [...gcc, "-DWITH_TLS", "-lssl", "-lcrypto"];
      return new Generator(await build({ ...common, command }), true);
    } catch { /* without OpenSSL's headers, then */ }
    return new Generator(await build({ ...common, command: gcc }), false);
  }

  /** Loads a server. `meanwhile` is called at the end, while the connections are still open. */
  async run(
    { pid, port }: Pick<ServerProcess, "pid" | "port">,
    load: Load,
    { warmup, duration, cores = LOAD_CORE }: Pace,
    meanwhile: () => Promise<void> = () => Promise.resolve(),
  ): Promise<Outcome> {
    const options = { ...load, tls: load.tls ? 1 : 0, pid, port, warmup, duration };
    const args = Object.entries(options).map(([name, value]) => `${name}=${value}`);
    const child = new Deno.Command("taskset", {
      args: pinned(cores, [this.#path, ...args]),
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const problem = new Response(child.stderr).text();
    try {
      const line = await firstLine(child.stdout);
      if (line === "") throw new Error((await problem).trim());
      await meanwhile();
      return JSON.parse(line);
    } finally {
      await child.stdin.close().catch(() => {}); // lets it end
      await Promise.all([child.status, problem]);
    }
  }

  /** The CPU time of all threads of a process so far, in seconds. */
  async cpuTime(pid: number): Promise<number> {
    const line = await outputOf([this.#path, "mode=cpu", `pid=${pid}`]);
    if (line === undefined) throw new Error(`there is no process ${pid}`);
    return JSON.parse(line).seconds;
  }
}

/** Reads up to the first line end. */
async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true });
    const at = text.indexOf("\n");
    if (at >= 0) return text.slice(0, at);
  }
  return text;
}
