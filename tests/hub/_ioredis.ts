// The bus with ioredis, in a process of its own: the client reads the whole environment. Prints what went right, one line
// each; the first that goes wrong ends the program.
//
//     deno run --allow-all tests/hub/_ioredis.ts

import { once } from "node:events";
import { Redis } from "ioredis";
import { redisBus } from "../../hub/mod.ts";
import { SCENES } from "./_brokers.ts";
import { HISTORY_SCENES } from "./_history_scenes.ts";
import { redisBroker } from "./_redis_broker.ts";

for (const [shows, scene] of Object.entries({ ...SCENES, ...HISTORY_SCENES })) {
  await using broker = await redisBroker(async (path, options) => {
    const publisher = new Redis({ path, retryStrategy: () => 50 });
    const subscriber = publisher.duplicate();
    await Promise.all([once(publisher, "ready"), once(subscriber, "ready")]);
    return {
      bus: redisBus({ publisher, subscriber }, options),
      end(): void {
        publisher.disconnect();
        subscriber.disconnect();
      },
    };
  });
  await scene(broker);
  console.log(shows);
}
