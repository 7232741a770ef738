// A client of MQTT 3.1.1 that may say anything.

import { assertEquals } from "@std/assert";
import { lengthPrefixed } from "../codecs/mod.ts";
import { connect, type Frames, type Session } from "../mod.ts";
import { fromBytes } from "./_redis.ts";

const FRAMES = lengthPrefixed({ width: "varint", maxWidth: 4, offset: 1, keepHeader: true });

/** A text with its length in front. */
export function text(value: string | Uint8Array): number[] {
  const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
  return [bytes.length >> 8, bytes.length & 0xff, ...bytes];
}

/** A packet: its first byte, its length, and what follows. */
export function packet(first: number, ...parts: (number | number[])[]): number[] {
  const body = parts.flat();
  const length: number[] = [];
  for (let left = body.length; length.length === 0 || left > 0; left >>= 7) {
    length.push(left & 0x7f | (left > 0x7f ? 0x80 : 0));
  }
  return [first, ...length, ...body];
}

export interface Opening {
  id?: string;
  isClean?: boolean;
  keepAlive?: number;
  will?: { topic: string; payload: string; qos?: number; retain?: boolean };
}

export function connectPacket({ id = "", isClean = true, keepAlive = 0, will }: Opening): number[] {
  const flags = (isClean ? 2 : 0) |
    (will ? 4 | (will.qos ?? 0) << 3 | (will.retain ? 32 : 0) : 0);
  return packet(
    0x10,
    ...[text("MQTT"), 4, flags, keepAlive >> 8, keepAlive & 0xff, text(id)],
    ...(will ? [text(will.topic), text(will.payload)] : []),
  );
}

export function publishPacket(
  topic: string,
  payload: string,
  { id, retain = false }: { id?: number; retain?: boolean } = {},
): number[] {
  const first = 0x30 | (id === undefined ? 0 : 2) | Number(retain);
  return packet(first, text(topic), id === undefined ? [] : [id >> 8, id & 0xff], [
    ...new TextEncoder().encode(payload),
  ]);
}

/** A client by hand. Packets that come are told in a line each. */
export class MqttPeer implements AsyncDisposable {
  readonly session: Session;
  readonly #frames: Frames<Uint8Array>;

  constructor(session: Session) {
    this.session = session;
    this.#frames = session.frames(FRAMES);
  }

  /** Connects, and sees that it is let in. */
  static async enter(port: number, opening: Opening = {}, isPresent = false): Promise<MqttPeer> {
    const peer = new MqttPeer(await connect({ port }));
    await peer.send(connectPacket(opening));
    assertEquals(await peer.read(), `connack ${isPresent ? "present" : "new"} 0`);
    return peer;
  }

  async send(...packets: number[][]): Promise<void> {
    await this.session.send(new Uint8Array(packets.flat()));
  }

  async subscribe(...filters: [filter: string, qos: number][]): Promise<void> {
    await this.send(packet(0x82, 0, 1, ...filters.flatMap(([name, qos]) => [text(name), qos])));
    assertEquals(await this.read(), `suback 1 ${filters.map(([, qos]) => qos).join(" ")}`);
  }

  /** The next packet, or `undefined` at the end. */
  async read(): Promise<string | undefined> {
    const frame = await this.#frames.read();
    if (frame === undefined) return undefined;
    const at = frame.findIndex((byte, at) => at > 0 && byte < 0x80) + 1;
    const [first, body] = [frame[0]!, frame.subarray(at)];
    const number = (at: number): number => body[at]! << 8 | body[at + 1]!;
    switch (first >> 4) {
      case 2:
        return `connack ${body[0] === 1 ? "present" : "new"} ${body[1]}`;
      case 3: {
        const end = 2 + number(0);
        const [qos, flags] = [
          first >> 1 & 3,
          `${first & 8 ? " dup" : ""}${first & 1 ? " retain" : ""}`,
        ];
        const topic = fromBytes(body.subarray(2, end));
        const id = qos > 0 ? ` ${number(end)}` : "";
        return `publish${qos}${flags}${id} ${topic}: ${
          fromBytes(body.subarray(end + (qos > 0 ? 2 : 0)))
        }`;
      }
      case 4:
        return `puback ${number(0)}`;
      case 9:
        return `suback ${number(0)} ${[...body.subarray(2)].join(" ")}`;
      case 11:
        return `unsuback ${number(0)}`;
      case 13:
        return "pingresp";
    }
    return `?${fromBytes(frame)}`;
  }

  /** All packets that come before the answer to a ping. */
  async readAll(): Promise<string[]> {
    const packets: string[] = [];
    await this.send(packet(0xc0));
    for (let next = await this.read(); next !== "pingresp"; next = await this.read()) {
      if (next === undefined) throw new Error("the broker has closed the connection");
      packets.push(next);
    }
    return packets;
  }

  /** Says goodbye, so that there is no will, and waits for the end. */
  async leave(): Promise<void> {
    await this.send(packet(0xe0));
    assertEquals(await this.read(), undefined);
    await this.session.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.session.close();
  }
}
