import { assert, assertArrayIncludes, assertEquals, assertGreater, fail } from "@std/assert";
import { canNet, canRead, canRun, canWrite } from "../_permissions.ts";
import { type Registry, startRegistry } from "../_registry.ts";
import { makeTempDir } from "../_temp_dir.ts";

const ROOT = new URL("../../", import.meta.url);
const SHIPPED = [
  /^(LICENSE|deno\.json|[A-Z]+\.md|\w+\.ts)$/,
  /^(_internal|admin|capture|cli|codecs|connect|datagram|handover|hub|metrics|proxy_protocol|requests|serve|session|testing|transport|workers)\/[\w/]+\.ts$/,
  /^(docs\/\w+\.md|bench\/README\.md|bench\/charts\/[\w-]+\.svg)$/,
];
/** What stays in the repository: its tests would bring dependencies. */
const NOT_SHIPPED = ["examples"];
// Nothing here takes long; a program that hangs is killed, and its test fails.
const DEADLINE = 60_000;
const PROGRAM_ENTRIES = ["./server", "./client"];
const DEPENDENCY = /^jsr:@std\/(cli|log)@/;
const PROGRAM = `
import { serve } from "jsr:@parley/tcp";

const server = serve({ port: 0 }, async (session) => {
  await session.send("welcome!");
  for await (const name of session) {
    if (name === "exit") break;
    await session.send(\`hello, \${name}!\`);
  }
});
console.log(JSON.stringify(await server.listening));
await server.finished;
`;

const SERVICE = `
import type { Session } from "jsr:@parley/tcp";

export default async function serve(session: Session): Promise<void> {
  await session.send("welcome!");
  for await (const name of session) {
    if (name === "exit") break;
    await session.send(\`hello, \${name}!\`);
  }
}
`;
const WORKERS = `
import { serveWorkers } from "jsr:@parley/tcp/workers";

const server = serveWorkers(import.meta.resolve("./service.ts"), { port: 0, workers: 2 });
console.log(JSON.stringify(await server.listening));
await server.finished;
`;

interface Config {
  readonly name: string;
  readonly version: string;
  readonly exports: Record<string, string>;
}

interface Module {
  readonly specifier: string;
  readonly dependencies?: readonly { readonly specifier: string }[];
}

async function readConfig(directory: string): Promise<Config> {
  return JSON.parse(await Deno.readTextFile(new URL(`${directory}deno.json`, ROOT)));
}

/** Loads a stand-in from std/ into the registry, where the package itself will look for it. */
async function addStandIn(registry: Registry, directory: string): Promise<void> {
  const files = new Map<string, Uint8Array>();
  for await (const { name } of Deno.readDir(new URL(directory, ROOT))) {
    files.set(name, await Deno.readFile(new URL(directory + name, ROOT)));
  }
  const { name, version } = await readConfig(directory);
  await registry.add(name, version, files);
}

/** Runs `deno` to its end and returns what it printed. */
async function deno(args: string[], options: Deno.CommandOptions): Promise<string> {
  const signal = AbortSignal.timeout(DEADLINE);
  const command = new Deno.Command("deno", { args, signal, ...options });
  const { success, stdout, stderr } = await command.output();
  const decoder = new TextDecoder();
  assert(success, `deno ${args.join(" ")} failed:\n${decoder.decode(stderr)}`);
  return decoder.decode(stdout);
}

/** A server program that runs until it is disposed of. */
interface Program extends AsyncDisposable {
  /** The port that it says it listens on. */
  readonly port: Promise<number>;
}

function start(args: string[], options: Deno.CommandOptions): Program {
  const command = new Deno.Command("deno", {
    args,
    ...options,
    signal: AbortSignal.timeout(DEADLINE),
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
  const child = command.spawn();
  const { promise: port, resolve, reject } = Promise.withResolvers<number>();
  let printed = "";
  const follow = async (stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<void> => {
    for await (const text of stream.pipeThrough(new TextDecoderStream())) {
      printed += text;
      const found = /(?:(?<!http:\/\/)127\.0\.0\.1|port)\W+(\d+)\D/.exec(printed)?.[1];
      if (found) resolve(Number(found));
    }
  };
  const ended = Promise.all([follow(child.stdout), follow(child.stderr)])
    .then(() => reject(new Error(`ended without saying where it listens:\n${printed}`)));
  return {
    port,
    async [Symbol.asyncDispose](): Promise<void> {
      await child[Symbol.asyncDispose]();
      await ended;
    },
  };
}

/** Starts a server program, is greeted by it and ends it. */
async function meet(args: string[], options: Deno.CommandOptions): Promise<void> {
  await using program = start(args, options);
  using conn = await Deno.connect({ hostname: "127.0.0.1", port: await program.port });
  const say = (words: string): Promise<number> => conn.write(new TextEncoder().encode(words));
  const hear = async (words: string): Promise<void> => {
    const bytes = new Uint8Array(words.length);
    let filled = 0;
    while (filled < bytes.length) {
      filled += await conn.read(bytes.subarray(filled)) ?? fail(`closed instead of: ${words}`);
    }
    assertEquals(new TextDecoder().decode(bytes), words);
  };
  await hear("welcome!");
  await say("rose");
  await hear("hello, rose!");
  await say("exit");
  assertEquals(await conn.read(new Uint8Array(1)), null);
}

Deno.test("the package can be published, then run and imported from an empty directory", {
  ignore: !canNet || !canRead || !canWrite || !await canRun("deno"),
}, async (t) => {
  await using registry = startRegistry();
  await using cache = await makeTempDir();
  await using empty = await makeTempDir();
  const { name, version, exports } = await readConfig("");
  const env = { JSR_URL: registry.url, NO_COLOR: "1" };
  // A test run that measures coverage hands its directory down; what goes away is not to be measured.
  const unmeasured = { DENO_COVERAGE_DIR: `${cache.path}/coverage` };
  const user = { cwd: empty.path, env: { ...env, ...unmeasured, DENO_DIR: cache.path } };
  for (const standIn of ["std/assert/", "std/cli/", "std/log/"]) {
    await addStandIn(registry, standIn);
  }

  await deno(["publish", "--token=any", "--allow-dirty", "--no-provenance"], { cwd: ROOT, env });

  await t.step("what is shipped holds the library and nothing else", () => {
    const shipped = [...registry.files(name, version).keys()];
    assertArrayIncludes(shipped, ["LICENSE", "README.md", "CHANGELOG.md", "mod.ts", "server.ts"]);
    assertEquals(shipped.filter((path) => !SHIPPED.some((known) => known.test(path))), []);
  });

  await t.step("what the README and SECURITY.md lead to is shipped", () => {
    const files = registry.files(name, version);
    for (const file of ["README.md", "SECURITY.md"]) {
      const text = new TextDecoder().decode(files.get(file));
      const links = [...text.matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)].map(([, path]) => path!);
      assertArrayIncludes(links, ["docs/security.md"]);
      const missing = links.filter((path) =>
        !files.has(path.endsWith("/") ? `${path}README.md` : path)
      );
      assertEquals(missing.filter((path) => !NOT_SHIPPED.includes(path)), []);
    }
  });

  for (const entry of Object.keys(exports)) {
    const specifier = `jsr:${name}${entry.slice(1)}`;
    const program = PROGRAM_ENTRIES.includes(entry);
    await t.step(`${specifier} has ${program ? "known" : "no"} dependencies`, async () => {
      const own = `${registry.url}${name}/${version}/`;
      const info = JSON.parse(await deno(["info", "--json", specifier], user));
      const modules: Module[] = info.modules.filter((module: Module) =>
        module.specifier.startsWith(own)
      );
      assertGreater(modules.length, 0);
      const outside = modules.flatMap((module) => module.dependencies ?? [])
        .map((dependency) => dependency.specifier)
        .filter((imported) => !/^(\.|node:)/.test(imported));
      assertEquals(outside.filter((imported) => !program || !DEPENDENCY.test(imported)), []);
    });
  }

  await t.step("the server runs as a program", async () => {
    const address = `jsr:${name}/server`;
    await meet(["run", "--quiet", "--allow-net", address, "--port", "0"], user);
  });

  // JSR itself is allowed by default.
  const allowed = ["--allow-net", `--allow-import=${new URL(registry.url).host}`];

  await t.step("the server runs in workers", async () => {
    const address = `jsr:${name}/server`;
    await meet(["run", "--quiet", ...allowed, address, "--port", "0", "--workers", "2"], user);
  });

  await t.step("a program that serves a module of its own in workers works", async () => {
    await Deno.writeTextFile(`${empty.path}/service.ts`, SERVICE);
    await Deno.writeTextFile(`${empty.path}/workers.ts`, WORKERS);
    await meet(["run", "--quiet", ...allowed, "--allow-read=.", "workers.ts"], user);
  });

  await t.step("a program that imports the package works", async () => {
    await Deno.writeTextFile(`${empty.path}/greet.ts`, PROGRAM);
    await meet(["run", "--quiet", "--check", "--allow-net", "greet.ts"], user);
  });
});
