// The server program on a Unix socket.

import { assertEquals, assertFalse, assertMatch, assertStringIncludes } from "@std/assert";
import { hasDenoSockets } from "../../_internal/deno_sockets.ts";
import { assertOneLine, cannotStart } from "../_programs.ts";
import { canUnix } from "../_permissions.ts";
import { cannotRun, runCommand, serving, startServer } from "../_server_program.ts";
import { makeTempDir } from "../_temp_dir.ts";
import { isDisturbing } from "../_thrown.ts";

const ignore = cannotStart || !canUnix;

/** The permissions that a socket in this directory takes. */
function permissionsFor(path: string): string[] {
  return ["--allow-net", `--allow-read=${path}`, `--allow-write=${path}`];
}

/** Says `rose` there. */
async function greet(path: string): Promise<void> {
  using conn = await Deno.connect({ transport: "unix", path });
  await conn.write(new TextEncoder().encode("rose"));
  await conn.closeWrite();
  let heard = "";
  for (const buffer = new Uint8Array(100);;) {
    const count = await conn.read(buffer);
    if (count === null) break;
    heard += new TextDecoder().decode(buffer.subarray(0, count));
  }
  assertEquals(heard, "welcome!hello, rose!");
}

async function modeOf(path: string): Promise<string> {
  return ((await Deno.lstat(path)).mode! & 0o7777).toString(8);
}

Deno.test({ name: "server.ts --unix listens on a socket and removes it", ignore }, async () => {
  await using dir = await makeTempDir();
  const path = `${dir.path}/greet.sock`;
  await using server = await serving(
    [...permissionsFor(path), "--allow-sys"],
    "--unix",
    path,
    "--mode",
    "640",
  );
  assertEquals(server.place, path);
  assertEquals(await modeOf(path), "640");
  await greet(path);
  server.program.kill("SIGTERM");
  const { code, stderr } = await server.program.ended();
  assertEquals(code, 0);
  assertMatch(stderr, /session 1 from unix socket ended: peer, .* 4 bytes in, 20 bytes out\n/);
  assertEquals(await Array.fromAsync(Deno.readDir(dir.path)), []);
});

/** Comes from a socket that it has named so, in the abstract namespace. */
const NAMED = `
import socket, sys
client = socket.socket(socket.AF_UNIX)
client.bind("\\0\\x1b[2Jrose\\u202e\\n[ERR] forged")
client.connect(sys.argv[1])
client.recv(8)
`;

Deno.test({
  name: "server.ts --unix lets no client forge a line of the log by its name",
  // The node transport does not know the names of clients.
  ignore: ignore || !hasDenoSockets || Deno.build.os !== "linux" || await cannotRun("python3"),
}, async () => {
  await using dir = await makeTempDir();
  const path = `${dir.path}/greet.sock`;
  await using server = await serving(permissionsFor(path), "--unix", path);
  assertEquals((await runCommand("python3", ["-c", NAMED, path])).code, 0);
  const { stderr } = server.program;
  const name = String.raw`@\x1b[2Jrose\u202e\n[ERR] forged`;
  await stderr.until(/session 1 .* ended.*\n/);
  assertStringIncludes(stderr.text, `[INF] parley: session 1 from ${name} started\n`);
  assertFalse(isDisturbing(stderr.text));
});

for (
  const [command, argsFor] of [
    ["nc", (path: string) => ["-N", "-U", path]],
    ["socat", (path: string) => ["-t60", "-", `UNIX-CONNECT:${path}`]],
  ] as const
) {
  Deno.test({
    name: `server.ts --unix serves ${command}`,
    ignore: ignore || await cannotRun(command),
  }, async () => {
    await using dir = await makeTempDir();
    const path = `${dir.path}/greet.sock`;
    await using _server = await serving(
      [...permissionsFor(path), "--allow-sys"],
      "--unix",
      path,
      "--mode=0600",
    );
    assertEquals(await modeOf(path), "600");
    const result = await runCommand(command, argsFor(path), "rose\n");
    assertEquals(result, { code: 0, stdout: "welcome!hello, rose!", stderr: "" });
  });
}

Deno.test(
  { name: "server.ts --unix replaces what a killed server has left, and no other", ignore },
  async () => {
    await using dir = await makeTempDir();
    const path = `${dir.path}/greet.sock`;
    await using killed = await serving(permissionsFor(path), "--unix", path);
    killed.program.kill("SIGKILL");
    await killed.program.ended();
    await using server = await serving(permissionsFor(path), "--unix", path);
    await greet(path);
    await using second = startServer(permissionsFor(path), "--unix", path);
    const { code, stderr } = await second.ended();
    assertEquals(code, 1);
    assertMatch(
      stderr,
      /(^|\n)error: cannot listen on \S+\.sock: a server listens there: choose another with --unix\n$/,
    );
    await greet(path);
    server.program.kill("SIGTERM");
    await server.program.ended();
  },
);

Deno.test({ name: "server.ts --unix reports why it cannot listen", ignore }, async () => {
  await using dir = await makeTempDir();
  const file = `${dir.path}/file`;
  await Deno.writeTextFile(file, "");
  const cases = [
    [`${dir.path}/no/s`, "its directory does not exist"],
    [file, "there is a file that is not a socket"],
  ] as const;
  for (const [path, problem] of cases) {
    await using program = startServer(permissionsFor(path), "--unix", path);
    assertOneLine(await program.ended(), [
      1,
      `cannot listen on ${path}: ${problem}: choose another with --unix`,
    ]);
  }
  const path = `${dir.path}/${"x".repeat(110)}`;
  await using program = startServer(permissionsFor(path), "--unix", path);
  const { code, stderr } = await program.ended();
  assertEquals(code, 2);
  assertMatch(stderr, /^error: --unix must be at most 10\d bytes, got \d+: ".+" \(see --help\)\n$/);
});

Deno.test({ name: "server.ts --unix names the permissions that it needs", ignore }, async () => {
  await using dir = await makeTempDir();
  const path = `${dir.path}/greet.sock`;
  const flags = permissionsFor(path);
  for (const missing of [1, 2]) {
    const access = ["net", "read", "write"][missing];
    await using program = startServer(flags.filter((_, i) => i !== missing), "--unix", path);
    assertOneLine(await program.ended(), [
      1,
      `no permission for ${access} access to "${path}": run with ${flags.join(" ")}`,
    ]);
  }
  await using program = startServer(flags.slice(1), "--unix", path);
  assertOneLine(await program.ended(), [
    1,
    `no permission for net access to "unix:${path}": run with ${flags.join(" ")}`,
  ]);
});

Deno.test(
  { name: "server.ts --unix --proxy-protocol trusts every peer that may connect", ignore },
  async () => {
    await using dir = await makeTempDir();
    const path = `${dir.path}/greet.sock`;
    await using server = await serving(
      permissionsFor(path),
      ...["--unix", path, "--proxy-protocol", "--deny", "192.0.2.8"],
    );
    for (const [address, outcome] of [["192.0.2.7", " started"], ["192.0.2.8", " refused: its"]]) {
      using conn = await Deno.connect({ transport: "unix", path });
      await conn.write(new TextEncoder().encode(`PROXY TCP4 ${address} 192.0.2.1 5555 80\r\n`));
      await server.program.stderr.until(new RegExp(`from ${address}:5555${outcome}`));
    }
  },
);
