// Starts the two programs, and others, the way users do, and reads what they print.

import { once } from "node:events";
import net from "node:net";
import { assertEquals } from "@std/assert";
import { hasDenoSockets } from "../_internal/deno_sockets.ts";
import { canNet, canRun } from "./_permissions.ts";

const encoder = new TextEncoder();

/** Whether the programs cannot be started by these tests. */
export const cannotStart: boolean = !canNet || !await canRun("deno");

/** Whether Python 3 cannot be. */
export const cannotStartPython: boolean = cannotStart || !await canRun("python3");

/** Whether they cannot be started on a terminal. */
export const cannotStartTerminal: boolean = cannotStartPython || Deno.build.os === "windows";

/** Whether there is a program, of those that tell their version with `flag`, and a test may start it. */
export async function isInstalled(command: string, flag = "-v"): Promise<boolean> {
  if (!await canRun(command)) return false;
  try {
    return (await new Deno.Command(command, { args: [flag] }).output()).success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** What no program that these tests start takes: it is killed then, so that a wait in vain ends in a failure. */
const limits = { duration: 60_000 };

/** Lets programs take longer, for attacks by hand. */
export function beLongPatient(): void {
  limits.duration = 600_000;
}

/** What a program prints, as it comes. */
class Output {
  text = "";
  /** Resolves at the end of the output, which comes no later than that of the program. */
  readonly ended: Promise<void>;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>;
  #isOver = false;
  #news: PromiseWithResolvers<void> = Promise.withResolvers();

  constructor(stream: ReadableStream<Uint8Array<ArrayBuffer>>) {
    this.#reader = stream.getReader();
    this.ended = this.#collect();
  }

  async #collect(): Promise<void> {
    const decoder = new TextDecoder();
    for (;;) {
      const { value, done } = await this.#reader.read();
      if (done) break;
      this.text += decoder.decode(value, { stream: true });
      this.#news.resolve();
      this.#news = Promise.withResolvers();
    }
    this.#isOver = true;
    this.#news.resolve();
  }

  /** Waits until the text matches. */
  async until(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.text);
      if (found !== null) return found;
      if (this.#isOver) throw new Error(`${pattern} is not in ${JSON.stringify(this.text)}`);
      await this.#news.promise;
    }
  }

  /** Reads no more: whatever the program writes from now on fails. */
  async close(): Promise<void> {
    await this.#reader.cancel();
    await this.ended;
  }
}

/** How a program ended, and all that it printed. */
export interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

/** A program that runs. */
export class Program implements AsyncDisposable {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly #child: Deno.ChildProcess;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array>;
  readonly #watchdog: ReturnType<typeof setTimeout>;

  constructor(command: string, args: string[], env: Record<string, string> = {}) {
    this.#child = new Deno.Command(command, {
      args,
      cwd: new URL("..", import.meta.url),
      env,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.stdout = new Output(this.#child.stdout);
    this.stderr = new Output(this.#child.stderr);
    this.#stdin = this.#child.stdin.getWriter();
    this.#watchdog = setTimeout(() => this.kill("SIGKILL"), limits.duration);
  }

  get pid(): number {
    return this.#child.pid;
  }

  async type(text: string): Promise<void> {
    await this.#stdin.write(encoder.encode(text));
  }

  /** The end of the program's standard input. */
  async endInput(): Promise<void> {
    await this.#stdin.close().catch(() => {}); // it may have ended by itself
  }

  kill(signal: Deno.Signal): void {
    try {
      this.#child.kill(signal);
    } catch { /* it has ended already */ }
  }

  /** Waits until it ends. Its standard input stays open unless `endInput()` was called. */
  async ended(): Promise<Ended> {
    const { code } = await this.#child.status;
    await Promise.all([this.stdout.ended, this.stderr.ended]);
    return { code, stdout: this.stdout.text, stderr: this.stderr.text };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#watchdog);
    this.kill("SIGKILL");
    await this.ended();
    await this.endInput();
  }
}

/** `deno run --allow-net FILE`. Quiet, since Deno itself tells about downloads on standard error. */
export function start(file: string, ...args: string[]): Program {
  return new Program("deno", ["run", "--quiet", "--allow-net", file, ...args]);
}

const ON_TERMINAL = `import os, pty, sys
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))`;

/** `deno` on a pseudo-terminal, where all that it prints is the program's `stdout`. */
export function onTerminal(args: string[], env: Record<string, string> = {}): Program {
  const command = ["-c", ON_TERMINAL, "deno", ...args];
  return new Program("python3", command, { DENO_NO_PROMPT: "", NO_COLOR: "", ...env });
}

/** `deno run --allow-net FILE` on a pseudo-terminal. */
export function startOnTerminal(file: string, ...args: string[]): Program {
  return onTerminal(["run", "--quiet", "--allow-net", file, ...args]);
}

/** Runs a program to its end, with nothing on its standard input. */
export async function run(file: string, ...args: string[]): Promise<Ended> {
  await using program = start(file, ...args);
  await program.endInput();
  return await program.ended();
}

/** The greeting service, on a free port. */
export class GreetingServer implements AsyncDisposable {
  readonly program: Program;
  readonly port: number;

  private constructor(program: Program, port: number) {
    this.program = program;
    this.port = port;
  }

  static async start(...args: string[]): Promise<GreetingServer> {
    const program = start("server.ts", "--port", "0", ...args);
    try {
      const [, port] = await program.stderr.until(/listening on 127\.0\.0\.1:(\d+)/);
      return new GreetingServer(program, Number(port));
    } catch (error) {
      await program[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** A client of it that has been welcomed. */
  async enter(): Promise<Client> {
    const client = await Client.connect(this.port);
    await client.hear("welcome!");
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program[Symbol.asyncDispose]();
  }
}

/** One side of a bare TCP connection. */
export class Client implements Disposable {
  readonly conn: Deno.TcpConn;

  constructor(conn: Deno.TcpConn) {
    conn.setNoDelay(true);
    this.conn = conn;
  }

  static async connect(port: number): Promise<Client> {
    return new Client(await Deno.connect({ hostname: "127.0.0.1", port }));
  }

  get address(): string {
    const { hostname, port } = this.conn.localAddr;
    return `${hostname}:${port}`;
  }

  async say(text: string): Promise<void> {
    const bytes = encoder.encode(text);
    assertEquals(await this.conn.write(bytes), bytes.length);
  }

  /** Reads just as many bytes as the text has, and compares. */
  async hear(text: string): Promise<void> {
    const bytes = new Uint8Array(encoder.encode(text).length);
    let length = 0;
    while (length < bytes.length) {
      const got = await this.conn.read(bytes.subarray(length));
      if (got === null) break;
      length += got;
    }
    assertEquals(new TextDecoder().decode(bytes.subarray(0, length)), text);
  }

  /** Reads the end of input. */
  async hearEnd(): Promise<void> {
    const buffer = new Uint8Array(1024);
    const got = await this.conn.read(buffer).catch((error) => {
      if (!hasDenoSockets && error instanceof Deno.errors.ConnectionReset) return null; // it was cut off
      throw error;
    });
    assertEquals(got === null ? null : new TextDecoder().decode(buffer.subarray(0, got)), null);
  }

  [Symbol.dispose](): void {
    this.conn[Symbol.dispose]();
  }
}

/** Connects, waits for a word and resets the connection. A `Deno.Conn` sends its FIN first. */
export async function comeAndReset(port: number): Promise<void> {
  const socket = net.connect(port, "127.0.0.1");
  await once(socket, "data");
  const closed = once(socket, "close");
  socket.resetAndDestroy();
  await closed;
}

/** A server that says a word to whoever comes, and resets the connection at the first answer. */
export async function resetting(word: string): Promise<{ port: number } & AsyncDisposable> {
  const server = net.createServer((socket) => {
    socket.once("data", () => socket.resetAndDestroy());
    socket.write(word);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as net.AddressInfo).port,
    async [Symbol.asyncDispose](): Promise<void> {
      const closed = once(server, "close");
      server.close();
      await closed;
    },
  };
}

/** Asserts that a program has ended with one plain line that says why, after what it printed before. */
export function assertOneLine(
  { code, stdout, stderr }: Ended,
  [expectedCode, message]: [number, string],
  printed = "",
): void {
  assertEquals([code, stdout, stderr], [expectedCode, printed, `error: ${message}\n`]);
}
