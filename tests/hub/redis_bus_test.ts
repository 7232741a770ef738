import { assertEquals, assertThrows } from "@std/assert";
import { createClient } from "redis";
import { Hub, redisBus } from "../../hub/mod.ts";
import { canUnix } from "../_permissions.ts";
import { cannotStart, Program } from "../_programs.ts";
import { hasRedisServer } from "../_redis.ts";
import { bounded } from "../_serving.ts";
import { SCENES } from "./_brokers.ts";
import { type MakeBus, redisBroker } from "./_redis_broker.ts";

const withRedis = { ...bounded, ignore: !hasRedisServer || !canUnix };

const nodeRedis: MakeBus = async (path, prefix) => {
  const publisher = createClient({ socket: { path, reconnectStrategy: () => 50 } });
  const subscriber = publisher.duplicate();
  const bus = redisBus({ publisher, subscriber }, prefix === undefined ? {} : { prefix });
  for (const client of [publisher, subscriber]) client.on("error", () => {}); // until there is a hub
  await Promise.all([publisher.connect(), subscriber.connect()]);
  return {
    bus,
    end(): void {
      publisher.destroy();
      subscriber.destroy();
    },
  };
};

for (const [shows, scene] of Object.entries(SCENES)) {
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
  assertEquals(stdout.trim().split("\n"), Object.keys(SCENES), stderr);
});

Deno.test("redisBus() serves one hub", withRedis, async () => {
  await using broker = await redisBroker(nodeRedis);
  const bus = await broker.bus();
  await using _hub = new Hub({ bus });
  assertThrows(() => new Hub({ bus }), TypeError, "this bus is used by another hub already");
});
