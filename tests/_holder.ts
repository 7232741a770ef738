// A parent that holds sockets and passes them to programs, as systemd does.

import { canRun, canUnix } from "./_permissions.ts";
import { Program } from "./_programs.ts";
import { bounded } from "./_serving.ts";
import type { TempDir } from "./_temp_dir.ts";
import { inPython } from "./_unix.ts";

/** For tests with such a parent. */
export const withHolder: { timeout: number; ignore: boolean } = {
  ...bounded,
  ignore: !canUnix || Deno.build.os !== "linux" || !await canRun("python3") ||
    !await canRun("deno"),
};

/** A socket: its path if it is a Unix socket, `@` and a name if that is abstract, and its name for the program. */
export interface HeldSocket {
  path?: string;
  name?: string;
  /** A datagram socket, or a file, where a listening socket is expected. */
  kind?: "datagram" | "file";
}

// Its standard input is lines: `start` starts the program, `stop` ends it and waits for it, and `wait` only waits.
const HOLD = `
import ctypes, json, os, signal, socket, subprocess, sys
prctl = ctypes.CDLL(None).prctl
sockets, env, command = json.loads(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3:]
held = []
for one in sockets:
    path, kind = one.get("path"), one.get("kind")
    if kind == "file":
        held.append(open("/dev/null"))
        continue
    opened = socket.socket(socket.AF_UNIX if path else socket.AF_INET,
        socket.SOCK_DGRAM if kind else socket.SOCK_STREAM)
    if not path:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    opened.bind(path.replace("@", "\\0") if path else ("127.0.0.1", 0))
    if not kind:
        opened.listen(4096)
    held.append(opened)
print(json.dumps([0 if one.get("path") or one.get("kind") else opened.getsockname()[1]
    for one, opened in zip(sockets, held)]), flush=True)
copies = [os.dup(os.dup(os.dup(os.dup(one.fileno())))) for one in held]  # out of the way of 3, 4, ...

def prepare():
    prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: it does not outlive this one
    for at, copy in enumerate(copies):
        os.dup2(copy, 3 + at)
    os.environ["LISTEN_PID"] = str(os.getpid())
    os.environ["LISTEN_FDS"] = str(len(copies))
    if any(one.get("name") for one in sockets):
        os.environ["LISTEN_FDNAMES"] = ":".join(one.get("name", "") for one in sockets)
    os.environ.update(env)

for line in sys.stdin:
    if line == "start\\n":
        program = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=prepare, close_fds=False)
    else:
        if line == "stop\\n":
            program.send_signal(signal.SIGTERM)
        print("ended", program.wait(), flush=True)
`;

// What a service tells, one message a line.
const MANAGE = `
import socket, sys
told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
told.bind(sys.argv[1].replace("@", "\\0"))
print("bound", flush=True)
while True:
    print(told.recv(100).decode(), flush=True)
`;

/** Stands in for systemd at a path, or at `@` and an abstract name. What it is told is in its `stdout`. */
export async function startManager(address: string): Promise<Program> {
  return await inPython(MANAGE, address);
}

/** Writes a module; `library/` stands for this package's directory. Returns the command that runs it. */
export async function moduleIn(
  dir: TempDir,
  source: string,
  ...flags: string[]
): Promise<string[]> {
  const root = new URL("../", import.meta.url).href;
  const path = `${dir.path}/service.ts`;
  await Deno.writeTextFile(path, source.replaceAll("library/", root));
  return ["deno", "run", "--quiet", "--no-prompt", ...flags, path];
}

/** The parent. What the program prints is in its `stdout` and `stderr`. */
export class Holder implements AsyncDisposable {
  readonly #parent: Program;
  #ends = 0;
  /** The ports of the sockets; 0 for others than TCP. */
  readonly ports: number[];

  private constructor(parent: Program, ports: number[]) {
    this.#parent = parent;
    this.ports = ports;
  }

  /** Opens the sockets for a program, which is not started yet. */
  static async open(
    sockets: HeldSocket[],
    command: string[],
    env: Record<string, string> = {},
  ): Promise<Holder> {
    const args = [JSON.stringify(sockets), JSON.stringify(env), ...command];
    const parent = new Program("python3", ["-c", HOLD, ...args], { NO_COLOR: "1" });
    try {
      const [ports] = await parent.stdout.until(/^\[.*\]$/m);
      return new Holder(parent, JSON.parse(ports));
    } catch (error) {
      await parent[Symbol.asyncDispose]();
      throw error;
    }
  }

  get stdout(): string {
    return this.#parent.stdout.text.replace(/^\[.*\]\n/, "").replaceAll(/^ended .*\n/gm, "");
  }

  get stderr(): string {
    return this.#parent.stderr.text;
  }

  /** Starts the program. */
  async start(): Promise<void> {
    await this.#parent.type("start\n");
  }

  /** Sends it SIGTERM and waits until it has ended. Returns its exit code. */
  async stop(): Promise<number> {
    return await this.#end("stop");
  }

  /** Waits until it ends by itself. */
  async ended(): Promise<number> {
    return await this.#end("wait");
  }

  async #end(command: string): Promise<number> {
    await this.#parent.type(`${command}\n`);
    const count = ++this.#ends;
    const pattern = new RegExp(`(?:^ended (-?\\d+)\\n[^]*?){${count}}`, "m");
    return Number((await this.#parent.stdout.until(pattern))[1]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parent[Symbol.asyncDispose]();
  }
}
