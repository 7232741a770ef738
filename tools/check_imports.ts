/**
 * Checks the direction of imports and who may touch the outside world.
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
  /** What is asked of it. */
  readonly rule: string;
}

const PROGRAM = /^(server|client)\.ts$/;

// From left to right: a file imports from its own row and the rows before it.
const LAYERS: readonly (readonly [name: string, members: RegExp])[] = [
  ["contracts", /^(errors|codecs\/codec|transport\/connection)\.ts$/],
  ["_internal", /^_internal\//],
  ["codecs", /^(codecs\/|proxy_protocol(_\w+)?\.ts$)/],
  ["transport", /^transport\//],
  ["session", /^session(_\w+)?\.ts$/],
  ["observer", /^observer(_\w+)?\.ts$/],
  ["serve, connect", /^(serve|connect)(_\w+)?\.ts$/],
  ["reconnect, requests", /^(reconnect|requests)(_\w+)?\.ts$/],
  ["testing", /^testing(_\w+)?\.ts$/],
  ["mod", /^mod\.ts$/],
  ["cli", /^cli\//],
  ["server, client", PROGRAM],
  ["examples, bench, tools", /^(examples|bench|tools)\//],
  ["tests", /^tests\//],
];
const IN_CHECKOUT_ONLY = /^(bench|examples|tests|tools)\//;
const PROGRAM_DEPENDENCY = /^@(std\/cli|logtape\/logtape)(\/|$)/;
const SOCKET_MODULE = /^node:(dgram|http|http2|https|net|tls)$/;
const ONLY_TRANSPORT = "only transport/ opens sockets";

interface Ban {
  readonly code: RegExp;
  readonly rule: string;
  /** Files that may. */
  readonly allowed: RegExp;
}

const BANS: readonly Ban[] = [
  {
    code: /\bDeno\s*\.\s*(listen|connect|startTls)\w*/g,
    rule: ONLY_TRANSPORT,
    allowed: /^(transport|bench|tests|tools)\//,
  },
  {
    code: /(?<![.\w])console\s*\.\s*\w+|\bDeno\s*\.\s*(stdout|stderr)\b/g,
    rule: "only cli/ and examples/ print",
    // The errors of a server that has nobody to tell are printed by an observer of their own.
    allowed: /^(observer\.ts$|(cli|examples|bench|tests|tools)\/)/,
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

/** Checks `files`, sources by path, of a package whose `deno.json` has these `exports`. */
export function checkImports(
  files: ReadonlyMap<string, string>,
  exports: Readonly<Record<string, string>>,
): Violation[] {
  const entries = new Set(Object.values(exports).map((path) => path.replace(/^\.\//, "")));
  const violations: Violation[] = [];
  for (const [path, source] of files) {
    const { code, imports } = scan(source);
    const found = (line: number, what: string, rule: string): void => {
      violations.push({ path, line, what, rule });
    };
    if (layerOf(path) === -1) found(1, "belongs to no layer", "every file has a place in LAYERS");
    // Only cli/ may import a dependency, so what stands left of it cannot reach one.
    if (entries.has(path) && layerOf(path) >= layerOf("cli/") && !PROGRAM.test(path)) {
      found(1, "is exported", "entries other than server and client reach no dependency");
    }
    for (const { line, specifier } of imports) {
      const rule = specifier?.startsWith(".")
        ? brokenInside(path, new URL(specifier, `file:///${path}`).pathname.slice(1), entries)
        : brokenOutside(path, specifier);
      if (rule) found(line, `imports ${specifier ?? "something computed"}`, rule);
    }
    for (const ban of BANS.filter(({ allowed }) => !allowed.test(path))) {
      for (const { 0: use, index } of code.matchAll(ban.code)) {
        found(lineAt(code, index), `uses ${use}`, ban.rule);
      }
    }
  }
  return violations;
}

/** The rule that an import of another file of the package breaks, if any. */
function brokenInside(path: string, target: string, entries: Entries): string | undefined {
  if (target === "deno.json") return; // It names the version.
  const [from, to] = [layerOf(path), layerOf(target)];
  if (to === -1) return "an import leads to a file that belongs to a layer";
  if (to > from) return `${LAYERS[from]?.[0]} stands left of ${LAYERS[to]?.[0]}`;
  const together = familyOf(path) === familyOf(target);
  if (to === from && to !== 0 && !together) return `${path} and ${target} stand side by side`;
  if (/^(cli|examples)\//.test(path) && !together && !entries.has(target)) {
    return "examples and the command line use public names only";
  }
}

/** The rule that any other import breaks, if any. */
function brokenOutside(path: string, specifier: string | undefined): string | undefined {
  if (IN_CHECKOUT_ONLY.test(path)) return;
  if (specifier === undefined) return "a published import is a plain string";
  if (SOCKET_MODULE.test(specifier)) {
    return path.startsWith("transport/") ? undefined : ONLY_TRANSPORT;
  }
  if (specifier.startsWith("node:")) return;
  if (path.startsWith("cli/") && PROGRAM_DEPENDENCY.test(specifier)) return;
  return "only cli/ has dependencies, and those are @std/cli and @logtape/logtape";
}

function layerOf(path: string): number {
  return LAYERS.findIndex(([, members]) => members.test(path));
}

/** The folder that a file lives in, or what its name starts with: `session` for `session_options.ts`. */
function familyOf(path: string): string {
  return path.split(/[/._]/, 1)[0] || "_internal";
}

function lineAt(code: string, index: number): number {
  return code.slice(0, index).split("\n").length;
}

/** Reads the TypeScript sources below `root`, all but the stand-ins in std/. */
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
