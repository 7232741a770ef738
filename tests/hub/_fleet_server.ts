// One of several processes with groups over NATS: two workers, on a free port, which it prints.
//
//     deno run --allow-all tests/hub/_fleet_server.ts nats://127.0.0.1:4222

import type { NetAddr } from "../../mod.ts";
import { serveWorkers } from "../../workers/mod.ts";

const server = serveWorkers(new URL("_fleet_worker.ts", import.meta.url), {
  port: 0,
  workers: 2,
  workerData: Deno.args[0],
});
console.log(`port ${(await server.listening as NetAddr).port}`);
await server.finished;
