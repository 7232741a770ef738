// The files in the guide to deployment, as far as the programs that read them can check them.

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { connect } from "../../connect/connect.ts";
import { Holder, startManager, withHolder } from "../_holder.ts";
import { canRead, canWrite } from "../_permissions.ts";
import { isInstalled } from "../_programs.ts";
import { runCommand } from "../_server_program.ts";
import { bounded } from "../_serving.ts";
import { makeTempDir, type TempDir } from "../_temp_dir.ts";

const GUIDE = new URL("../../docs/deployment.md", import.meta.url);

/** Writes a file of the guide, with replacements. Returns its path. */
async function fileOf(
  name: string,
  dir: TempDir,
  replaced: Record<string, string>,
): Promise<string> {
  const guide = await Deno.readTextFile(GUIDE);
  let text = guide.split(`/${name}\`:\n\n\`\`\``)[1]?.split("\n```")[0]?.replace(/^.*\n/, "");
  assert(text !== undefined, name);
  for (const [from, to] of Object.entries(replaced)) {
    assertStringIncludes(text, from);
    text = text.replaceAll(from, to);
  }
  await Deno.writeTextFile(`${dir.path}/${name}`, `${text}\n`);
  return `${dir.path}/${name}`;
}

function given(isThere: boolean): { timeout: number; ignore: boolean } {
  return { ...bounded, ignore: !canRead || !canWrite || Deno.build.os !== "linux" || !isThere };
}

/** Runs a command that must find nothing to complain about. Returns what it prints. */
async function check(command: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runCommand(command, args);
  assertEquals(code, 0, stdout + stderr);
  return stdout + stderr;
}

Deno.test(
  "systemd has nothing against the units in the guide",
  given(await isInstalled("systemd-analyze", "--version")),
  async () => {
    await using dir = await makeTempDir();
    const socket = await fileOf("greet.socket", dir, {});
    const deno = { "/usr/local/bin/deno": Deno.execPath() };
    const service = await fileOf("greet.service", dir, deno);
    const told = await check("systemd-analyze", "verify", socket, service);
    assert(!told.includes("greet."), told); // it may find fault with others
    const exposure = ["security", "--offline=true", "--threshold=15", service]; // 1.5 of 10
    await check("systemd-analyze", ...exposure);
  },
);

Deno.test(
  "The service in the guide serves with the permissions that it has there",
  withHolder,
  async () => {
    await using dir = await makeTempDir();
    const service = await fileOf("greet.service", dir, {
      "/usr/local/bin/deno": "deno",
      "--cached-only ": "",
      "jsr:@parley/tcp/server": "server.ts",
      "/run/greet": dir.path,
      "/run/systemd": dir.path,
    });
    const [, line] = /^ExecStart=((?:.*\\\n)*.*)$/m.exec(await Deno.readTextFile(service))!;
    const command = line!.split(/[\s\\]+/);
    await using manager = await startManager(`${dir.path}/notify`);
    const env = { NOTIFY_SOCKET: `${dir.path}/notify`, WATCHDOG_USEC: "200000" };
    await using holder = await Holder.open([{ name: "greet" }], command, env);
    await holder.start();
    await manager.stdout.until(/^bound\nREADY=1\nWATCHDOG=1\n/);
    await using client = await connect({ port: holder.ports[0]! });
    assertEquals((await client.text().next()).value, "welcome!");
    await client.close();
    using admin = await Deno.connect({ transport: "unix", path: `${dir.path}/admin.sock` });
    await admin.write(new TextEncoder().encode("GET /readyz HTTP/1.1\r\n\r\n"));
    const answer = new Uint8Array(100);
    const count = await admin.read(answer);
    assertMatch(new TextDecoder().decode(answer.subarray(0, count!)), /^HTTP\/1.1 200 /);
    const stopped = holder.stop();
    await manager.stdout.until(/STOPPING=1\n/);
    assertEquals(await stopped, 0, holder.stderr);
  },
);

Deno.test(
  "HAProxy has nothing against its configuration in the guide",
  given(await isInstalled("haproxy")),
  async () => {
    await using dir = await makeTempDir();
    const path = await fileOf("haproxy.cfg", dir, {});
    const told = await check("haproxy", "-c", "-f", path);
    assert(!/warning|alert/i.test(told), told);
  },
);

Deno.test(
  "nginx has nothing against its configuration in the guide",
  given(await isInstalled("nginx")),
  async () => {
    await using dir = await makeTempDir();
    const path = await fileOf("nginx.conf", dir, {
      "listen 1234": `listen unix:${dir.path}/nginx`,
    });
    const pid = `pid ${dir.path}/nginx.pid;`;
    await check("nginx", "-t", "-e", "stderr", "-g", pid, "-c", path);
  },
);
