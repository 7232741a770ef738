// An MQTT 3.1.1 broker, in QoS 0 and 1.
//
//     deno run --allow-net examples/mqtt/server.ts [PORT]
//
// Then, with Mosquitto's clients or any others:
//
//     mosquitto_sub -t 'garden/#' -v
//     mosquitto_pub -t garden/rose -m hello [-q 1] [-r]
//
// Go on reading in `mqtt.ts`. `packets.ts` is the protocol, `topics.ts` has filters with wildcards, `subscriber.ts` what
// one client has yet to get, and `broker.ts` who gets what. Everybody may do everything: do not let strangers in.

import { formatAddress, serve, type ServeOptions, type Server } from "@parley/tcp";
import type { BrokerLimits } from "./broker.ts";
import { mqtt } from "./mqtt.ts";

/** Serves a broker. */
export function serveMqtt(options: ServeOptions, limits?: Partial<BrokerLimits>): Server {
  // Of clients that have asked for no keep-alive, only the system's probes tell that they are still there.
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
