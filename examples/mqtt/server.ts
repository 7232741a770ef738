// An MQTT 3.1.1 broker with QoS 0 and 1.
//
//     deno run --allow-net examples/mqtt/server.ts [PORT]
//
// Then use Mosquitto's clients, or others:
//
//     mosquitto_sub -t 'garden/#' -v
//     mosquitto_pub -t garden/rose -m hello [-q 1] [-r]
//
// Continue with `mqtt.ts`. `packets.ts` is the protocol, `topics.ts` has filters with wildcards, `subscriber.ts` the
// messages for one client, and `broker.ts` the subscriptions of all. There is no access control.

import { formatAddress, serve, type ServeOptions, type Server } from "@parley/tcp";
import type { BrokerLimits } from "./broker.ts";
import { mqtt } from "./mqtt.ts";

/** Serves a broker. */
export function serveMqtt(options: ServeOptions, limits?: Partial<BrokerLimits>): Server {
  // For clients without a keep-alive, only the probes of the system show that they are still there.
  return serve({ idleTimeout: Infinity, keepAlive: true, ...options }, mqtt(limits));
}

if (import.meta.main) {
  const server = serveMqtt({ port: Number(Deno.args[0] ?? 1883) });
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => server.shutdown());
  }
  console.log(`ready for MQTT clients on ${formatAddress(server.addr)}`);
  await server.finished;
}
