// The server program with `--workers`.

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { connect, type Frames, type Session } from "../../mod.ts";
import { hasNats, startNats } from "../_nats.ts";
import { assertOneLine, cannotStart, Client, run } from "../_programs.ts";
import { canSys, canUnix } from "../_permissions.ts";
import { serving, startServer } from "../_server_program.ts";
import { readAll } from "../_serving.ts";
import { makeTempDir } from "../_temp_dir.ts";

const ignore = cannotStart || Deno.build.os !== "linux";
const ROOT = new URL("../../", import.meta.url).pathname;
const READ = `--allow-read=${ROOT}`;

Deno.test(
  { name: "server.ts --workers serves in each, and stops by a signal", ignore },
  async () => {
    await using server = await serving(["--allow-net", READ], "--port=0", "--workers=2");
    const port = Number(server.place.split(":")[1]);
    for (let visit = 0; visit < 10; visit++) {
      using client = await Client.connect(port);
      await client.hear("welcome!");
      await client.say("rose");
      await client.hear("hello, rose!");
    }
    server.program.kill("SIGTERM");
    const { code, stderr } = await server.program.ended();
    assertEquals(code, 0);
    assertEquals(stderr.match(/listening on/g)?.length, 1);
    assertEquals(stderr.match(/ started\n/g)?.length, 10);
    assertMatch(stderr, /closed \(127\.0\.0\.1:\d+\)\n$/);
  },
);

Deno.test({
  name: "server.ts --workers --admin changes the log level of the workers",
  ignore: ignore || !canUnix || !canSys,
}, async () => {
  await using dir = await makeTempDir();
  const path = `${dir.path}/admin.sock`;
  const files = `${ROOT},${dir.path}`;
  await using server = await serving(
    ["--allow-net", "--allow-sys", `--allow-read=${files}`, `--allow-write=${dir.path}`],
    ...["--port=0", "--workers=1", "--admin", path, "--admin-control"],
  );
  const port = Number(server.place.split(":")[1]);
  const setLevel = async (level: string): Promise<void> => {
    await using admin = await connect({ path });
    const body = JSON.stringify({ level });
    await admin.send(
      `POST /control/log-level HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    assertStringIncludes(await readAll(admin), `{"done":"the log level is ${level}"}`);
  };
  const visit = async (): Promise<void> => {
    using client = await Client.connect(port);
    await client.hear("welcome!");
  };
  await visit();
  await server.program.stderr.until(/session 1 from .* ended/);
  await setLevel("error");
  await visit();
  await setLevel("info");
  await visit();
  await server.program.stderr.until(/session 3 from .* ended/);
  server.program.kill("SIGTERM");
  const { code, stderr } = await server.program.ended();
  assertEquals([code, /session 2 from \S+ started/.test(stderr)], [0, false], stderr);
});

Deno.test({ name: "server.ts --workers names the worker in its log", ignore }, async () => {
  const formats = {
    text: /\[INF\] parley, worker 0: session 1 from \S+ started\n/,
    json: /"message":"session 1 from \S+ started","logger":"parley","worker":0,/,
  };
  for (const [format, line] of Object.entries(formats)) {
    const args = ["--port=0", "--workers=1", `--log-format=${format}`];
    await using server = startServer(["--allow-net", READ], ...args);
    const [, port] = await server.stderr.until(/listening on 127\.0\.0\.1:(\d+)/);
    using client = await Client.connect(Number(port));
    await client.hear("welcome!");
    await server.stderr.until(line);
    server.kill("SIGTERM");
    const { stderr } = await server.ended();
    assertEquals(stderr.match(/worker/g)?.length, 2, stderr); // that it started, and that it ended
  }
});

Deno.test(
  { name: "server.ts --workers names the permission that is missing", ignore },
  async () => {
    await using program = startServer(["--allow-net"], "--port=0", "--workers=auto");
    const thread = `${ROOT}workers/thread.ts`;
    assertOneLine(await program.ended(), [
      1,
      `no permission for read access to "${thread}": run with --allow-net ${READ}`,
    ]);
  },
);

Deno.test(
  { name: "server.ts --service chat --workers is one room over all workers", ignore },
  async () => {
    const args = ["--port=0", "--workers=3", "--service=chat"];
    await using server = await serving(["--allow-net", READ], ...args);
    const port = Number(server.place.split(":")[1]);
    const names = Array.from({ length: 9 }, (_, at) => `p${at}`);
    const people: { session: Session; heard: Frames<string> }[] = [];
    const hear = async ({ heard }: typeof people[0], wanted: string): Promise<void> => {
      while (await heard.read() !== wanted);
    };
    for (const name of names) {
      const session = await connect({ port });
      const person = { session, heard: session.lines() };
      await session.send(`${name}\n`);
      while (!(await person.heard.read())!.startsWith("* with you: "));
      for (const other of people) await hear(other, `* ${name} joins`);
      people.push(person);
    }
    for (const [at, speaker] of people.entries()) {
      await speaker.session.send(`hello from ${at}\n`);
      for (const other of people) {
        if (other !== speaker) await hear(other, `p${at}: hello from ${at}`);
      }
    }
    await using late = await connect({ port });
    const heard = late.lines();
    assertEquals(await heard.read(), "What is your name?");
    await late.send("late\n");
    const others = (await heard.read())!.replace("* with you: ", "").split(", ");
    assertEquals(others.sort(), names);
    for (const [at, { session }] of people.splice(0, 8).entries()) {
      await session.close();
      await hear(people.at(-1)!, `* p${at} leaves`);
    }
    await Promise.all([people[0]!.session.close(), late.close()]);
    server.program.kill("SIGTERM");
    assertEquals((await server.program.ended()).code, 0);
  },
);

Deno.test(
  {
    name: "server.ts --nats makes one room of several processes",
    ignore: ignore || !hasNats,
  },
  async () => {
    const { program, port } = await startNats();
    await using _nats = program;
    const url = `--nats=nats://127.0.0.1:${port}`;
    const args = ["--port=0", "--service=chat", url];
    await using one = await serving(["--allow-net", READ], ...args, "--workers=2");
    await using other = await serving(["--allow-net"], ...args);
    const [rose, think] = await Promise.all(
      [one, other].map(({ place }) => connect({ port: Number(place.split(":")[1]) })),
    );
    const [roses, thinks] = [rose!.lines(), think!.lines()];
    await rose!.send("rose\n");
    while (await roses.read() !== "* with you: nobody");
    await think!.send("think\n");
    while (await thinks.read() !== "* with you: rose");
    while (await roses.read() !== "* think joins");
    await rose!.send("hello\n");
    while (await thinks.read() !== "rose: hello");
    await Promise.all([rose!.close(), think!.close()]);
    for (const { program } of [one, other]) program.kill("SIGTERM");
    for (const { program } of [one, other]) assertEquals((await program.ended()).code, 0);
  },
);

Deno.test(
  { name: "server.ts --nats says that there is no NATS server, and where", ignore },
  async () => {
    const args = ["--port=0", "--service=chat", "--nats=nats://127.0.0.1:1"];
    const problem = "cannot connect to --nats nats://127.0.0.1:1: connection refused";
    assertOneLine(await run("server.ts", ...args), [1, problem]);
    await using program = startServer(["--allow-net", READ], ...args, "--workers=2");
    const { code, stderr } = await program.ended();
    assertEquals(code, 1);
    assertMatch(stderr, new RegExp(`\nerror: ${problem}\n$`));
  },
);
