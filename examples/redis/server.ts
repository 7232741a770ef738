// An in-memory Redis.
//
//     deno run --allow-net examples/redis/server.ts [PORT]
//
// Then talk to it with any Redis client, or with none:
//
//     redis-cli SET rose babala EX 60
//     redis-benchmark -q -t set,get -P 16
//     telnet 127.0.0.1 6379     and type   SET rose babala   and   GET rose
//
// Continue with `redis.ts`. `respServer()` is the protocol, `commands.ts` and the folder `commands` have the commands, and
// `store.ts` has the data.

import { formatAddress, serve, type Server } from "@parley/tcp";
import { redis } from "./redis.ts";

/** Serves an in-memory Redis on `port`. */
export function serveRedis(port: number): Server {
  return serve({
    port,
    // Subscribers may be silent for days: only the system's probes show that they are still there.
    idleTimeout: Infinity,
    keepAlive: true,
    // How far a subscriber may lag behind, as in Redis.
    maxBufferedOutput: 32 * 1024 * 1024,
  }, redis());
}

if (import.meta.main) {
  const server = serveRedis(Number(Deno.args[0] ?? 6379));
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => server.shutdown());
  }
  console.log(`ready for Redis clients on ${formatAddress(server.addr)}`);
  await server.finished;
}
