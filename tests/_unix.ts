// Unix sockets for tests, and what other programs do with theirs.

import { canRun, canSys, canUnix } from "./_permissions.ts";
import { Program } from "./_programs.ts";
import { bounded, overNetCounting } from "./_serving.ts";
import { makeTempDir } from "./_temp_dir.ts";

interface TestOptions {
  timeout: number;
  ignore: boolean;
}

export const overUnix: TestOptions = { ...bounded, ignore: !canUnix };
export const overUnixCounting: TestOptions = {
  ...overNetCounting,
  ignore: !canUnix || overNetCounting.ignore,
};
export const overAbstract: TestOptions = {
  ...bounded,
  ignore: !canUnix || Deno.build.os !== "linux",
};

/** With a mode. */
export const overUnixMode: TestOptions = { ...overUnix, ignore: overUnix.ignore || !canSys };

/** With other programs on Linux's sockets; elsewhere, a connect to a full backlog may wait or be refused. */
export const withPython: TestOptions = {
  ...overAbstract,
  ignore: overAbstract.ignore || !await canRun("python3"),
};

/** A new path in a directory of its own. */
export async function somePath(): Promise<AsyncDisposable & { path: string; files(): string[] }> {
  const dir = await makeTempDir();
  return {
    path: `${dir.path}/test.sock`,
    files: () => [...Deno.readDirSync(dir.path)].map(({ name }) => name),
    [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose](),
  };
}

/** The permissions of a file. */
export async function modeOf(path: string): Promise<number> {
  return (await Deno.lstat(path)).mode! & 0o7777;
}

/** Removes a file synchronously. */
export function removeNow(path: string): void {
  Deno.removeSync(path);
}

/** Calls a function before each `Deno.renameSync`, for a race that a test cannot time with another process. */
export function beforeRenaming(act: () => void): Disposable {
  const real = Deno.renameSync;
  Deno.renameSync = (from, to): void => {
    act();
    real(from, to);
  };
  return { [Symbol.dispose]: () => void (Deno.renameSync = real) };
}

/** Leaves the file of a socket on which no process listens, as a killed server does. */
export async function leaveStale(path: string): Promise<void> {
  const listener = Deno.listen({ transport: "unix", path: `${path}.0` });
  await Deno.rename(`${path}.0`, path);
  listener.close();
  // The clock of file systems is coarse, and the file of a killed server is older than one tick.
  const born = (await Deno.lstat(path)).birthtime?.getTime();
  while (born !== undefined && await birthOfNext(`${path}.0`) === born) await tick();
}

/** The birth time that a file would get now. */
async function birthOfNext(path: string): Promise<number | undefined> {
  await Deno.writeTextFile(path, "");
  const { birthtime } = await Deno.lstat(path);
  await Deno.remove(path);
  return birthtime?.getTime();
}

function tick(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1));
}

/** A running Python program. */
export async function inPython(source: string, ...args: string[]): Promise<Program> {
  const program = new Program("python3", ["-c", source, ...args]);
  await program.stdout.until(/\n/);
  return program;
}

/** Listens on the path, accepts only on command, and ends when its standard input ends. */
const FULL = `
import socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen(0)
print("listening", flush=True)
connections = []
for line in sys.stdin:
    connections.append(listener.accept())
`;

/** A server whose backlog is full. */
export async function fullServer(
  path: string,
): Promise<AsyncDisposable & { accept(): Promise<void> }> {
  const child = new Deno.Command("python3", {
    args: ["-c", FULL, path],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const [output, input] = [child.stdout.getReader(), child.stdin.getWriter()];
  await output.read();
  const first = await Deno.connect({ transport: "unix", path });
  return {
    accept: () => input.write(new TextEncoder().encode("\n")),
    async [Symbol.asyncDispose](): Promise<void> {
      first.close();
      await input.close();
      await output.cancel();
      await child.status;
    },
  };
}
