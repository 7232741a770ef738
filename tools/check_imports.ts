/**
 * Checks the direction of imports, and which files may open sockets, print and exit.
 *
 *     deno run --allow-read=. tools/check_imports.ts [ROOT]
 *
 * @module
 */

import { scan } from "./_scan.ts";

/** A rule that a file breaks. */
export interface Violation {
  readonly path: string;
  readonly line: number;
  /** What the file does. */
  readonly what: string;
  /** The rule. */
  readonly rule: string;
}

const PROGRAM = /^(server|client)\.ts$/;

/**
 * The rooms, each a folder or a file at the top. A file imports from its own room and from earlier rows. Rooms in the same
 * row do not import each other.
 */
const ROWS: readonly (readonly string[])[] = [
  ["errors.ts"],
  ["_internal"],
  ["codecs", "proxy_protocol"],
  ["transport"],
  ["session"],
  ["session.ts"],
  ["serve", "connect"],
  ["requests", "hub"],
  ["workers", "capture", "datagram", "handover"],
  ["metrics"],
  ["admin"],
  ["testing"],
  ["mod.ts"],
  ["cli"],
  ["server.ts", "client.ts"],
  ["examples", "bench", "tools"],
  ["tests"],
];
const IN_CHECKOUT_ONLY = /^(bench|examples|tests|tools)\//;
const PROGRAM_DEPENDENCY = /^@std\/(cli|log)(\/|$)/;
const SOCKET_MODULE = /^node:(dgram|http|http2|https|net|tls)$/;
/** Where a module of the user is imported, and a client that the package must not depend on. */
const IMPORTS_COMPUTED = ["workers/thread.ts", "cli/server/nats.ts", "examples/nats.ts"];
const ONLY_TRANSPORT = "only transport/ and datagram/ open sockets";

interface Ban {
  readonly code: RegExp;
  readonly rule: string;
  /** The files that may do it. */
  readonly allowed: RegExp;
}

const BANS: readonly Ban[] = [
  {
    code: /\bDeno\s*\.\s*(listen|connect|startTls)\w*/g,
    rule: ONLY_TRANSPORT,
    allowed: /^(transport|datagram|bench|tests|tools)\//,
  },
  {
    code: /(?<![.\w])console\s*\.\s*\w+|\bDeno\s*\.\s*(stdout|stderr)\b/g,
    rule: "only cli/ and examples/ print",
    // Errors that the program does not handle are printed.
    allowed: /^(_internal\/error_printer\.ts$|(cli|examples|bench|tests|tools)\/)/,
  },
  {
    code: /\b(Deno|process)\s*\.\s*(exit|exitCode)\b/g,
    rule: "only cli/ exits",
    allowed: /^(cli|bench|tests|tools)\//,
  },
  {
    code: /\b(Deno|process)\s*\.\s*(args|argv)\b/g,
    rule: "only cli/ and examples/ read the arguments",
    allowed: /^(cli|examples|bench|tests|tools)\//,
  },
  {
    code: /\bimport\s*\.\s*meta\s*\.\s*main\b/g,
    rule: "of what is published, only server.ts and client.ts have a main guard",
    allowed: /^((server|client)\.ts$|(bench|examples|tests|tools)\/)/,
  },
];

/** The entry points by path. */
type Entries = ReadonlySet<string>;

/** Checks the sources (by path) of a package whose `deno.json` has these `exports`. */
export function checkImports(
  files: ReadonlyMap<string, string>,
  exports: Readonly<Record<string, string>>,
): Violation[] {
  const entries = new Set(Object.values(exports).map((path) => path.replace(/^\.\//, "")));
  const violations: Violation[] = [];
  const graph: Graph = new Map();
  for (const [path, source] of files) {
    const { code, imports } = scan(source);
    const inside: Edge[] = [];
    graph.set(path, inside);
    const found = (line: number, what: string, rule: string): void => {
      violations.push({ path, line, what, rule });
    };
    if (rowOf(path) === -1) found(1, "belongs to no room", "every file has a place in ROWS");
    // Only cli/ may import a dependency, so earlier rooms cannot reach one.
    if (entries.has(path) && rowOf(path) >= rowOf("cli") && !PROGRAM.test(path)) {
      found(1, "is exported", "entries other than server and client reach no dependency");
    }
    for (const { line, specifier } of imports) {
      const what = `imports ${specifier ?? "something computed"}`;
      let rule = brokenOutside(path, specifier);
      if (specifier?.startsWith(".")) {
        const target = new URL(specifier, `file:///${path}`).pathname.slice(1);
        inside.push({ target, line, what });
        rule = brokenInside(path, target, entries);
      }
      if (rule) found(line, what, rule);
    }
    for (const ban of BANS.filter(({ allowed }) => !allowed.test(path))) {
      for (const { 0: use, index } of code.matchAll(ban.code)) {
        found(lineAt(code, index), `uses ${use}`, ban.rule);
      }
    }
  }
  return [...violations, ...circles(graph)];
}

/** One import of another file of the package. */
interface Edge {
  readonly target: string;
  readonly line: number;
  readonly what: string;
}

type Graph = Map<string, readonly Edge[]>;

/** The imports that close a circle. */
function circles(graph: Graph): Violation[] {
  const violations: Violation[] = [];
  const done = new Set<string>();
  const trail: string[] = [];
  function visit(path: string): void {
    trail.push(path);
    for (const { target, line, what } of graph.get(path) ?? []) {
      const start = trail.indexOf(target);
      if (start !== -1) {
        const rule = `a circle: ${[...trail.slice(start), target].join(", ")}`;
        violations.push({ path, line, what, rule });
      } else if (!done.has(target)) visit(target);
    }
    trail.pop();
    done.add(path);
  }
  for (const path of graph.keys()) if (!done.has(path)) visit(path);
  return violations;
}

/** The rule that an import of another file of the package breaks, if any. */
function brokenInside(path: string, target: string, entries: Entries): string | undefined {
  if (target === "deno.json") return; // It names the version.
  const [from, to] = [rowOf(path), rowOf(target)];
  const [room, other] = [roomOf(path), roomOf(target)];
  if (to === -1) return "an import leads to a file that belongs to a room";
  if (to > from) return `${room} stands before ${other}`;
  if (to === from && room !== other) return `${room} and ${other} stand apart`;
  if (/^(cli|examples)$/.test(room) && room !== other && !entries.has(target)) {
    return "examples and the command line use public names only";
  }
}

/** The rule that any other import breaks, if any. */
function brokenOutside(path: string, specifier: string | undefined): string | undefined {
  if (IN_CHECKOUT_ONLY.test(path)) return;
  if (specifier === undefined) {
    return IMPORTS_COMPUTED.includes(path) ? undefined : "a published import is a plain string";
  }
  if (SOCKET_MODULE.test(specifier)) {
    return /^(transport|datagram)\//.test(path) ? undefined : ONLY_TRANSPORT;
  }
  if (specifier.startsWith("node:")) return;
  if (path.startsWith("cli/") && PROGRAM_DEPENDENCY.test(specifier)) return;
  return "only cli/ has dependencies, and those are @std/cli and @std/log";
}

/** The folder of a file, or the file itself at the top. */
function roomOf(path: string): string {
  return path.split("/", 1)[0]!;
}

function rowOf(path: string): number {
  return ROWS.findIndex((rooms) => rooms.includes(roomOf(path)));
}

function lineAt(code: string, index: number): number {
  return code.slice(0, index).split("\n").length;
}

/** Reads the TypeScript sources below `root`, except the stand-ins in std/. */
async function readSources(root: string): Promise<Map<string, string>> {
  const sources = new Map<string, string>();
  const folders = [""];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for await (const { name, isDirectory } of Deno.readDir(`${root}/${folder}`)) {
      const path = folder + name;
      if (name.startsWith(".") || name === "node_modules" || path === "std") continue;
      if (isDirectory) folders.push(`${path}/`);
      else if (name.endsWith(".ts")) sources.set(path, await Deno.readTextFile(`${root}/${path}`));
    }
  }
  return new Map([...sources].sort());
}

if (import.meta.main) {
  const root = Deno.args[0] ?? ".";
  const sources = await readSources(root);
  const config = JSON.parse(await Deno.readTextFile(`${root}/deno.json`));
  const violations = checkImports(sources, config.exports);
  for (const { path, line, what, rule } of violations) {
    console.error(`${path}:${line}: ${what} (${rule})`);
  }
  if (violations.length > 0) Deno.exit(1);
  console.log(`Checked the imports of ${sources.size} files`);
}
