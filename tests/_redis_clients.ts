// The Redis clients of Node, each in turn against the server on the port that is given. Prints what went right, one
// line a client; the first that goes wrong ends the program. It runs in a process of its own because they read the
// environment and the system, and keep timers.
//
//     deno run --allow-all tests/_redis_clients.ts PORT

import { assert, assertEquals, assertRejects } from "@std/assert";
import { Buffer } from "node:buffer";
import { Redis } from "ioredis";
import { createClient, RESP_TYPES } from "redis";

const port = Number(Deno.args[0]);
const BINARY = Buffer.from([0, 13, 10, 255, 128, 36]);

async function tryIoredis(): Promise<void> {
  const redis = new Redis({ port, host: "127.0.0.1", maxRetriesPerRequest: 0 });
  try {
    assertEquals(await redis.flushall(), "OK");
    assertEquals(await redis.set("name", "rose", "EX", 100), "OK");
    assertEquals(await redis.get("name"), "rose");
    assertEquals(await redis.ttl("name"), 100);
    assertEquals(await redis.get("nothing"), null);
    await redis.set(BINARY, BINARY);
    assertEquals(Buffer.compare((await redis.getBuffer(BINARY))!, BINARY), 0);
    assertEquals(await redis.hset("hash", { a: "1", b: "ä€🌹" }), 2);
    assertEquals(await redis.hgetall("hash"), { a: "1", b: "ä€🌹" });
    assertEquals(await redis.rpush("list", "a", "b", "c"), 3);
    assertEquals(await redis.lrange("list", 0, -1), ["a", "b", "c"]);
    assertEquals((await redis.smembers("set")).length, 0);
    assertEquals(await redis.sadd("set", "a", "b"), 2);
    await assertRejects(() => redis.get("list"), Error, "WRONGTYPE");
    await assertRejects(() => redis.incr("name"), Error, "ERR value is not an integer");

    const pipeline = redis.pipeline();
    for (let i = 0; i < 1000; i++) pipeline.incr("count");
    const replies = (await pipeline.exec())!;
    assertEquals(replies.map(([, reply]) => reply), Array.from({ length: 1000 }, (_, i) => i + 1));

    const subscriber = redis.duplicate();
    try {
      const heard = new Promise<string[]>((resolve) =>
        subscriber.on("message", (...message) => resolve(message))
      );
      assertEquals(await subscriber.subscribe("news", "weather"), 2);
      assertEquals(await redis.publish("news", "it rains"), 1);
      assertEquals(await heard, ["news", "it rains"]);
      assertEquals(await subscriber.unsubscribe(), 0);
    } finally {
      subscriber.disconnect();
    }
    assertEquals(await redis.quit(), "OK");
  } finally {
    redis.disconnect();
  }
}

async function tryNodeRedis(RESP: 2 | 3): Promise<void> {
  const client = createClient({ socket: { port, host: "127.0.0.1" }, RESP, name: "rose" });
  client.on("error", () => {}); // whoever waits for a reply is told as well
  await client.connect();
  try {
    assertEquals(await client.flushAll(), "OK");
    assertEquals(await client.clientGetName(), "rose");
    assertEquals(
      await client.set("name", "rose", { expiration: { type: "EX", value: 100 } }),
      "OK",
    );
    assertEquals(await client.get("name"), "rose");
    assertEquals(await client.ttl("name"), 100);
    assertEquals(await client.set("name", "x", { condition: "NX" }), null);
    const buffers = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
    await client.set(BINARY, BINARY);
    assertEquals(Buffer.compare((await buffers.get(BINARY)) as Buffer, BINARY), 0);
    assertEquals(await client.hSet("hash", { a: "1", b: "ä€🌹" }), 2);
    assertEquals({ ...await client.hGetAll("hash") }, { a: "1", b: "ä€🌹" });
    assertEquals(await client.rPush("list", ["a", "b", "c"]), 3);
    assertEquals(await client.lRange("list", 0, -1), ["a", "b", "c"]);
    assertEquals(await client.lPopCount("nothing", 3), null);
    assertEquals(await client.sAdd("set", ["a", "b"]), 2);
    assertEquals((await client.sMembers("set")).toSorted(), ["a", "b"]);
    await assertRejects(() => client.get("list"), Error, "WRONGTYPE");

    const counts = await Promise.all(Array.from({ length: 1000 }, () => client.incr("count")));
    assertEquals(counts, Array.from({ length: 1000 }, (_, i) => i + 1));

    const subscriber = client.duplicate();
    await subscriber.connect();
    try {
      const { promise: heard, resolve } = Promise.withResolvers<string[]>();
      await subscriber.subscribe("news", (message, channel) => resolve([channel, message]));
      assertEquals(await client.publish("news", "it rains"), 1);
      assertEquals(await heard, ["news", "it rains"]);
      if (RESP === 3) assertEquals(await subscriber.get("name"), "rose");
      await subscriber.unsubscribe("news");
      assert(await client.publish("news", "it rains") === 0);
    } finally {
      subscriber.destroy();
    }
    await client.close();
  } catch (error) {
    client.destroy();
    throw error;
  }
}

await tryIoredis();
console.log("ioredis");
for (const version of [2, 3] as const) {
  await tryNodeRedis(version);
  console.log(`redis with RESP${version}`);
}
