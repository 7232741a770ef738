// What clients notice of a server that is replaced while they come, go and stay.

import { assertEquals, assertGreaterOrEqual } from "@std/assert";
import { withHolder } from "../_holder.ts";
import type { Met } from "../_load.ts";
import { Program } from "../_programs.ts";
import { replacePassed } from "../_replacing.ts";
import { canUnshare } from "../_serving.ts";
import { makeTempDir } from "../_temp_dir.ts";
import { ca, localhost, overTls } from "../_tls_serving.ts";

const TIMES = 10;

function assertUnnoticed({ faults, refused, visits, replies, moves }: Met, times: number): void {
  assertEquals([faults, refused], [[], 0]);
  assertGreaterOrEqual(visits, 20 * times);
  assertGreaterOrEqual(replies, times);
  assertGreaterOrEqual(moves, times);
}

Deno.test(
  "A server on a socket that was passed is replaced, and no client notices",
  withHolder,
  async () => {
    assertUnnoticed(await replacePassed(TIMES), TIMES);
  },
);

Deno.test(
  "A server on a Unix socket that was passed is replaced, and no client notices",
  withHolder,
  async () => {
    await using dir = await makeTempDir();
    assertUnnoticed(await replacePassed(3, `${dir.path}/socket`), 3);
  },
);

Deno.test("A server under TLS is replaced, and no client notices", {
  ...withHolder,
  ignore: withHolder.ignore || overTls.ignore,
}, async () => {
  const tls = { server: localhost, client: { ca, serverName: "localhost" } };
  assertUnnoticed(await replacePassed(5, undefined, tls), 5);
});

// Without this setting, Linux resets the connections that wait in the queue of a listener that is closed.
const MIGRATE = "ip link set lo up && echo 1 > /proc/sys/net/ipv4/tcp_migrate_req";

Deno.test("A server is replaced by one that shares its port, and no client notices", {
  ...withHolder,
  ignore: withHolder.ignore || !await canUnshare([], ["bash", "-c", MIGRATE]),
}, async () => {
  const replace = `deno run -A tests/_replacing.ts sharing ${TIMES} 100`;
  const args = ["--net", "--map-root-user", "bash", "-c", `${MIGRATE} && exec ${replace}`];
  await using program = new Program("unshare", args, { NO_COLOR: "1" });
  const { code, stdout, stderr } = await program.ended();
  assertEquals(code, 0, stderr);
  assertUnnoticed(JSON.parse(stdout), TIMES);
});
