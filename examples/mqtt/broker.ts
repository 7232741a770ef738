import type { Session } from "@parley/tcp";
import type { Codec } from "@parley/tcp/codecs";
import {
  type Connect,
  type Message,
  type Packet,
  type Qos,
  type Reply,
  sizeOf,
  type Subscribe,
} from "./packets.ts";
import { Delivery, Subscriber } from "./subscriber.ts";
import { TopicTree } from "./topics.ts";

/** Limits of a broker. */
export interface BrokerLimits {
  /** The maximum size of a packet, in bytes. */
  maxPacket: number;
  /** The maximum number of retained messages, and of their bytes. */
  maxRetained: number;
  maxRetainedBytes: number;
  /** How many disconnected clients are remembered. Beyond that, the one that left first is forgotten. */
  maxAway: number;
  /** The maximum number of filters of a client. */
  maxFilters: number;
}

export const DEFAULT_LIMITS: BrokerLimits = {
  maxPacket: 256 * 1024,
  maxRetained: 10_000,
  maxRetainedBytes: 64 * 1024 * 1024,
  maxAway: 1000,
  maxFilters: 100,
};

/** The clients, their subscriptions, and the retained messages. */
export class Broker {
  readonly #codec: Codec<Packet, Reply>;
  readonly #limits: BrokerLimits;
  readonly #subscribers = new Map<string, Subscriber>();
  readonly #away = new Set<Subscriber>();
  readonly #subscriptions = new TopicTree<Subscriber, Qos>();
  readonly #retained = new Map<string, Message>();
  #retainedBytes = 0;
  #unnamed = 0;

  constructor(codec: Codec<Packet, Reply>, limits: BrokerLimits) {
    this.#codec = codec;
    this.#limits = limits;
  }

  /** Returns the session of a client that connects, and whether the broker had it already (§3.1.2.4). */
  open({ clientId, isClean }: Connect): [subscriber: Subscriber, isPresent: boolean] {
    const id = clientId || `\0${++this.#unnamed}`; // a name that no client can have
    const old = this.#subscribers.get(id);
    if (old?.session !== undefined) { // the new connection replaces the old one (§3.1.4)
      const { session } = old;
      this.leave(old, session);
      session.abort(new Error("its client has connected again"));
    }
    if (old !== undefined && !old.isClean && !isClean) {
      this.#away.delete(old);
      return [old, true];
    }
    if (old !== undefined) this.#forget(old);
    const subscriber = new Subscriber(id, isClean);
    this.#subscribers.set(id, subscriber);
    return [subscriber, false];
  }

  /** A connection has ended. */
  leave(subscriber: Subscriber, session: Session): void {
    if (subscriber.session !== session) return; // there is a newer one
    subscriber.detach();
    if (subscriber.isClean) return this.#forget(subscriber);
    this.#away.add(subscriber);
    if (this.#away.size > this.#limits.maxAway) this.#forget(this.#away.values().next().value!);
  }

  /** Adds subscriptions, up to `maxFilters`. */
  subscribe(subscriber: Subscriber, { filters }: Subscribe): (Qos | 0x80)[] {
    return filters.map(([filter, qos]) => {
      const known = subscriber.filters;
      if (!known.has(filter) && known.size >= this.#limits.maxFilters) return 0x80;
      known.add(filter);
      this.#subscriptions.set(filter, subscriber, qos);
      return qos;
    });
  }

  unsubscribe(subscriber: Subscriber, filters: Iterable<string>): void {
    for (const filter of filters) {
      if (subscriber.filters.delete(filter)) this.#subscriptions.delete(filter, subscriber);
    }
  }

  /** Sends the retained messages that match new subscriptions. */
  sendRetained(subscriber: Subscriber, { filters }: Subscribe): void {
    const wanted = new TopicTree<Subscriber, Qos>();
    for (const [filter, qos] of filters) {
      if (subscriber.filters.has(filter)) wanted.set(filter, subscriber, qos);
    }
    for (const message of this.#retained.values()) {
      for (const [, qos] of matches(wanted, message.topic)) {
        subscriber.deliverRetained(message, qos);
      }
    }
  }

  publish(message: Message): void {
    if (message.retain) this.#retain(message);
    const delivery = new Delivery(message, this.#codec);
    for (const [subscriber, qos] of matches(this.#subscriptions, message.topic)) {
      subscriber.deliver(delivery, qos);
    }
  }

  /** Keeps the last message of a topic if there is room. A message without a payload removes it (§3.3.1.3). */
  #retain({ topic, payload, qos, retain }: Message): void {
    const { maxRetained, maxRetainedBytes } = this.#limits;
    const old = this.#retained.get(topic);
    if (old !== undefined) {
      this.#retained.delete(topic);
      this.#retainedBytes -= sizeOf(old);
    }
    const message = { topic, payload: payload.slice(), qos, retain };
    const bytes = this.#retainedBytes + sizeOf(message);
    if (payload.length === 0 || this.#retained.size >= maxRetained || bytes > maxRetainedBytes) {
      return;
    }
    this.#retained.set(topic, message);
    this.#retainedBytes = bytes;
  }

  #forget(subscriber: Subscriber): void {
    this.#away.delete(subscriber);
    this.#subscribers.delete(subscriber.id);
    this.unsubscribe(subscriber, [...subscriber.filters]);
  }
}

/** Returns each subscriber once, with the highest QoS of its matching subscriptions. */
function matches(tree: TopicTree<Subscriber, Qos>, topic: string): Map<Subscriber, Qos> {
  const found = new Map<Subscriber, Qos>();
  tree.match(topic, (subscriber, qos) => {
    if (qos === 1 || !found.has(subscriber)) found.set(subscriber, qos);
  });
  return found;
}
