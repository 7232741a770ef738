// The server program as a service of systemd.

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { connect } from "../../connect/connect.ts";
import { Holder, startManager, withHolder } from "../_holder.ts";
import { assertOneLine, cannotStart, run } from "../_programs.ts";
import type { Session } from "../../session.ts";
import { makeTempDir } from "../_temp_dir.ts";
import { ask, readAll, until } from "../_serving.ts";

const PROGRAM = ["deno", "run", "--quiet", "--no-prompt"];
const SERVER = ["server.ts", "--systemd", "--service", "echo"];

Deno.test("server.ts --systemd serves on the socket with a name", withHolder, async () => {
  const command = [...PROGRAM, "--allow-env", ...SERVER, "--socket", "echo"];
  await using holder = await Holder.open([{ name: "admin" }, { name: "echo" }], command);
  await holder.start();
  await using client = await connect({ port: holder.ports[1]! });
  assertEquals(await ask(client, "rose"), "rose");
  await client.closeWrite();
  assertEquals(await readAll(client), "");
  assertEquals(await holder.stop(), 0);
  assertMatch(holder.stderr, new RegExp(`listening on 127.0.0.1:${holder.ports[1]}\n`));
});

for (const kind of ["TCP", "a Unix socket"]) {
  Deno.test(
    `server.ts --systemd survives a lack of descriptors on ${kind}`,
    withHolder,
    async () => {
      await using dir = await makeTempDir();
      const path = kind === "TCP" ? undefined : `${dir.path}/socket`;
      const limited = ["bash", "-c", 'ulimit -c 0 -n 64; exec "$@"', "bash"];
      const command = [...limited, ...PROGRAM, "--allow-env", ...SERVER];
      await using holder = await Holder.open([path === undefined ? {} : { path }], command);
      const dial = (): Promise<Session> =>
        connect(path === undefined ? { port: holder.ports[0]! } : { path });
      await holder.start();
      const flood = await Promise.all(Array.from({ length: 100 }, dial));
      await until(() => holder.stderr.includes("Too many open files"));
      for (const client of flood) client.abort();
      // It may still close a connection for want of a descriptor, until it has noticed that the others are gone.
      let answer: string | undefined;
      while (answer !== "rose") {
        await using client = await dial();
        answer = await ask(client, "rose").catch(() => undefined);
      }
      assertEquals(await holder.stop(), 0);
    },
  );
}

Deno.test("server.ts --systemd tells systemd about its states", withHolder, async () => {
  const address = `@parley-${crypto.randomUUID()}`;
  await using manager = await startManager(address);
  const command = [...PROGRAM, "--unstable-net", "--allow-env", "--allow-net", ...SERVER];
  const env = { NOTIFY_SOCKET: address, WATCHDOG_USEC: "100000" };
  await using holder = await Holder.open([{}], command, env);
  await holder.start();
  await manager.stdout.until(/^bound\nREADY=1\nWATCHDOG=1\n/);
  await using client = await connect({ port: holder.ports[0]! });
  assertEquals(await ask(client, "rose"), "rose");
  const stopped = holder.stop();
  await manager.stdout.until(/STOPPING=1\n/);
  await client.close();
  assertEquals(await stopped, 0);
});

Deno.test("server.ts --systemd says what it needs", withHolder, async () => {
  const cases: [flags: string[], env: Record<string, string>, problem: string][] = [
    [[], {}, 'no permission for env access to "LISTEN_PID": run with --allow-net --allow-env'],
    [["--allow-env"], { LISTEN_PID: "1" }, "the sockets are for process 1 (LISTEN_PID), but"],
    [
      ["--allow-env"],
      { NOTIFY_SOCKET: "@x" },
      "telling systemd about this service (NOTIFY_SOCKET)",
    ],
  ];
  for (const [flags, env, problem] of cases) {
    await using holder = await Holder.open([{}], [...PROGRAM, ...flags, ...SERVER], env);
    await holder.start();
    assertEquals(await holder.ended(), 1);
    await until(() => holder.stderr.includes("\n"));
    assertStringIncludes(holder.stderr, `error: ${problem}`);
    assertEquals(holder.stderr.trimEnd().split("\n").length, 1);
  }
});

Deno.test(
  { name: "server.ts refuses options that exclude --systemd", ignore: cannotStart },
  async () => {
    const cases: [args: string[], problem: string][] = [
      [
        ["--systemd", "--port", "0"],
        "--systemd and --port exclude each other: systemd opens the socket",
      ],
      [
        ["--systemd", "--unix", "/x"],
        "--systemd and --unix exclude each other: systemd opens the socket",
      ],
      [
        ["--systemd", "--workers", "2"],
        "--workers and --systemd exclude each other: workers share a TCP port",
      ],
      [
        ["--systemd", "--transport", "deno"],
        "--systemd needs --transport node, which is its default",
      ],
      [["--socket", "echo"], "--socket is of no use without --systemd"],
    ];
    for (const [args, problem] of cases) {
      assertOneLine(await run("server.ts", ...args), [2, `${problem} (see --help)`]);
    }
  },
);
