// The bus with node-redis.

import { createClient } from "redis";
import { redisBus, type RedisBusOptions } from "../../hub/mod.ts";
import type { MakeBus } from "./_redis_broker.ts";

export async function nodeRedis(
  path: string,
  options: RedisBusOptions,
): ReturnType<MakeBus> {
  const publisher = createClient({ socket: { path, reconnectStrategy: () => 50 } });
  const subscriber = publisher.duplicate();
  const bus = redisBus({ publisher, subscriber }, options);
  for (const client of [publisher, subscriber]) client.on("error", () => {}); // until there is a hub
  await Promise.all([publisher.connect(), subscriber.connect()]);
  return {
    bus,
    end(): void {
      publisher.destroy();
      subscriber.destroy();
    },
  };
}
