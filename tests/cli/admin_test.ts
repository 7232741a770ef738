// `server.ts --admin`.

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { connect } from "../../connect/connect.ts";
import { cannotStart, Client } from "../_programs.ts";
import { canSys, canUnix } from "../_permissions.ts";
import { serving, startServer } from "../_server_program.ts";
import { readAll } from "../_serving.ts";
import { makeTempDir } from "../_temp_dir.ts";

const ignore = cannotStart;
const TOKEN = "a token of at least 16".replaceAll(" ", "-");

Deno.test({ name: "server.ts --admin shows and controls the server", ignore }, async () => {
  await using dir = await makeTempDir();
  const file = `${dir.path}/token`;
  await Deno.writeTextFile(file, `${TOKEN}\n`);
  await using server = await serving(
    ["--allow-net", `--allow-read=${file}`],
    ...["--port", "0", "--admin", "127.0.0.1:0", "--admin-control", "--admin-token", file],
  );
  const [, address] = await server.program.stderr.until(/page for operators is at (\S+)\n/);
  const url = `http://${address}`;
  const ask = async (path: string, init?: RequestInit) => {
    const response = await fetch(url + path, init);
    return [response.status, await response.text()];
  };
  const control = (action: string, body: unknown = {}) =>
    ask(`/control/${action}`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${TOKEN}` },
      body: JSON.stringify(body),
    });
  assertEquals(await ask("/readyz"), [200, "ready\n"]);
  using client = await Client.connect(Number(server.place.split(":")[1]));
  await client.hear("welcome!");
  const [, sessions] = await ask("/sessions.json");
  assertStringIncludes(String(sessions), `"address":"${client.address}"`);
  assertEquals(await control("log-level", { level: "error" }), [
    ...[200, '{"done":"the log level is error"}'],
  ]);
  assertEquals(await control("end", { id: 1 }), [
    200,
    '{"done":"session 1 of greeting was ended"}',
  ]);
  assertEquals(await control("suspend"), [200, '{"done":"greeting was suspended"}']);
  assertEquals(await ask("/readyz"), [503, "greeting is suspended\n"]);
  assertEquals(await control("drain"), [200, '{"done":"greeting drains"}']);
  const { code, stderr } = await server.program.ended();
  assertEquals(code, 0);
  // Nothing of what came after the level was raised is logged.
  assertMatch(stderr, /session 1 from \S+ started\n.*$/);
  assertEquals(/ended|draining|closed/.test(stderr), false, stderr);
});

Deno.test({
  name: "server.ts --admin with a Unix socket is open to its owner, without a token",
  ignore: ignore || !canUnix || !canSys,
}, async () => {
  await using dir = await makeTempDir();
  const path = `${dir.path}/admin.sock`;
  await using server = await serving(
    ["--allow-net", `--allow-read=${path}`, `--allow-write=${path}`, "--allow-sys"],
    ...["--port", "0", "--admin", path, "--admin-control"],
  );
  await server.program.stderr.until(/page for operators is at .+admin\.sock\n/);
  assertEquals((await Deno.stat(path)).mode! & 0o777, 0o600);
  await using client = await connect({ path });
  await client.send("POST /control/drain HTTP/1.1\r\nContent-Type: application/json\r\n\r\n");
  assertStringIncludes(await readAll(client), "greeting drains");
  assertEquals((await server.program.ended()).code, 0);
});

Deno.test({ name: "server.ts --admin says in a line why it cannot", ignore }, async () => {
  await using dir = await makeTempDir();
  const file = `${dir.path}/token`;
  await Deno.writeTextFile(file, "short");
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const place = `127.0.0.1:${taken.addr.port}`;
  const cases: [args: string[], line: RegExp][] = [
    [
      ["--admin", place],
      /^error: cannot listen on --admin 127\.0\.0\.1:\d+: the address is in use \(EADDRINUSE\)$/,
    ],
    [
      ["--admin", "127.0.0.1:0", "--admin-control", "--admin-token", file],
      /^error: cannot use --admin-token: the length of token must be an integer from 16 to 200, got 5$/,
    ],
    [
      ["--admin", "127.0.0.1:0", "--admin-control", "--admin-token", `${file}s`],
      /^error: cannot read --admin-token .*tokens: no such file or directory$/,
    ],
  ];
  for (const [args, line] of cases) {
    await using program = startServer(
      ["--allow-net", `--allow-read=${dir.path}`],
      "--port=0",
      ...args,
    );
    const { code, stderr } = await program.ended();
    assertEquals(code, 1);
    assertMatch(stderr.trim().split("\n").at(-1)!, line);
  }
});
