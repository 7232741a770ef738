// HAProxy in front of a server of these tests.

import { canRun } from "./_permissions.ts";
import { Program } from "./_programs.ts";
import { makeTempDir } from "./_temp_dir.ts";
import { overTls } from "./_tls_serving.ts";

/** For tests that need HAProxy, a client that chooses its own address, and certificates. */
export const withHaproxy: { timeout: number; ignore: boolean } = {
  ...overTls,
  ignore: overTls.ignore || Deno.build.os !== "linux" || !await canRun("haproxy") ||
    !await canRun("python3") || !await canRun("socat"),
};

// HAProxy takes no port 0, but sockets that listen already: they are its descriptors 10, 11, …
const START = `
import os, socket, sys
count, *command = sys.argv[1:]
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(count))]
for at, listening in enumerate(sockets):
    os.dup2(listening.fileno(), 10 + at, inheritable=True)
print(*[listening.getsockname()[1] for listening in sockets], flush=True)
os.execvp(command[0], command)
`;

/** A frontend: the rest of its `bind` and `server` lines. */
interface WayIn {
  bind?: string;
  server: string;
}

/** A running HAProxy. */
export interface Haproxy extends AsyncDisposable {
  /** The ports of its frontends. */
  ports: number[];
  /** Its error messages. */
  stderr(): string;
}

/** Starts it; `{dir}` in a line is a directory for files that `files` has. */
export async function startHaproxy(
  ways: WayIn[],
  files: Record<string, string> = {},
): Promise<Haproxy> {
  const dir = await makeTempDir();
  const sections = ways.map(({ bind = "", server }, at) => `
listen way${at}
  bind fd@${10 + at} ${bind}
  server greet ${server}
`);
  const config = `
global
  nbthread 1
  maxconn 1000
defaults
  mode tcp
  timeout connect 10s
  timeout client 60s
  timeout server 60s
${sections.join("")}`;
  const path = `${dir.path}/haproxy.cfg`;
  await Deno.writeTextFile(path, config.replaceAll("{dir}", dir.path));
  for (const [name, text] of Object.entries(files)) {
    await Deno.writeTextFile(`${dir.path}/${name}`, text);
  }
  const command = ["haproxy", "-q", "-db", "-f", path];
  const program = new Program("python3", ["-c", START, `${ways.length}`, ...command]);
  const dispose = async (): Promise<void> => {
    await program[Symbol.asyncDispose]();
    await dir[Symbol.asyncDispose]();
  };
  try {
    const [, ports] = await program.stdout.until(/^([\d ]+)\n/);
    return {
      ports: ports!.split(" ").map(Number),
      stderr: () => program.stderr.text,
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** A client at an address of its own, which sends its standard input. */
export function clientFrom(hostname: string, port: number, how = "TCP4"): Program {
  return new Program("socat", ["-", `${how}:127.0.0.1:${port},bind=${hostname}`]);
}
