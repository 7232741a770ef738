import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { connect } from "../../../connect/connect.ts";
import { type HeldSocket, Holder, moduleIn, withHolder } from "../../_holder.ts";
import { ask, bounded } from "../../_serving.ts";
import { isInstalled, Program } from "../../_programs.ts";
import { makeTempDir } from "../../_temp_dir.ts";

const ENV = "--allow-env=LISTEN_PID,LISTEN_FDS,LISTEN_FDNAMES";

/** Serves until SIGTERM, on what `listenFd()` gives for each of some options. */
function serviceOf(...options: string[]): string {
  return `
    import process from "node:process";
    import { serve } from "library/serve/serve.ts";
    import { listenFd } from "library/transport/systemd/listen_fd.ts";
    const servers = [${options.join(", ")}].map((options, at) => {
      const listener = listenFd(options);
      return serve({ listener }, async (session) => {
        for await (const line of session.lines()) await session.send(line + at + "\\n");
      });
    });
    for (const { listening } of servers) console.log(JSON.stringify(await listening));
    process.on("SIGTERM", () => servers.forEach((server) => server.shutdown()));
  `;
}

/** Asks at a port or a path. */
async function answerAt(place: number | string): Promise<string | undefined> {
  const where = typeof place === "number" ? { port: place } : { path: place.replace("@", "\0") };
  await using client = await connect(where);
  return await ask(client, "rose");
}

for (const kind of ["TCP", "a Unix socket", "an abstract name"]) {
  for (const way of ["handle", "public"]) {
    Deno.test(
      `listenFd() gives the socket that was passed, on ${kind} (${way})`,
      withHolder,
      async () => {
        await using dir = await makeTempDir();
        const path = kind === "TCP"
          ? undefined
          : kind === "a Unix socket"
          ? `${dir.path}/socket`
          : `@parley-${crypto.randomUUID()}`;
        const without = way === "handle" ? "" : `
        import { runtime } from "library/transport/node/handles.ts";
        runtime.handles = () => undefined;
      `;
        const command = await moduleIn(dir, without + serviceOf("undefined"), ENV);
        await using holder = await Holder.open([path === undefined ? {} : { path }], command);
        const [port] = holder.ports;
        const place = path ?? port!;
        for (const _ of [1, 2]) { // the socket outlives the program
          const answer = answerAt(place); // it waits in the queue until there is one
          await holder.start();
          assertEquals(await answer, "rose0");
          assertEquals(await answerAt(place), "rose0");
          assertEquals(await holder.stop(), 0, holder.stderr);
        }
        const addr = path === undefined
          ? { transport: "tcp", hostname: "127.0.0.1", port }
          : { transport: "unix", path: "" };
        assertEquals(holder.stdout, `${JSON.stringify(addr)}\n`.repeat(2));
        if (kind === "a Unix socket") assert((await Deno.lstat(path!)).isSocket);
      },
    );
  }
}

Deno.test("listenFd() chooses by name and index", withHolder, async () => {
  await using dir = await makeTempDir();
  const service = serviceOf('{ name: "b" }', '{ name: "a", index: 1 }', "{ index: 0 }");
  const command = await moduleIn(dir, service, ENV);
  const sockets = ["a", "a", "b"].map((name) => ({ name }));
  await using holder = await Holder.open(sockets, command);
  await holder.start();
  assertEquals(await Promise.all(holder.ports.map(answerAt)), ["rose2", "rose1", "rose0"]);
  assertEquals(await holder.stop(), 0, holder.stderr);
});

Deno.test("listenFd() takes the names that systemd-socket-activate gives", {
  ...bounded,
  ignore: withHolder.ignore || !await isInstalled("systemd-socket-activate", "--version"),
}, async () => {
  await using dir = await makeTempDir();
  const [one, two] = ["one", "two"].map((name) => `${dir.path}/${name}`);
  const command = await moduleIn(dir, serviceOf('{ name: "two" }', '{ name: "one" }'), ENV);
  const sockets = ["--listen", one!, "--listen", two!, "--fdname", "one:two"];
  await using program = new Program("systemd-socket-activate", [...sockets, ...command]);
  await program.stderr.until(/Listening on .*two/);
  assertEquals(await Promise.all([one!, two!].map(answerAt)), ["rose1", "rose0"]);
  program.kill("SIGTERM");
  const { code, stdout } = await program.ended();
  assertEquals([code, stdout], [0, '{"transport":"unix","path":""}\n'.repeat(2)]);
});

/** Each line is an environment, options and the beginning of the error. */
const PROBLEMS: [env: Record<string, string>, options: string, problem: string][] = [
  [{ LISTEN_PID: "" }, "{}", "no socket was passed to this process"],
  [{ LISTEN_FDS: "" }, "{}", "no socket was passed to this process"],
  [{ LISTEN_PID: "1" }, "{}", "the sockets are for process 1 (LISTEN_PID), but this is process "],
  [{ LISTEN_FDS: "0" }, "{}", 'LISTEN_FDS must be the number of sockets, got "0"'],
  [{ LISTEN_FDS: "x" }, "{}", 'LISTEN_FDS must be the number of sockets, got "x"'],
  [{ LISTEN_FDS: "99999999" }, "{}", "LISTEN_FDS must be the number of sockets"],
  [{ LISTEN_FDNAMES: "a" }, "{}", 'LISTEN_FDS is 2, but LISTEN_FDNAMES is "a"'],
  [{}, "{}", 'there is more than one socket ("unknown", "unknown"): choose one by name or index'],
  [{ LISTEN_FDNAMES: "a:b" }, '{ name: "c" }', 'there is no socket with the name "c" ("a", "b")'],
  [{ LISTEN_FDNAMES: "a:a" }, '{ name: "a" }', 'there is more than one socket with the name "a"'],
  [{}, "{ index: 2 }", "there is no socket at index 2"],
  [{}, "{ index: 0 }", "none"],
  [{}, "{ index: 0 }", "descriptor 3 is taken already: call listenFd() once for each socket"],
];

Deno.test("listenFd() says why there is no socket", withHolder, async () => {
  await using dir = await makeTempDir();
  const cases = PROBLEMS.map(([env, options]) => `[${JSON.stringify(env)}, ${options}]`);
  const command = await moduleIn(
    dir,
    `
    import process from "node:process";
    import { listenFd } from "library/transport/systemd/listen_fd.ts";
    const own = { LISTEN_PID: process.pid, LISTEN_FDS: "2", LISTEN_FDNAMES: "" };
    for (const [env, options] of [${cases}]) {
      Object.assign(process.env, own, env);
      try {
        listenFd(options).unref();
        console.log("none");
      } catch (error) {
        console.log(error instanceof TypeError ? error.message : error);
      }
    }
  `,
    "--allow-env",
  );
  await using holder = await Holder.open([{}, {}], command);
  await holder.start();
  assertEquals(await holder.ended(), 0, holder.stderr);
  const lines = holder.stdout.trimEnd().split("\n");
  assertEquals(lines.length, PROBLEMS.length);
  for (const [at, [, , problem]] of PROBLEMS.entries()) assertStringIncludes(lines[at]!, problem);
});

Deno.test("listenFd() names the permission that it needs", withHolder, async () => {
  await using dir = await makeTempDir();
  const command = await moduleIn(dir, serviceOf("undefined"));
  await using holder = await Holder.open([{}], command);
  await holder.start();
  assertEquals(await holder.ended(), 1);
  assertMatch(holder.stderr, /NotCapable: Requires env access to "LISTEN_PID"/);
});

const NO_LISTENERS: [what: string, HeldSocket][] = [
  ["a file", { kind: "file" }],
  ["a datagram socket", { kind: "datagram" }],
];
for (const [what, socket] of NO_LISTENERS) {
  for (const way of ["handle", "public"]) {
    Deno.test(`listenFd() refuses ${what} (${way})`, withHolder, async () => {
      await using dir = await makeTempDir();
      const without = way === "handle" ? "" : "runtime.handles = () => undefined;";
      const command = await moduleIn(
        dir,
        `
        import { serve } from "library/serve/serve.ts";
        import { runtime } from "library/transport/node/handles.ts";
        import { listenFd } from "library/transport/systemd/listen_fd.ts";
        ${without}
        const server = serve({ listener: listenFd() }, () => {});
        await server.listening.catch((error) => console.log(error.name, error.message));
        await server.finished;
      `,
        ENV,
      );
      await using holder = await Holder.open([socket], command);
      await holder.start();
      assertEquals(await holder.ended(), 0, holder.stderr);
      const problem = "it is not a stream socket that listens";
      assertEquals(holder.stdout, `TypeError cannot listen on descriptor 3: ${problem}\n`);
    });
  }
}
