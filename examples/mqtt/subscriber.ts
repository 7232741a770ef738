import { type Frames, prepare, type PreparedMessage, type Session } from "@parley/tcp";
import type { Codec } from "@parley/tcp/codecs";
import {
  type Message,
  type Packet,
  type Publish,
  type Qos,
  type Reply,
  sizeOf,
} from "./packets.ts";

/** The maximum number of unacknowledged messages with QoS 1. */
const MAX_IN_FLIGHT = 16;
/** With more unsent bytes than this, messages with QoS 0 are dropped. */
const MAX_LAG = 256 * 1024;
/** The maximum number of waiting messages with QoS 1, and of their bytes, including unacknowledged messages. */
const MAX_QUEUED = 1000;
const MAX_BYTES = 512 * 1024;
const MAX_ID = 0xffff;

/** A message for several clients, encoded once for all that receive it with QoS 0. */
export class Delivery {
  readonly message: Message;
  readonly #codec: Codec<Packet, Reply>;
  #prepared: PreparedMessage | undefined;
  #kept: Message | undefined;

  constructor(message: Message, codec: Codec<Packet, Reply>) {
    this.message = message;
    this.#codec = codec;
  }

  get prepared(): PreparedMessage {
    const { topic, payload } = this.message;
    const { frame } = this.message as Publish;
    // A packet with QoS 0 is sent on as it is, unless it has the retain flag.
    if (frame?.[0] === 0x30) return this.#prepared ??= prepare(frame);
    const packet = { type: "publish", topic, payload, qos: 0, retain: false } as const;
    return this.#prepared ??= prepare(packet, this.#codec);
  }

  /** A copy to keep: the payload may be a small part of a larger buffer. */
  get kept(): Message {
    const { topic, payload, qos } = this.message;
    return this.#kept ??= { topic, payload: payload.slice(), qos, retain: false };
  }
}

/** What the standard calls a session (§3.1.2.4): the state of a client, over one connection or several. */
export class Subscriber {
  readonly id: string;
  readonly isClean: boolean;
  readonly filters: Set<string> = new Set();
  session: Session | undefined;
  #packets: Frames<Packet, Reply> | undefined;
  readonly #inFlight = new Map<number, Message>();
  #queue: Message[] = [];
  #bytes = 0;
  #lastId = 0;

  constructor(id: string, isClean: boolean) {
    this.id = id;
    this.isClean = isClean;
  }

  /** Continues on a new connection. Unacknowledged messages are sent again (§4.4). */
  attach(session: Session, packets: Frames<Packet, Reply>): void {
    this.session = session;
    this.#packets = packets;
    for (const [id, message] of this.#inFlight) this.#send(message, id, true);
    this.#sendQueued();
  }

  detach(): void {
    this.session = this.#packets = undefined;
  }

  /** Sends a message that matches a subscription. */
  deliver(delivery: Delivery, qos: Qos): void {
    if (qos === 1 && delivery.message.qos === 1) this.#enqueue(delivery.kept);
    else if (this.#keepsUp) this.session!.send(delivery.prepared);
  }

  /** Sends a retained message that matches a new subscription (§3.3.1.3). */
  deliverRetained(message: Message, qos: Qos): void {
    if (qos === 1 && message.qos === 1) this.#enqueue(message);
    else if (this.#keepsUp) this.#packets!.send({ ...message, type: "publish", qos: 0 });
  }

  /** The client has acknowledged a message with QoS 1. */
  onAcknowledged(id: number): void {
    const message = this.#inFlight.get(id);
    if (message === undefined) return;
    this.#inFlight.delete(id);
    this.#bytes -= sizeOf(message);
    this.#sendQueued();
  }

  get #keepsUp(): boolean {
    return this.session !== undefined && this.session.bytesBuffered < MAX_LAG;
  }

  #enqueue(message: Message): void {
    const size = sizeOf(message);
    if (this.#queue.length >= MAX_QUEUED || this.#bytes + size > MAX_BYTES) return;
    this.#queue.push(message);
    this.#bytes += size;
    this.#sendQueued();
  }

  #sendQueued(): void {
    while (
      this.session !== undefined && this.#queue.length > 0 &&
      (this.#inFlight.size === 0 || (this.#inFlight.size < MAX_IN_FLIGHT && this.#keepsUp))
    ) {
      const message = this.#queue.shift()!;
      do this.#lastId = this.#lastId % MAX_ID + 1; while (this.#inFlight.has(this.#lastId));
      this.#inFlight.set(this.#lastId, message);
      this.#send(message, this.#lastId, false);
    }
  }

  #send(message: Message, id: number, isDuplicate: boolean): void {
    this.#packets!.send({ ...message, type: "publish", id, isDuplicate });
  }
}
