// A server in a process of its own, as the test that attacks it sees it.

import { assertEquals } from "@std/assert";
import { connect, type ConnectOptions } from "../connect/connect.ts";
import type { ServeOptions, ServerStats } from "../serve/serve.ts";
import type { Session } from "../session.ts";
import { currentDefault } from "./_default_transport.ts";
import { canNet, canRun } from "./_permissions.ts";
import { Program } from "./_programs.ts";

/** Whether there can be no such process, nobody to attack it, or no counting of its descriptors. */
export const cannotAttack: boolean = !canNet || Deno.build.os !== "linux" ||
  !await canRun("bash") || !await canRun("python3") || !await canRun("deno");

/** How many descriptors a process may open that asks for as many as it can have. */
export async function hardLimit(): Promise<number> {
  if (cannotAttack) return 0;
  const { stdout } = await new Deno.Command("bash", { args: ["-c", "ulimit -Hn"] }).output();
  const limit = new TextDecoder().decode(stdout).trim();
  return limit === "unlimited" ? Infinity : Number(limit);
}

/** What takes longer than this does not happen. */
const PATIENCE = 40_000;

/** The flag of a server that is to collect garbage when it is asked to. */
export const COLLECTING: string[] = ["--v8-flags=--expose-gc,--max-semi-space-size=1"];

/** What the process tells of itself. */
export interface Report {
  /** Its resident memory, in bytes. */
  rss: number;
  /** What its buffers say that they hold, which need not be resident. */
  external: number;
  /** What its objects and buffers hold, in bytes, including what waits to be collected. */
  live: number;
  /** What its buffers say that they hold, and what it does about it. */
  memory: ServerStats["memory"];
  active: number;
  accepted: number;
  refused: number;
  /** How many bytes came in all sessions. */
  bytesRead: number;
  /** How many sessions have ended, by reason and by the name of its cause. */
  ends: Record<string, number>;
  /** How many connections were refused and how often anything failed, likewise. */
  causes: Record<string, number>;
  /** How many answers of the handler `busy` were accepted by `send()`. */
  answers: number;
  /** How long `shutdown()` took, in milliseconds, once it has resolved. */
  shutdownTook?: number;
}

export class Attacked implements AsyncDisposable {
  readonly port: number;
  readonly #program: Program;
  #reports = 0;

  private constructor(program: Program, port: number) {
    this.#program = program;
    this.port = port;
  }

  /** Starts a server whose handler is one of those in `_attacked_server.ts`. */
  static async start(
    handler: string,
    options: Partial<ServeOptions> = {},
    { ulimit = "", flags = [] }: { ulimit?: string; flags?: string[] } = {},
  ): Promise<Attacked> {
    const module = new URL("_attacked_server.ts", import.meta.url).pathname;
    const script = `ulimit -c 0 ${ulimit} && exec deno run --allow-net "$@"`;
    const settings = JSON.stringify({ handler, ...options });
    const over = JSON.stringify(currentDefault());
    const program = new Program("bash", ["-c", script, "bash", ...flags, module, settings, over]);
    try {
      const [, port] = await program.stdout.until(/^\["port",(\d+)\]\n/);
      return new Attacked(program, Number(port));
    } catch (error) {
      await program[Symbol.asyncDispose]();
      throw new Error(`it has not started: ${program.stderr.text}`, { cause: error });
    }
  }

  /** What it says of itself now. */
  async report(): Promise<Report> {
    const number = ++this.#reports;
    await this.#program.type(`report ${number}\n`);
    const [, json] = await this.#program.stdout.until(RegExp(`\\["report",${number},(.*)\\]\n`));
    return JSON.parse(json!);
  }

  /** Collects garbage, which takes the flag {@linkcode COLLECTING}, and then says what is left. */
  async collected(): Promise<Report> {
    await this.#program.type("collect\n");
    return await this.report();
  }

  /** Waits until a report is as it should be. */
  async until(condition: (report: Report) => boolean): Promise<Report> {
    const deadline = performance.now() + PATIENCE;
    for (;;) {
      const report = await this.report();
      if (condition(report)) return report;
      if (performance.now() > deadline) {
        throw new Error(`it never came to ${condition}: ${JSON.stringify(report)}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** The most memory that has been resident at any time, in bytes. */
  async peak(): Promise<number> {
    const { stdout } = await new Deno.Command("bash", {
      args: ["-c", 'grep ^VmHWM: "/proc/$0/status"', `${this.#program.pid}`],
      stdin: "null",
    }).output();
    return Number(/\d+/.exec(new TextDecoder().decode(stdout))![0]) * 1024;
  }

  /** How many sockets it has open. Of files, the runtime opens and closes some as it likes. */
  async sockets(): Promise<number> {
    const { stdout } = await new Deno.Command("bash", {
      args: ["-c", 'readlink "/proc/$0/fd/"* | grep -c ^socket', `${this.#program.pid}`],
      stdin: "null",
      stderr: "null",
    }).output();
    return Number(new TextDecoder().decode(stdout));
  }

  /** Waits until it has no more sockets open than it had. */
  async untilSockets(before: number): Promise<void> {
    const deadline = performance.now() + PATIENCE;
    let left: number;
    while ((left = await this.sockets() - before) > 0) {
      if (performance.now() > deadline) throw new Error(`${left} sockets are left open`);
    }
  }

  /** Lets it begin to drain. */
  shutdown(): Promise<void> {
    return this.#program.type("shutdown\n");
  }

  dial(options: ConnectOptions = {}): Promise<Session> {
    return connect({ port: this.port, ...options });
  }

  /** Ends it, and asserts that nothing has gone wrong in it that nobody was told of. */
  async end(): Promise<void> {
    await this.#program.endInput();
    const { code, stdout, stderr } = await this.#program.ended();
    assertEquals([code, stderr], [0, ""]);
    assertEquals(stdout.split("\n").at(-2), '["finished"]');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program[Symbol.asyncDispose]();
  }
}

/** Starts an attack in Python; see {@linkcode attack}. */
export function attacker(code: string, port: number, ...args: string[]): Program {
  return new Program("python3", ["-c", PRELUDE + code, `${port}`, ...args]);
}

/** Runs an attack in Python: `port` and `args` are what it is given, and `dial()` dials. */
export async function attack(code: string, port: number, ...args: string[]): Promise<string> {
  await using program = attacker(code, port, ...args);
  const { stdout, stderr, code: status } = await program.ended();
  assertEquals([status, stderr], [0, ""]);
  return stdout;
}

const PRELUDE = `
import socket, ssl, struct, sys
port, args = int(sys.argv[1]), sys.argv[2:]

def dial():
    return socket.create_connection(("127.0.0.1", port), 30)

def hello():
    context, out = ssl.create_default_context(), ssl.MemoryBIO()
    try:
        context.wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost").do_handshake()
    except ssl.SSLWantReadError:
        return out.read()

def reset(client):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
`;
