/** The packets of MQTT 3.1.1, for QoS 0 and 1. The sections are those of the OASIS standard. */

import {
  type Codec,
  Cursor,
  type FrameWriter,
  lengthPrefixed,
  MalformedFrameError,
  mapped,
} from "@parley/tcp/codecs";
import { checkFilter, checkTopic } from "./topics.ts";

export type Qos = 0 | 1;
/** The protocol level of MQTT 3.1.1 (§3.1.2.2). */
export const LEVEL = 4;

/** A message that was published. */
export interface Message {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: Qos;
  readonly retain: boolean;
}

export interface Publish extends Message {
  readonly type: "publish";
  /** The packet identifier, with QoS 1. */
  readonly id?: number;
  /** Whether it may have been sent before. */
  readonly isDuplicate?: boolean;
  /** The bytes of the packet, if it was received with QoS 0. */
  readonly frame?: Uint8Array;
}

export interface Connect {
  readonly type: "connect";
  /** The protocol level. If it is not `LEVEL`, the other fields are not read. */
  readonly level: number;
  readonly clientId: string;
  readonly isClean: boolean;
  /** In seconds; 0 for none. */
  readonly keepAlive: number;
  readonly will?: Message;
}

export interface Subscribe {
  readonly type: "subscribe";
  readonly id: number;
  readonly filters: readonly (readonly [filter: string, qos: Qos])[];
}

export interface Unsubscribe {
  readonly type: "unsubscribe";
  readonly id: number;
  readonly filters: readonly string[];
}

interface Acknowledgement {
  readonly type: "puback" | "unsuback";
  readonly id: number;
}

/** A packet from a client. */
export type Packet =
  | Connect
  | Publish
  | Acknowledgement
  | Subscribe
  | Unsubscribe
  | { readonly type: "pingreq" | "disconnect" };

/** A packet from the broker. */
export type Reply =
  | { readonly type: "connack"; readonly isPresent: boolean; readonly code: 0 | 1 | 2 }
  | Publish
  | Acknowledgement
  | { readonly type: "suback"; readonly id: number; readonly codes: readonly (Qos | 0x80)[] }
  | { readonly type: "pingresp" };

/** The first byte of a packet: its type and its flags (§2.2). */
const CONNECT = 0x10;
const CONNACK = 0x20;
const PUBLISH = 0x30;
const PUBACK = 0x40;
const SUBSCRIBE = 0x82;
const SUBACK = 0x90;
const UNSUBSCRIBE = 0xa2;
const UNSUBACK = 0xb0;
const PINGREQ = 0xc0;
const PINGRESP = 0xd0;
const DISCONNECT = 0xe0;

/** The size of a message for the limits of the broker. */
export function sizeOf({ topic, payload }: Message): number {
  return topic.length + payload.length;
}

/** Makes the codec of a broker, for packets of at most `maxLength` bytes. */
export function packetCodec(maxLength: number): Codec<Packet, Reply> {
  const framing = lengthPrefixed({
    width: "varint",
    maxWidth: 4,
    offset: 1,
    keepHeader: true,
    maxLength,
  });
  return mapped(framing, { decode: parse, encode: write });
}

function parse(frame: Uint8Array): Packet {
  const cursor = new Cursor(frame, { fatal: true });
  const first = cursor.uint(1);
  cursor.varint(4);
  const packet = first >> 4 === PUBLISH >> 4
    ? parsePublish(first, cursor, frame)
    : parseOther(first, cursor);
  if (cursor.left > 0) throw new MalformedFrameError("the packet is too long", cursor.offset);
  return packet;
}

function parseOther(first: number, cursor: Cursor): Packet {
  switch (first) {
    case CONNECT:
      return parseConnect(cursor);
    case PUBACK:
      return { type: "puback", id: cursor.uint(2) };
    case SUBSCRIBE:
      return { type: "subscribe", id: parseId(cursor), filters: parseAll(cursor, parseRequest) };
    case UNSUBSCRIBE:
      return { type: "unsubscribe", id: parseId(cursor), filters: parseAll(cursor, parseFilter) };
    case PINGREQ:
      return { type: "pingreq" };
    case DISCONNECT:
      return { type: "disconnect" };
  }
  throw new MalformedFrameError(`a packet that begins with 0x${first.toString(16)}`, 0);
}

/** §3.1 */
function parseConnect(cursor: Cursor): Connect {
  const name = parseText(cursor);
  const level = cursor.uint(1);
  if (!/^MQ(TT|Isdp)$/.test(name)) throw new MalformedFrameError("this is not MQTT", 0);
  if (level !== LEVEL) { // the rest has another format
    cursor.bytes();
    return { type: "connect", level, clientId: "", isClean: true, keepAlive: 0 };
  }
  const at = cursor.offset;
  const flags = cursor.uint(1);
  const [hasWill, hasPassword, hasUsername] = [flags & 0x04, flags & 0x40, flags & 0x80];
  if ((flags & 0x01) || (!hasWill && (flags & 0x38)) || (hasPassword && !hasUsername)) {
    throw new MalformedFrameError("these flags of CONNECT do not go together", at);
  }
  const keepAlive = cursor.uint(2);
  const clientId = parseText(cursor);
  const will = hasWill ? parseWill(flags, cursor) : undefined;
  if (hasUsername) parseText(cursor); // not checked: everybody may connect
  if (hasPassword) cursor.prefixed(2);
  const isClean = (flags & 0x02) !== 0;
  return { type: "connect", level, clientId, isClean, keepAlive, ...(will && { will }) };
}

function parseWill(flags: number, cursor: Cursor): Message {
  const topic = parseTopic(cursor);
  const payload = cursor.prefixed(2).bytes();
  return { topic, payload, qos: parseQos(flags >> 3, cursor), retain: (flags & 0x20) !== 0 };
}

/** §3.3 */
function parsePublish(first: number, cursor: Cursor, frame: Uint8Array): Publish {
  const qos = first >> 1 & 3;
  if (qos > 1) throw new MalformedFrameError("there is no QoS 2 here", 0);
  const topic = parseTopic(cursor);
  const retain = (first & 1) !== 0;
  if (qos === 0) {
    return { type: "publish", topic, payload: cursor.bytes(), qos, retain, frame };
  }
  return { type: "publish", qos: 1, retain, topic, id: parseId(cursor), payload: cursor.bytes() };
}

/** §3.8.3 */
function parseRequest(cursor: Cursor): [filter: string, qos: Qos] {
  const filter = parseFilter(cursor);
  return [filter, parseQos(cursor.uint(1), cursor)];
}

/** QoS 2 becomes QoS 1, as the standard allows (§3.9.3). */
function parseQos(value: number, cursor: Cursor): Qos {
  if ((value & 3) === 3) throw new MalformedFrameError("there is no QoS 3", cursor.offset);
  return (value & 3) === 0 ? 0 : 1;
}

function parseAll<Item>(cursor: Cursor, parseItem: (cursor: Cursor) => Item): Item[] {
  const items: Item[] = [];
  do items.push(parseItem(cursor)); while (cursor.left > 0);
  return items;
}

function parseId(cursor: Cursor): number {
  const id = cursor.uint(2);
  if (id > 0) return id;
  throw new MalformedFrameError("a packet identifier must not be 0", cursor.offset);
}

function parseTopic(cursor: Cursor): string {
  const { offset } = cursor;
  return checkTopic(parseText(cursor), offset);
}

function parseFilter(cursor: Cursor): string {
  const { offset } = cursor;
  return checkFilter(parseText(cursor), offset);
}

/** §1.5.3 */
function parseText(cursor: Cursor): string {
  const { offset } = cursor;
  const text = cursor.text(cursor.uint(2));
  if (text.includes("\0")) throw new MalformedFrameError("NUL in a text", offset);
  return text;
}

function write(packet: Reply, out: FrameWriter): void {
  switch (packet.type) {
    case "connack":
      return writeBytes(out, CONNACK, 2, Number(packet.isPresent), packet.code);
    case "puback":
    case "unsuback": {
      const first = packet.type === "puback" ? PUBACK : UNSUBACK;
      return writeBytes(out, first, 2, packet.id >> 8, packet.id & 0xff);
    }
    case "pingresp":
      return writeBytes(out, PINGRESP, 0);
    case "suback":
      out.uint(SUBACK, 1);
      out.varint(2 + packet.codes.length);
      out.uint(packet.id, 2);
      for (const code of packet.codes) out.uint(code, 1);
      return;
    case "publish":
      return writePublish(packet, out);
  }
}

function writeBytes(out: FrameWriter, ...bytes: number[]): void {
  for (const byte of bytes) out.uint(byte, 1);
}

function writePublish(packet: Publish, out: FrameWriter): void {
  const { topic, payload, qos, retain, id, isDuplicate } = packet;
  out.uint(PUBLISH | Number(isDuplicate ?? false) << 3 | qos << 1 | Number(retain), 1);
  out.prefixed("varint", (out) => {
    out.prefixed(2, (out) => out.text(topic));
    if (qos === 1) out.uint(id!, 2);
    out.bytes(payload);
  }, { maxWidth: 4 });
}
