import { assertEquals, assertThrows } from "@std/assert";
import { Hub } from "../../hub/mod.ts";
import { canUnix } from "../_permissions.ts";
import { cannotStart, Program } from "../_programs.ts";
import { hasRedisServer } from "../_redis.ts";
import { bounded } from "../_serving.ts";
import { SCENES } from "./_brokers.ts";
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

Deno.test("redisBus() serves one hub", withRedis, async () => {
  await using broker = await redisBroker(nodeRedis);
  const bus = await broker.bus();
  await using _hub = new Hub({ bus });
  assertThrows(() => new Hub({ bus }), TypeError, "this bus is used by another hub already");
});
