// The programs in `servers/`: how each is built and started, and what must be installed for it.

import { build } from "./build.ts";
import { outputOf } from "./process.ts";

const SERVERS = new URL("../servers/", import.meta.url);
const file = (path: string): string => new URL(path, SERVERS).pathname;

/** The name of a program that can be measured. */
export type PeerName =
  | "parley"
  | "parleyNode"
  | "parleyScraped"
  | "parleyBallast"
  | "parleyWorkers"
  | "parleyAllCores"
  | "parleyOnNode"
  | "parleyOnBun"
  | "deno"
  | "denoBallast"
  | "denoNet"
  | "node"
  | "nodeCluster"
  | "bun"
  | "go"
  | "asyncio"
  | "uvloop"
  | "threads"
  | "tokio"
  | "c"
  | "redisServer"
  | "redisExample"
  | "mosquitto"
  | "aedes"
  | "mqttExample";

interface Program {
  /** What must be installed. */
  readonly from: string;
  /** Prints the version, if it is installed. The program may be in one of `places` only. */
  readonly version: readonly string[];
  /** Where to look besides the PATH, and before it. */
  readonly places?: readonly string[];
  /** Sources, in `servers/`, and the command that compiles them. */
  readonly build?: { sources: readonly string[]; command: readonly string[]; result?: string };
  /** The command that starts it; `OUT` stands for what was built. */
  readonly command: readonly string[];
  /** The command with which SIGUSR2 collects garbage, if it differs. */
  readonly collecting?: readonly string[];
  /** Whether SIGUSR2 collects garbage. */
  readonly collects?: boolean;
  readonly env?: Record<string, string>;
}

/** A folder of Debian's golang-1.19-go and the like. */
const GO = ["/usr/lib/go-1.19/bin"];
/** Debian's modules are for Debian's Python. */
const PYTHON = ["/usr/bin"];
const DEBIAN_CRATES = [
  "--config",
  'source.crates-io.replace-with="debian"',
  "--config",
  'source.debian.directory="/usr/share/cargo/registry"',
];

/** The Deno that runs this. The one on the PATH may be a script that starts another process. */
const DENO = Deno.execPath();

function inDeno(path: string, env: Record<string, string> = {}): Program {
  return {
    env,
    from: "Deno",
    version: [DENO, "--version"],
    command: [DENO, "run", "-A", file(path)],
    collecting: [DENO, "run", "-A", "--v8-flags=--expose-gc", file(path)],
    collects: true,
  };
}

const PROGRAMS: Record<PeerName, Program> = {
  parley: inDeno("parley.ts"),
  parleyNode: inDeno("parley.ts", { TRANSPORT: "node" }),
  parleyScraped: inDeno("parley.ts", { SCRAPED: "1" }),
  parleyBallast: inDeno("parley.ts", { BALLAST: "1" }),
  parleyWorkers: inDeno("workers.ts", { WORKERS: "2" }),
  parleyAllCores: inDeno("workers.ts", { WORKERS: "auto" }),
  parleyOnNode: {
    from: "Node from version 22.18 on, which runs TypeScript",
    version: ["node", "-p", "process.features.typescript ? process.version : process.exit(1)"],
    command: ["node", file("parley.ts")],
    collecting: ["node", "--expose-gc", file("parley.ts")],
    collects: true,
  },
  parleyOnBun: {
    from: "the npm package bun",
    version: ["bun", "--version"],
    command: ["bun", file("parley.ts")],
    collects: true,
  },
  deno: inDeno("deno.ts"),
  denoBallast: inDeno("deno.ts", { BALLAST: "1" }),
  denoNet: inDeno("net.mjs"),
  nodeCluster: {
    from: "Node",
    version: ["node", "--version"],
    command: ["node", file("cluster.mjs")],
  },
  node: {
    from: "Node",
    version: ["node", "--version"],
    command: ["node", file("net.mjs")],
    collecting: ["node", "--expose-gc", file("net.mjs")],
    collects: true,
  },
  bun: {
    from: "the npm package bun",
    version: ["bun", "--version"],
    command: ["bun", file("bun.mjs")],
    collects: true,
  },
  go: {
    from: "Debian's golang-go",
    version: ["go", "version"],
    places: GO,
    build: { sources: ["go/main.go"], command: ["go", "build", "-o", "OUT", file("go/main.go")] },
    command: ["OUT"],
    collects: true,
  },
  asyncio: {
    from: "Debian's python3",
    version: ["python3", "--version"],
    places: PYTHON,
    command: ["python3", file("asyncio_server.py")],
    collects: true,
  },
  uvloop: {
    from: "Debian's python3-uvloop",
    version: ["python3", "-c", "import uvloop; print('uvloop', uvloop.__version__)"],
    places: PYTHON,
    command: ["python3", file("asyncio_server.py")],
    collects: true,
    env: { EVENT_LOOP: "uvloop" },
  },
  threads: {
    from: "Debian's python3",
    version: ["python3", "--version"],
    places: PYTHON,
    command: ["python3", file("threads.py")],
  },
  tokio: {
    from: "Debian's cargo and librust-tokio-dev",
    version: ["cargo", "--version"],
    build: {
      sources: ["tokio/Cargo.toml", "tokio/src/main.rs"],
      command: [
        ...["cargo", "build", "--release", "--offline", ...DEBIAN_CRATES],
        ...["--manifest-path", file("tokio/Cargo.toml"), "--target-dir", "OUT"],
      ],
      result: "release/server",
    },
    command: ["OUT"],
  },
  c: {
    from: "Debian's gcc and libc6-dev",
    version: ["gcc", "--version"],
    build: { sources: ["epoll.c"], command: ["gcc", "-O2", "-o", "OUT", file("epoll.c")] },
    command: ["OUT"],
  },
  redisServer: {
    from: "Debian's redis-server",
    version: ["redis-server", "--version"],
    command: ["redis-server", "--save", "", "--appendonly", "no", "--port"],
  },
  redisExample: {
    from: "Deno",
    version: [DENO, "--version"],
    command: [DENO, "run", "-A", file("../../examples/redis/server.ts")],
  },
  mosquitto: {
    from: "Debian's mosquitto",
    version: ["sh", "-c", "command -v mosquitto >&2 && mosquitto -h | sed 1q"],
    command: ["mosquitto", "-c", file("mosquitto.conf"), "-p"],
  },
  aedes: {
    from: "the npm package aedes, installed globally,",
    version: ["node", file("aedes.mjs"), "--version"],
    command: ["node", file("aedes.mjs")],
  },
  mqttExample: {
    from: "Deno",
    version: [DENO, "--version"],
    command: [DENO, "run", "-A", file("../../examples/mqtt/server.ts")],
  },
};

/** A program that is installed and built. */
export interface Peer {
  readonly version: string;
  /** The command, to be followed by the service, the port and the like. */
  readonly command: readonly string[];
  readonly collecting: readonly string[];
  readonly collects: boolean;
  readonly env: Record<string, string>;
}

const found = new Map<PeerName, Promise<Peer | string>>();

/** Finds and builds a program, once. If that is not possible, it resolves to the reason. */
export function peer(name: PeerName): Promise<Peer | string> {
  const before = found.get(name);
  if (before !== undefined) return before;
  const finding = find(name, PROGRAMS[name]);
  found.set(name, finding);
  return finding;
}

async function find(name: PeerName, program: Program): Promise<Peer | string> {
  const [lookFor, ...args] = program.version;
  const places = [...(program.places ?? []).map((place) => `${place}/${lookFor}`), lookFor!];
  for (const path of places) {
    const version = (await outputOf([path, ...args]))?.split("\n")[0];
    if (version === undefined) continue;
    const actual = (command: readonly string[]) =>
      command.map((part) => part === lookFor ? path : part);
    try {
      const built = program.build && await build({
        name,
        version,
        ...program.build,
        command: actual(program.build.command),
        sources: program.build.sources.map((source) => new URL(source, SERVERS)),
      });
      const ready = (command: readonly string[]) =>
        actual(command).map((part) => part === "OUT" ? built! : part);
      return {
        version,
        command: ready(program.command),
        collecting: ready(program.collecting ?? program.command),
        collects: program.collects ?? false,
        env: program.env ?? {},
      };
    } catch (error) {
      return `cannot be built, ${program.from} may be missing: ${(error as Error).message}`;
    }
  }
  return `needs ${program.from}`;
}
