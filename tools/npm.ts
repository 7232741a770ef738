/**
 * Makes the package for npm. It is the output of `deno pack`, plus the two programs as commands, without dependencies.
 *
 *     deno task pack:npm [DIRECTORY]
 *
 * @module
 */

import { stripTypeScriptTypes } from "node:module";

const ROOT = new URL("../", import.meta.url).pathname;
/** The argument parser of the standard library. On npm, only a far larger package has it. */
const PARSE_ARGS = "deno-std/1.4.0/cli/parse_args.js";
/** Files that are not needed in the package. */
const LEFT_OUT = ["bench", "CONTRIBUTING.md"];
const PROGRAMS = ["server", "client"];

/** The result of {@linkcode makeNpmPackage}. */
export interface NpmPackage {
  /** The path of the tarball. */
  readonly path: string;
  /** The size of the tarball, and of its files, in bytes. */
  readonly size: number;
  readonly unpackedSize: number;
  readonly files: readonly string[];
}

/** Makes the package, as a tarball in `directory`. Throws if it is incomplete. */
export async function makeNpmPackage(directory: string): Promise<NpmPackage> {
  const work = await Deno.makeTempDir();
  try {
    const packed = `${work}/deno.tgz`;
    await run("deno", ["pack", "--allow-dirty", "--no-source-maps", "--output", packed], ROOT);
    await run("tar", ["-xzf", packed, "-C", work], work);
    const root = `${work}/package`;
    for (const path of LEFT_OUT) await Deno.remove(`${root}/${path}`, { recursive: true });
    await compileRest(root);
    await addPrograms(root);
    await checkDeclarations(root);
    const [made] = JSON.parse(
      await run("npm", ["pack", "--json", "--pack-destination", directory], root),
    );
    return {
      path: `${directory}/${made.filename}`,
      size: made.size,
      unpackedSize: made.unpackedSize,
      files: made.files.map(({ path }: { path: string }) => path),
    };
  } finally {
    await Deno.remove(work, { recursive: true });
  }
}

/** Compiles the modules that no other one imports, such as the program of a worker: `deno pack` leaves them as they are. */
async function compileRest(root: string): Promise<void> {
  for (const path of await filesIn(root)) {
    if (!path.endsWith(".ts") || path.endsWith(".d.ts")) continue;
    const code = stripTypeScriptTypes(await Deno.readTextFile(path));
    const compiled = code.replaceAll(/((?:from|import)\s+"\.[^"]*)\.ts"/g, '$1.js"');
    await Deno.writeTextFile(`${path.slice(0, -"ts".length)}js`, compiled);
    await Deno.remove(path);
  }
}

/** Turns the programs into commands, and adds the code that they import from JSR. */
async function addPrograms(root: string): Promise<void> {
  const std = await parseArgsOf(await run("deno", ["info", "--json"], ROOT));
  await Deno.writeTextFile(`${root}/std/cli/parse_args.js`, std);
  await Deno.remove(`${root}/std/cli/parse_args.d.ts`);
  for (const path of await filesIn(`${root}/cli`)) {
    const up = "../".repeat(path.slice(root.length).split("/").length - 2);
    const code = await Deno.readTextFile(path);
    const changed = code
      .replace(/"@std\/([\w/-]+)"/g, (_, name) => `"${up}std/${name.replaceAll("-", "_")}.js"`)
      .replace('"../deno.json"', '"../package.json"');
    await Deno.writeTextFile(path, changed);
  }
  const bin: Record<string, string> = {};
  await Deno.mkdir(`${root}/bin`);
  for (const program of PROGRAMS) {
    const path = `bin/${program}.js`;
    bin[`parley-${program}`] = path;
    const code = `import { main } from "../cli/${program}/main.js";\n\nawait main();\n`;
    await Deno.writeTextFile(`${root}/${path}`, `#!/usr/bin/env node\n${code}`, { mode: 0o755 });
  }
  const manifest = JSON.parse(await Deno.readTextFile(`${root}/package.json`));
  delete manifest.dependencies;
  Object.assign(manifest, {
    description:
      "A TCP server and client toolkit: framing, back-pressure, deadlines, TLS, draining",
    bin,
    engines: { node: ">=22", bun: ">=1.4" },
    sideEffects: false,
  });
  await Deno.writeTextFile(`${root}/package.json`, JSON.stringify(manifest, null, 2));
}

/** The source of the parser, from Deno's cache. */
async function parseArgsOf(info: string): Promise<string> {
  const { npmCache } = JSON.parse(info);
  for await (const { name } of Deno.readDir(npmCache)) {
    try {
      return await Deno.readTextFile(`${npmCache}/${name}/${PARSE_ARGS}`);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  throw new Error(`no ${PARSE_ARGS} in ${npmCache}: run deno check .`);
}

/**
 * Throws unless the types of all entry points are complete. `deno pack` makes declarations for the modules that public
 * types need, and warns about every other module.
 */
async function checkDeclarations(root: string): Promise<void> {
  const files = await filesIn(root);
  const relative = (path: string): string => path.slice(root.length + 1);
  const manifest = JSON.parse(await Deno.readTextFile(`${root}/package.json`));
  const wanted = Object.values(manifest.exports as Record<string, { types: string }>)
    .map(({ types }) => new URL(types, `file://${root}/`).pathname);
  for (const path of files.filter((path) => path.endsWith(".d.ts"))) {
    const code = (await Deno.readTextFile(path)).replaceAll(/\/\*[^]*?\*\//g, "");
    const foreign = /\bDeno\b|"(?:node|npm|jsr):[^"]*"/.exec(code);
    if (foreign !== null) {
      const rest = code.slice(code.lastIndexOf("\n", foreign.index) + 1);
      const line = rest.slice(0, rest.indexOf("\n")).trim();
      throw new Error(`types of ${relative(path)} have ${foreign[0]}: ${line}`);
    }
    for (const [, specifier] of code.matchAll(/(?:from|import\()\s*"(\.[^"]*)\.js"/g)) {
      wanted.push(new URL(`${specifier}.d.ts`, `file://${path}`).pathname);
    }
  }
  const missing = wanted.filter((path) => !files.includes(path)).map(relative);
  if (missing.length > 0) throw new Error(`no types: ${[...new Set(missing)].join(", ")}`);
}

/** The paths of all files below a directory. */
async function filesIn(directory: string): Promise<string[]> {
  const paths: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(directory)) {
    const path = `${directory}/${name}`;
    if (isDirectory) paths.push(...await filesIn(path));
    else paths.push(path);
  }
  return paths;
}

/** Runs a command and returns what it has printed. */
async function run(command: string, args: string[], cwd: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, { args, cwd }).output();
  if (success) return new TextDecoder().decode(stdout);
  throw new Error(`${command} ${args.join(" ")} failed:\n${new TextDecoder().decode(stderr)}`);
}

if (import.meta.main) {
  const directory = await Deno.realPath(Deno.args[0] ?? ".");
  const { path, size, unpackedSize, files } = await makeNpmPackage(directory);
  const kib = (bytes: number): string => `${Math.ceil(bytes / 1024)} KiB`;
  console.log(`${path}: ${kib(size)}, ${kib(unpackedSize)} unpacked, ${files.length} files`);
}
