// The server program with `--workers`.

import { assertEquals, assertMatch } from "@std/assert";
import { assertOneLine, cannotStart, Client } from "../_programs.ts";
import { serving, startServer } from "../_server_program.ts";

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
