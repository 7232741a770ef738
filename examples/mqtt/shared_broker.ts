import { type Bus, Hub } from "@parley/tcp/hub";
import { Session } from "@parley/tcp/session";
import type { Codec } from "@parley/tcp/codecs";
import { memoryPair } from "@parley/tcp/transport";
import { Broker, type BrokerLimits } from "./broker.ts";
import type { Message, Packet, Reply } from "./packets.ts";

/** The group of all brokers on the bus, whatever their clients have subscribed to. */
const GROUP = "mqtt";
/** How many bytes of messages of other brokers may wait for this one. Beyond it, they are dropped and told. */
const MAX_WAITING = 1024 * 1024;
/** What a hub adds to a packet, at most, in bytes. */
const OVERHEAD = 64;

/** How a broker reaches those in other processes. */
export interface SharedOptions {
  bus: Bus;
  /** Called with errors of the bus, and if messages of other brokers were lost. */
  onError(error: unknown): void;
  /** Leaves the bus when it is aborted. */
  signal: AbortSignal;
}

/**
 * A broker whose clients get what was published to the brokers of other processes, too. Each message goes to all of them, as
 * an MQTT packet, and each broker finds its own subscribers and retains messages by itself.
 */
export class SharedBroker extends Broker {
  readonly #codec: Codec<Packet, Reply>;
  readonly #hub: Hub;
  readonly #options: SharedOptions;
  #relay: Session | undefined;

  constructor(codec: Codec<Packet, Reply>, limits: BrokerLimits, options: SharedOptions) {
    super(codec, limits);
    const { bus, signal, onError } = options;
    const most = bus.maxMessageSize;
    if (most !== undefined && limits.maxPacket + OVERHEAD > most) {
      throw new RangeError(
        `maxPacket must be at most ${most - OVERHEAD} on this bus, got ${limits.maxPacket}`,
      );
    }
    this.#codec = codec;
    this.#options = options;
    this.#hub = new Hub({
      bus,
      slow: "drop-newest",
      maxWaiting: MAX_WAITING,
      onGap: (_, from, to) => this.#tellLost(to - from + 1, "on the bus"),
      onError,
    });
    signal.addEventListener("abort", () => {
      this.#relay?.abort();
      this.#hub.close().catch(onError);
    });
    this.#receiveAll();
  }

  /** Publishes to the clients of all brokers. */
  override publish(message: Message): void {
    const { topic, payload, qos, retain } = message;
    const packet = { type: "publish", topic, payload, qos, retain, id: 1 } as const;
    this.#hub.publish(GROUP, packet, { codec: this.#codec, except: this.#relay });
    super.publish(message);
  }

  async #receiveAll(): Promise<void> {
    const { signal, onError } = this.#options;
    while (!signal.aborted) {
      const [near, far] = memoryPair().map((end) =>
        new Session(end, { idleTimeout: Infinity, maxBufferedOutput: 2 * MAX_WAITING })
      ) as [Session, Session];
      this.#hub.join(GROUP, near);
      this.#relay?.abort();
      this.#relay = near;
      try {
        await this.#receive(near, far);
      } catch (error) { // it was no packet, after which there is no telling where the next one begins
        if (!signal.aborted) onError(error);
      } finally {
        far.abort();
      }
    }
  }

  /** Publishes what comes from other brokers to the clients of this one. */
  async #receive(near: Session, far: Session): Promise<void> {
    let told = 0;
    for await (const packet of far.frames(this.#codec)) {
      if (packet.type === "publish") super.publish(packet);
      const dropped = this.#hub.droppedOf(near);
      if (dropped > told) this.#tellLost(dropped - told, "since this one was too slow");
      told = dropped;
    }
  }

  #tellLost(count: number, why: string): void {
    this.#options.onError(new Error(`messages of other brokers were lost ${why}: ${count}`));
  }
}
