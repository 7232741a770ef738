// `--capture` of both programs.

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { cannotStart } from "../_programs.ts";
import { runClient } from "../_client_program.ts";
import { serving, startServer } from "../_server_program.ts";
import { makeTempDir } from "../_temp_dir.ts";
import { commentsOf, overTshark, streamsOf } from "../_tshark.ts";

const options = { ...overTshark, ignore: overTshark.ignore || cannotStart };

/** The permissions that a file of captures takes. */
function permissionsFor(file: string): string[] {
  const files = ["", ".1", ".2", ".3"].map((end) => file + end).join(",");
  return ["--allow-net", `--allow-read=${files}`, `--allow-write=${files}`];
}

Deno.test("server.ts and client.ts --capture write what both say", options, async () => {
  await using dir = await makeTempDir();
  const [ours, theirs] = [`${dir.path}/server.pcapng`, `${dir.path}/client.pcapng`];
  await using server = await serving(
    permissionsFor(ours),
    ...["--port", "0", "--capture", ours, "--admin", "127.0.0.1:0"],
  );
  const [, admin] = await server.program.stderr.until(/page for operators is at (\S+)\n/);
  const port = server.place.split(":")[1]!;
  const { code, stdout, stderr } = await runClient(permissionsFor(theirs), [
    ...["--port", port, "--capture", theirs, "rose", "think"],
  ]);
  assertEquals([code, stdout], [0, "welcome!\nhello, rose!\nhello, think!\n"]);
  assertEquals(
    stderr,
    `warning: --capture ${theirs} holds all that is sent and received, also within TLS, and passwords\n`,
  );
  const metrics = await (await fetch(`http://${admin}/metrics`)).text();
  assertStringIncludes(metrics, 'parley_capture_sessions_total{parley_capture_name="greeting"} 1');
  server.program.kill("SIGTERM");
  const ended = await server.program.ended();
  assertEquals(ended.code, 0);
  assertStringIncludes(ended.stderr, `[WRN] parley: --capture ${ours} holds all that is sent`);
  for (const file of [ours, theirs]) {
    const [stream] = await streamsOf(file, 1);
    assertEquals(new TextDecoder().decode(stream!.forth), "rosethinkexit");
    assertEquals(new TextDecoder().decode(stream!.back), "welcome!hello, rose!hello, think!");
    assertMatch((await commentsOf(file)).at(-1)!, /^ended: (local|peer), after/);
  }
});

Deno.test("client.ts --reconnect --capture has every session", options, async () => {
  await using dir = await makeTempDir();
  const file = `${dir.path}/client.pcapng`;
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const say = (text: string) => new TextEncoder().encode(text);
  const served = (async () => {
    for (const answer of [undefined, "hello, rose!"]) {
      using connection = await listener.accept();
      await connection.write(say("welcome!"));
      await connection.read(new Uint8Array(16)); // a name
      if (answer === undefined) continue; // which is lost
      await connection.write(say(answer));
      await connection.read(new Uint8Array(16)); // exit
    }
  })();
  const { code } = await runClient(permissionsFor(file), [
    ...["--port", String(listener.addr.port), "--reconnect", "--capture", file, "rose"],
  ]);
  await served;
  assertEquals(code, 0);
  const texts = (await streamsOf(file, 2)).map(({ forth }) => new TextDecoder().decode(forth));
  assertEquals(texts, ["rose", "roseexit"]);
});

Deno.test("server.ts --capture names the permissions that it needs", options, async () => {
  await using dir = await makeTempDir();
  const file = `${dir.path}/a`;
  await using server = startServer(["--allow-net"], "--port", "0", "--capture", file);
  const { code, stderr } = await server.ended();
  assertEquals(code, 1);
  assertStringIncludes(stderr, `--allow-write=${file},${file}.1,${file}.2,${file}.3`);
});
