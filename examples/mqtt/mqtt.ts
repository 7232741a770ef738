/** The service: a handler for `serve()`. */

import type { Frames, Handler, Session } from "@parley/tcp";
import { Broker, type BrokerLimits, DEFAULT_LIMITS } from "./broker.ts";
import { LEVEL, type Packet, packetCodec, type Reply } from "./packets.ts";
import { SharedBroker, type SharedOptions } from "./shared_broker.ts";
import type { Subscriber } from "./subscriber.ts";

/** How long a client may take to send CONNECT, in milliseconds. */
const CONNECT_TIMEOUT = 10_000;
/** How long a client may be silent, in keep-alive intervals (§3.1.2.10). */
const PATIENCE = 1.5;

/** Makes a broker with its own clients and messages, which it shares with other brokers if there is a bus. */
export function mqtt(limits?: Partial<BrokerLimits>, shared?: SharedOptions): Handler {
  const all = { ...DEFAULT_LIMITS, ...limits };
  const codec = packetCodec(all.maxPacket);
  const broker = shared ? new SharedBroker(codec, all, shared) : new Broker(codec, all);
  return async (session) => {
    const packets = session.frames(codec);
    const connect = await packets.read({ timeout: CONNECT_TIMEOUT });
    if (connect?.type !== "connect") return;
    const { level, clientId, isClean, keepAlive } = connect;
    const refusal = level !== LEVEL ? 1 : clientId === "" && !isClean ? 2 : undefined;
    if (refusal !== undefined) {
      return await packets.send({ type: "connack", isPresent: false, code: refusal });
    }
    session.readIdleTimeout = keepAlive * 1000 * PATIENCE || Infinity;
    const [subscriber, isPresent] = broker.open(connect);
    packets.send({ type: "connack", isPresent, code: 0 });
    subscriber.attach(session, packets);
    let { will } = connect;
    try {
      for await (const packet of packets) {
        if (packet.type === "disconnect") {
          will = undefined;
          break;
        }
        await answer(packet, { session, packets, subscriber, broker });
      }
    } finally {
      broker.leave(subscriber, session);
      if (will !== undefined) broker.publish(will);
    }
  };
}

interface Client {
  session: Session;
  packets: Frames<Packet, Reply>;
  subscriber: Subscriber;
  broker: Broker;
}

async function answer(packet: Packet, client: Client): Promise<void> {
  const { session, packets, subscriber, broker } = client;
  switch (packet.type) {
    case "publish":
      broker.publish(packet);
      if (packet.qos === 1) await packets.send({ type: "puback", id: packet.id! });
      break;
    case "puback":
      subscriber.onAcknowledged(packet.id);
      break;
    case "subscribe": {
      const codes = broker.subscribe(subscriber, packet);
      await packets.send({ type: "suback", id: packet.id, codes });
      broker.sendRetained(subscriber, packet);
      break;
    }
    case "unsubscribe":
      broker.unsubscribe(subscriber, packet.filters);
      await packets.send({ type: "unsuback", id: packet.id });
      break;
    case "pingreq":
      await packets.send({ type: "pingresp" });
      break;
    default:
      session.abort(new Error(`a second ${packet.type}`));
  }
}
