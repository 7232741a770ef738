import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { Hub } from "../../hub/mod.ts";
import { canUnix } from "../_permissions.ts";
import { cannotStart, Program } from "../_programs.ts";
import { hasRedisServer, RawClient } from "../_redis.ts";
import { bounded, settle, until } from "../_serving.ts";
import { SCENES, Side } from "./_brokers.ts";
import { HISTORY_SCENES } from "./_history_scenes.ts";
import { nodeRedis } from "./_node_redis.ts";
import { redisBroker } from "./_redis_broker.ts";

const withRedis = { ...bounded, ignore: !hasRedisServer || !canUnix };

for (const [shows, scene] of Object.entries({ ...SCENES, ...HISTORY_SCENES })) {
  Deno.test(`redisBus() with redis ${shows}`, withRedis, async () => {
    await using broker = await redisBroker(nodeRedis);
    await scene(broker);
  });
}

Deno.test("redisBus() with ioredis does all of this", {
  ...withRedis,
  ignore: withRedis.ignore || cannotStart,
}, async () => {
  const args = ["run", "--quiet", "--allow-all", "tests/hub/_ioredis.ts"];
  await using program = new Program("deno", args);
  const { stdout, stderr } = await program.ended();
  const all = Object.keys({ ...SCENES, ...HISTORY_SCENES });
  assertEquals(stdout.trim().split("\n"), all, stderr);
});

Deno.test(
  "redisBus() subscribes to what Redis allows, whatever it refuses",
  withRedis,
  async () => {
    await using broker = await redisBroker(nodeRedis);
    using raw = new RawClient(await Deno.connect({ transport: "unix", path: broker.path }));
    const allow = async (...channels: string[]): Promise<void> => {
      const set = ["ACL", "SETUSER", "default", "resetchannels", ...channels];
      assertEquals(await raw.ask(...set), "+OK\r\n");
    };
    await allow("&parley:open*");
    await using a = new Side(await broker.bus());
    await using b = new Side(await broker.bus());
    const closed = Array.from({ length: 300 }, (_, at) => `closed ${at}`);
    await Promise.all(closed.map((group) => a.hub.join(group, a.session)));
    await a.hub.join("open", a.session);
    b.hub.publish("open", "1\n");
    await until(() => a.lines.length === 1);
    assertEquals(a.errors.length, 300);
    assertMatch(`${a.errors[0]}`, /NOPERM/);
    // After a reconnect, it asks again.
    await allow("&parley:*");
    a.hub.leave("closed 7", a.session);
    await raw.ask("CLIENT", "KILL", "TYPE", "pubsub");
    const channels = () => raw.ask("PUBSUB", "NUMSUB", "parley:closed 7", "parley:closed 8");
    const expected = "*4\r\n$15\r\nparley:closed 7\r\n:0\r\n$15\r\nparley:closed 8\r\n:1\r\n";
    while (await channels() !== expected) await settle();
    b.hub.publish("closed 8", "2\n");
    await until(() => a.lines.length === 2);
  },
);

Deno.test("redisBus() serves one hub", withRedis, async () => {
  await using broker = await redisBroker(nodeRedis);
  const bus = await broker.bus();
  await using _hub = new Hub({ bus });
  assertThrows(() => new Hub({ bus }), TypeError, "this bus is used by another hub already");
});
