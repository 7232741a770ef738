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

/** How many messages of QoS 1 may be without an acknowledgement. */
const MAX_IN_FLIGHT = 16;
/** How far the output of a client may lag behind before messages of QoS 0 are dropped. */
const MAX_LAG = 256 * 1024;
/** How many messages of QoS 1 may wait for a client, and how many bytes of them, with those in flight. */
const MAX_QUEUED = 1000;
const MAX_BYTES = 512 * 1024;
const MAX_ID = 0xffff;

/** A message on its way to many, encoded once for all that get it in QoS 0. */
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
    // What came in QoS 0 goes on as it is, unless it was retained.
    if (frame?.[0] === 0x30) return this.#prepared ??= prepare(frame);
    const packet = { type: "publish", topic, payload, qos: 0, retain: false } as const;
    return this.#prepared ??= prepare(packet, this.#codec);
  }

  /** To be kept until it is acknowledged: without the memory around it, which may be larger. */
  get kept(): Message {
    const { topic, payload, qos } = this.message;
    return this.#kept ??= { topic, payload: payload.slice(), qos, retain: false };
  }
}

/** A session as the standard means it (§3.1.2.4): of a client, over one connection or several. */
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

  /** Goes on over a new connection. What was not acknowledged is sent again (§4.4). */
  attach(session: Session, packets: Frames<Packet, Reply>): void {
    this.session = session;
    this.#packets = packets;
    for (const [id, message] of this.#inFlight) this.#send(message, id, true);
    this.#sendQueued();
  }

  detach(): void {
    this.session = this.#packets = undefined;
  }

  /** Sends a message to whoever has subscribed to it. */
  deliver(delivery: Delivery, qos: Qos): void {
    if (qos === 1 && delivery.message.qos === 1) this.#enqueue(delivery.kept);
    else if (this.#keepsUp) this.session!.send(delivery.prepared);
  }

  /** Sends a message that was retained, to somebody who has just subscribed (§3.3.1.3). */
  deliverRetained(message: Message, qos: Qos): void {
    if (qos === 1 && message.qos === 1) this.#enqueue(message);
    else if (this.#keepsUp) this.#packets!.send({ ...message, type: "publish", qos: 0 });
  }

  /** The client has received a message of QoS 1. */
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
