// Server processes on their own core, and their figures from the system.

/** The core of the servers, and that of the load. */
export const SERVER_CORE = "0";
export const LOAD_CORE = "1";
/** For servers that use all cores. The load is on the same ones. */
export const ALL_CORES: string = `0-${navigator.hardwareConcurrency - 1}`;

const TOO_LONG = 20_000;
const TRY_AGAIN = 10;
/** For so long a connection must not be cut: `serveWorkers()` tries its port before its workers listen. */
const STABLE = 100;

/** The memory of a process in KiB. Shared memory counts fully (RSS) or in proportion (PSS). */
export interface Memory {
  readonly rss: number;
  readonly pss: number;
}

const running = new Set<Deno.ChildProcess>();

/** A server that was started for one measurement. */
export class ServerProcess implements AsyncDisposable {
  readonly pid: number;
  readonly port: number;
  readonly #child: Deno.ChildProcess;

  private constructor(child: Deno.ChildProcess, port: number) {
    this.pid = child.pid;
    this.port = port;
    this.#child = child;
  }

  /** Starts a command, on the servers' core. `PORT` in it stands for a free port. Resolves once that is listened on. */
  static async start(
    command: readonly string[],
    env: Record<string, string> = {},
    cores: string = SERVER_CORE,
  ): Promise<ServerProcess> {
    const port = freePort();
    const child = new Deno.Command("taskset", {
      args: pinned(cores, command.map((part) => part === "PORT" ? `${port}` : part)),
      env: { DENO_NO_UPDATE_CHECK: "1", ...env },
      stdin: "null",
      stdout: "null",
      stderr: "inherit",
    }).spawn();
    running.add(child);
    const server = new ServerProcess(child, port);
    try {
      await untilListening(port, child.status);
    } catch (cause) {
      await server[Symbol.asyncDispose]();
      throw new Error(`${command.join(" ")} does not listen`, { cause });
    }
    return server;
  }

  async memory(): Promise<Memory> {
    const text = await Deno.readTextFile(`/proc/${this.pid}/smaps_rollup`);
    const figure = (name: string) => Number(RegExp(`^${name}: +(\\d+) kB$`, "m").exec(text)![1]);
    return { rss: figure("Rss"), pss: figure("Pss") };
  }

  signal(signal: Deno.Signal): void {
    this.#child.kill(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    end(this.#child);
    await this.#child.status;
    running.delete(this.#child);
  }
}

function end(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGKILL");
  } catch { /* it has ended by itself */ }
}

/** Ends the servers when this process is ended by a signal. The load ends with its standard input. */
export function endServersOnSignals(): void {
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => {
      for (const child of running) end(child);
      Deno.exit(1);
    });
  }
}

/** The arguments with which `taskset` runs a command on some cores. */
export function pinned(cores: string, command: readonly string[]): string[] {
  return ["--cpu-list", cores, ...command];
}

/** Keeps this process off the servers' core. */
export async function pinThisProcess(): Promise<void> {
  await new Deno.Command("taskset", {
    args: ["--all-tasks", "--cpu-list", "--pid", LOAD_CORE, `${Deno.pid}`],
    stdout: "null",
  }).output();
}

/** The output of a command; `undefined` if it is missing or fails. */
export async function outputOf(
  [program, ...args]: readonly string[],
  options: Deno.CommandOptions = {},
): Promise<string | undefined> {
  try {
    const command = new Deno.Command(program!, { ...options, args, stdin: "null", stderr: "null" });
    const { success, stdout } = await command.output();
    return success ? new TextDecoder().decode(stdout).trim() : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** The CPU time of a process and of its children so far, in seconds. */
export async function cpuTime(pid: number): Promise<number> {
  let nanoseconds = 0;
  let children = 0;
  for await (const { name } of Deno.readDir(`/proc/${pid}/task`)) {
    const task = `/proc/${pid}/task/${name}`;
    nanoseconds += Number((await Deno.readTextFile(`${task}/schedstat`)).split(" ")[0]);
    for (const child of (await Deno.readTextFile(`${task}/children`)).split(" ")) {
      if (child.trim() !== "") children += await cpuTime(Number(child));
    }
  }
  return nanoseconds / 1e9 + children;
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

async function untilListening(port: number, ended: Promise<Deno.CommandStatus>): Promise<void> {
  const deadline = performance.now() + TOO_LONG;
  let code: number | undefined;
  ended.then((status) => code = status.code);
  for (;;) {
    try {
      using connection = await Deno.connect({ hostname: "127.0.0.1", port });
      if (await isStable(connection)) return;
      throw new Error("it ends its connections");
    } catch (error) {
      if (code !== undefined) throw new Error(`it ended with code ${code}`);
      if (performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, TRY_AGAIN));
    }
  }
}

/** Whether a connection is neither ended nor reset for a while. */
async function isStable(connection: Deno.Conn): Promise<boolean> {
  const isCut = connection.read(new Uint8Array(1)).then((count) => count === null, () => true);
  return !await Promise.race([isCut, new Promise((resolve) => setTimeout(resolve, STABLE))]);
}
