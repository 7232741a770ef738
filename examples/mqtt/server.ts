// An MQTT 3.1.1 broker with QoS 0 and 1, in one process or over several machines.
//
//     deno run --allow-net examples/mqtt/server.ts [PORT]
//     deno run --allow-net examples/mqtt/server.ts PORT nats://127.0.0.1:4222
//
// Then use Mosquitto's clients, or others:
//
//     mosquitto_sub -t 'garden/#' -v
//     mosquitto_pub -t garden/rose -m hello [-q 1] [-r]
//
// All brokers at a NATS server are one: `mosquitto_sub` at one gets what `mosquitto_pub` gave another. Each process retains
// messages, those of the others too, but not what was published before it started or while it was cut off. Clients, their
// subscriptions and what waits for them with QoS 1 belong to the process: a client that wants its session back must return to
// the same one, and two clients with the same name at different brokers do not replace each other. Between processes, a
// message arrives at most once, even with QoS 1: PUBACK says that the publisher's own broker has it. Lost messages are
// printed.
//
// Continue with `mqtt.ts`. `packets.ts` is the protocol, `topics.ts` has filters with wildcards, `subscriber.ts` the
// messages for one client, `broker.ts` the subscriptions of all, and `shared_broker.ts` the other processes. There is no
// access control.

import { formatAddress, serve, type ServeOptions, type Server } from "@parley/tcp";
import { type Bus, natsBus } from "@parley/tcp/hub";
import { connectToNats } from "../nats.ts";
import type { BrokerLimits } from "./broker.ts";
import { mqtt } from "./mqtt.ts";

/** Serves a broker, with the processes of `bus` if there is one. */
export function serveMqtt(
  { bus, ...options }: ServeOptions & { bus?: Bus | undefined },
  limits?: Partial<BrokerLimits>,
): Server {
  const { onError = console.error } = options;
  const end = new AbortController();
  const shared = bus && { bus, signal: end.signal, onError: (error: unknown) => onError(error) };
  // For clients without a keep-alive, only the probes of the system show that they are still there.
  const server = serve(
    { idleTimeout: Infinity, keepAlive: true, ...options },
    mqtt(limits, shared),
  );
  server.finished.then(() => end.abort());
  return server;
}

if (import.meta.main) {
  const [port = "1883", url] = Deno.args;
  const nats = url === undefined ? undefined : await connectToNats(url);
  const server = serveMqtt({ port: Number(port), bus: nats && natsBus(nats) });
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => server.shutdown());
  }
  console.log(`ready for MQTT clients on ${formatAddress(server.addr)}`);
  await server.finished;
  await nats?.close();
}
