// The package as npm users get it: its types, and what it does on each runtime.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { badCertificates } from "../_bad_certificates.ts";
import { type Certificate, makeCertificate, makeCertificates } from "../_certificates.ts";
import { cannotTls } from "../_certificates.ts";
import { Holder } from "../_holder.ts";
import { canRun } from "../_permissions.ts";
import { until } from "../_serving.ts";
import { makeTempDir } from "../_temp_dir.ts";
import type { Pem, Pems } from "./_harness.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
/** Where .ci/run, or `deno task runtimes`, installs the runtimes. */
const INSTALLED = `${ROOT}.runtimes/node_modules`;
const RUNTIMES: Record<string, string[]> = {
  Deno: ["deno", "run", "--allow-all", "--node-modules-dir=manual"],
  "Node 22": [`${INSTALLED}/node22/bin/node`],
  "Node 24": [`${INSTALLED}/node24/bin/node`],
  Bun: [`${INSTALLED}/bun/bin/bun.exe`],
};
const DEADLINE = 240_000;
const TSCONFIG = {
  compilerOptions: {
    strict: true,
    exactOptionalPropertyTypes: true,
    noEmit: true,
    skipLibCheck: false,
    module: "nodenext",
    target: "es2023",
    lib: ["esnext"],
    types: ["node"],
    typeRoots: [`${INSTALLED}/@types`],
    allowImportingTsExtensions: true,
  },
};

const isInstalled = !cannotTls && await canRun("bash") && await exists(INSTALLED);
if (!isInstalled) console.log("no runtimes are installed: run deno task runtimes");

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

/** A command, which may be at any path. */
function commandOf(command: string[], options: Deno.CommandOptions): Deno.Command {
  const args = ["-c", 'exec "$@"', "bash", ...command];
  const signal = AbortSignal.timeout(DEADLINE);
  return new Deno.Command("bash", { args, signal, stdin: "null", ...options });
}

async function run(command: string[], cwd: string): Promise<Deno.CommandOutput> {
  return await commandOf(command, { cwd }).output();
}

/** Serves a greeting by the command of the package, and talks to it by the other one. */
async function greet(command: string[], cwd: string): Promise<void> {
  const bin = `${cwd}/node_modules/@parley/tcp/bin`;
  const serving = [...command, `${bin}/server.js`, "--port", "0", "--log-format", "json"];
  const server = commandOf(serving, { cwd, stderr: "piped", stdout: "null" }).spawn();
  const log = server.stderr.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes("\n")) text += (await log.read()).value ?? "\n";
  const [, port] = /listening on 127\.0\.0\.1:(\d+)/.exec(text) ?? [];
  assert(port !== undefined, text);

  const names = ["--port", port, "rose", "tulip"];
  const client = await run([...command, `${bin}/client.js`, ...names], cwd);
  assertEquals(textOf(client), "welcome!\nhello, rose!\nhello, tulip!\n");
  const raw = commandOf([...command, `${bin}/client.js`, "--raw", "--port", port], {
    cwd,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  await new Response("lily\n").body!.pipeTo(raw.stdin);
  assertEquals(textOf(await raw.output()), "welcome!hello, lily!");

  server.kill("SIGTERM");
  while (!(await log.read()).done);
  assertEquals((await server.status).code, 0);

  for (const name of ["server", "client"]) {
    const help = textOf(await run([...command, `${bin}/${name}.js`, "--help"], cwd));
    const isDeno = command[0] === "deno";
    assert(
      help.includes(`Usage: ${isDeno ? `deno run --allow-net ${name}.ts` : `parley-${name}`} [`),
    );
    assertEquals(/those of Deno\. Here, none is needed\.\n$/.test(help), !isDeno, help);
  }
}

function textOf({ stdout, stderr }: Deno.CommandOutput): string {
  const decoder = new TextDecoder();
  return decoder.decode(stdout) + decoder.decode(stderr);
}

async function makePems(): Promise<Pems> {
  const certificates = await makeCertificates();
  const { ca, server, client } = certificates;
  const pem = ({ cert, key }: Certificate): Pem => ({ cert, key });
  const [bad, other] = await Promise.all([
    Promise.all((["server", "client"] as const).map((role) => badCertificates(certificates, role))),
    makeCertificate({
      subject: "/CN=other",
      extensions: ["subjectAltName=DNS:other.example"],
      by: ca,
    }),
  ]);
  const intermediate = await makeCertificate({
    subject: "/CN=intermediate",
    extensions: ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"],
    by: ca,
  });
  const chained = await makeCertificate({
    subject: "/CN=chained",
    extensions: ["subjectAltName=DNS:localhost"],
    by: intermediate,
  });
  const [badServers, badClients] = bad.map((all) =>
    all.map(([name, certificate, problem]) => ({ name, problem, ...pem(certificate) }))
  );
  return {
    ca: ca.cert,
    server: pem(server),
    other: pem(other),
    client: pem(client),
    intermediate: intermediate.cert,
    chained: { cert: chained.cert + intermediate.cert, key: chained.key },
    badServers: badServers!,
    badClients: badClients!,
  };
}

/** Makes the package and installs it in an empty folder, beside the scenarios. */
async function install(directory: string): Promise<void> {
  const packed = await run(["deno", "task", "pack:npm", directory], ROOT);
  assert(packed.success, textOf(packed));
  await Deno.writeTextFile(`${directory}/package.json`, '{ "type": "module" }');
  const [name] = await Array.fromAsync(Deno.readDir(directory)).then((all) =>
    all.map(({ name }) => name).filter((name) => name.endsWith(".tgz"))
  );
  const installed = await run(
    ["npm", "install", "--no-audit", "--no-fund", `./${name}`],
    directory,
  );
  assert(installed.success, textOf(installed));
  const here = new URL("./", import.meta.url).pathname;
  for await (const { name } of Deno.readDir(here)) {
    if (name.startsWith("_")) await Deno.copyFile(`${here}${name}`, `${directory}/${name}`);
  }
  await Deno.writeTextFile(`${directory}/certificates.json`, JSON.stringify(await makePems()));
}

/** The time of processors that a process takes within a second, in hundredths of a second. */
async function ticksWithinSecond(pid: number): Promise<number> {
  const count = async (): Promise<number> => {
    const command = ["-c", 'cut -d " " -f 14,15 "/proc/$0/stat"', `${pid}`];
    const { stdout } = await new Deno.Command("bash", { args: command }).output();
    const [user, system] = new TextDecoder().decode(stdout).split(" ").map(Number);
    return user! + system!;
  };
  const before = await count();
  await new Promise((resolve) => setTimeout(resolve, 1000));
  return await count() - before;
}

/** Takes more descriptors than a server has, gives them back, and asks whether it still answers. */
async function flood(command: string[], cwd: string): Promise<void> {
  const flooded = ["bash", "-c", 'ulimit -n 100; exec "$@"', "bash", ...command, "_flooded.ts"];
  const server = commandOf(flooded, { cwd, stdout: "piped", stderr: "null" }).spawn();
  const output = server.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const port = Number((await output.read()).value);
  const dial = (): Promise<Deno.TcpConn> => Deno.connect({ hostname: "127.0.0.1", port });
  const flood = await Promise.allSettled(Array.from({ length: 300 }, dial));
  // They all have said something, so that none is closed for want of a descriptor. Nothing is to do for the server now.
  const greeting = new TextEncoder().encode("hello\n");
  for (const one of flood) {
    if (one.status === "fulfilled") one.value.write(greeting).catch(() => {});
  }
  while (await ticksWithinSecond(server.pid) > 5);
  for (const one of flood) if (one.status === "fulfilled") one.value.close();
  // The server may still close a connection for want of a descriptor, until it has noticed that the others are gone.
  let text = "";
  while (text !== "re:rose\n") text = await ask(await dial()).catch(() => "");
  server.kill("SIGKILL");
  while (!(await output.read()).done);
  await server.status;
}

/** Collects garbage, which must not take memory. */
async function collect(command: string[], cwd: string): Promise<void> {
  const output = await run([...command, "_collecting.ts"], cwd);
  assert(output.success, textOf(output));
  assert(Number(textOf(output)) < 500, `the process has grown by ${textOf(output)} MiB`);
}

/** Passes a socket to the command of the package, and asks there. What is told to systemd is for Deno. */
async function activate(command: string[], cwd: string): Promise<void> {
  const server = [...command, `${cwd}/node_modules/@parley/tcp/bin/server.js`];
  const there = ["bash", "-c", 'cd "$0" && exec "$@"', cwd, ...server];
  const options = ["--systemd", "--socket", "b", "--service", "echo"];
  const sockets = [{ name: "a", path: `${cwd}/a` }, { name: "b", path: `${cwd}/b` }];
  for (const env of [{}, { NOTIFY_SOCKET: "@parley" }]) {
    await using holder = await Holder.open(sockets, [...there, ...options], env);
    await holder.start();
    if ("NOTIFY_SOCKET" in env) {
      assertEquals(await holder.ended(), 1);
      await until(() => holder.stderr.includes("\n"));
      assertStringIncludes(holder.stderr, "error: telling systemd about this service");
    } else {
      const dial = (): Promise<Deno.Conn> => Deno.connect({ transport: "unix", path: `${cwd}/b` });
      assertEquals(await ask(await dial()), "rose\n");
      assertEquals(await holder.stop(), 0, holder.stderr);
    }
    for (const { path } of sockets) await Deno.remove(path); // which were not removed
  }
}

/** Passes two sockets to a program that listens on them by `listenFd()`, and asks on both. */
async function listenOnPassed(command: string[], cwd: string): Promise<void> {
  const path = `${cwd}/passed`;
  const there = ["bash", "-c", 'cd "$0" && exec "$@"', cwd, ...command, "_activated.ts"];
  await using holder = await Holder.open([{ name: "tcp" }, { name: "unix", path }], there);
  await holder.start();
  const [port] = holder.ports as [number];
  assertEquals(await ask(await Deno.connect({ hostname: "127.0.0.1", port })), "tcp:rose\n");
  assertEquals(await ask(await Deno.connect({ transport: "unix", path })), "unix:rose\n");
  assertEquals(await holder.stop(), 0, holder.stderr);
  await Deno.remove(path);
}

/** Sends a line, and returns the answer. */
async function ask(connection: Deno.Conn): Promise<string> {
  using client = connection;
  await client.write(new TextEncoder().encode("rose\n"));
  const answer = new Uint8Array(100);
  const count = await client.read(answer);
  return new TextDecoder().decode(answer.subarray(0, count ?? 0));
}

Deno.test("The package for npm works on each runtime", { ignore: !isInstalled }, async (t) => {
  await using directory = await makeTempDir();
  const { path } = directory;
  await install(path);

  await t.step(
    "its only files are JavaScript, types and documents, without dependencies",
    async () => {
      const root = `${path}/node_modules/@parley/tcp`;
      const { dependencies, bin } = JSON.parse(await Deno.readTextFile(`${root}/package.json`));
      assertEquals(dependencies, undefined);
      assertEquals(Object.keys(bin), ["parley-server", "parley-client"]);
    },
  );

  await t.step("a strict consumer's types check, without those of Deno", async () => {
    await Deno.writeTextFile(`${path}/tsconfig.json`, JSON.stringify(TSCONFIG));
    await Deno.symlink(`${INSTALLED}/@types`, `${path}/node_modules/@types`);
    await Deno.symlink(`${INSTALLED}/undici-types`, `${path}/node_modules/undici-types`);
    const node = RUNTIMES["Node 24"]!;
    const checked = await run([...node, `${INSTALLED}/typescript/bin/tsc`], path);
    assert(checked.success, textOf(checked));
  });

  for (const [name, command] of Object.entries(RUNTIMES)) {
    await t.step(name, async () => {
      const output = await run([...command, "_main.ts"], path);
      const last = new TextDecoder().decode(output.stdout).trimEnd().split("\n").at(-1)!;
      assert(last.startsWith("{"), textOf(output));
      const { count, failures } = JSON.parse(last);
      assertEquals(failures, []);
      assert(output.success && count > 50, textOf(output));
    });

    await t.step(`a flood on ${name}`, () => flood(command, path));
    await t.step(`a collection of garbage on ${name}`, () => collect(command, path));
    await t.step(`the programs on ${name}`, () => greet(command, path));
    await t.step(`a socket that was passed, on ${name}`, () => activate(command, path));
    await t.step(`listenFd() on ${name}`, () => listenOnPassed(command, path));
  }
});
