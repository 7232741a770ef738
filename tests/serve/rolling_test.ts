// A rolling restart of two servers behind HAProxy, whose health checks take out who is about to stop.

import { assertEquals, assertGreaterOrEqual } from "@std/assert";
import { startHaproxy, withHaproxy } from "../_haproxy_front.ts";
import { Load } from "../_load.ts";
import type { Program } from "../_programs.ts";
import { startReplaceable } from "../_replacing.ts";
import { until } from "../_serving.ts";
import { makeTempDir } from "../_temp_dir.ts";

const ROUNDS = 3;
/** How long a server still accepts, in milliseconds, and how often it is asked whether it is up. */
const DRAIN_DELAY = 300;
const INTERVAL = 20;

const CHECKS = `
  timeout check 10s
  retries 3
  option redispatch 1
  option tcp-check
  tcp-check send health\\n
  tcp-check expect string up`;

Deno.test(
  "Two servers behind HAProxy are restarted in turn, and no client notices",
  withHaproxy,
  async () => {
    await using dir = await makeTempDir();
    const start = (name: string): Promise<Program> =>
      startReplaceable({ path: `${dir.path}/${name}` }, DRAIN_DELAY);
    const line = (name: string): string =>
      `unix@${dir.path}/${name} check inter ${INTERVAL} fall 1 rise 1`;
    await using servers = new AsyncDisposableStack();
    const running = await Promise.all(["one", "two"].map(start));
    for (const server of running) servers.use(server);
    await using proxy = await startHaproxy([
      { server: `${line("one")}\n  server two ${line("two")}${CHECKS}` },
    ]);
    const load = new Load({ port: proxy.ports[0]! });
    {
      await using _ = load;
      for (let round = 0; round < ROUNDS; round++) {
        for (const [at, name] of ["one", "two"].entries()) {
          running[at]!.kill("SIGTERM");
          assertEquals((await running[at]!.ended()).code, 0);
          await load.passes(20); // by the other one
          const { pid } = running[at] = servers.use(await start(name));
          await until(() => load.server === `${pid}`);
        }
      }
    }
    const { faults, refused, visits, moves } = load;
    assertEquals([faults, refused], [[], 0], proxy.stderr());
    assertGreaterOrEqual(visits, 20 * 2 * ROUNDS);
    assertGreaterOrEqual(moves, 2 * ROUNDS);
  },
);
