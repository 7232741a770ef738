/** The format of what hubs send to each other. */

import { longAt, putInteger, uint32At } from "../_internal/numbers.ts";
import { decodeUtf8, utf8Length, writeAscii } from "../_internal/utf8.ts";
import { MalformedFrameError } from "../errors.ts";
import { CONTEXT_SIZE } from "./trace_context.ts";

/** What a message is. Hubs ignore other kinds, which later versions may send. */
export const DATA = 1;
export const PRESENCE = 2;
/** Data whose payload begins with the context of a trace. It is numbered together with other data. */
export const TRACED = 3;
export type Kind = typeof DATA | typeof PRESENCE | typeof TRACED;

/** The place of messages among those of their sender. */
export interface MessageNumber {
  /** The hub that has sent them: a random number for each hub, so that a process that was restarted is another one. */
  readonly sender: number;
  /** A sender begins a higher epoch if it has forgotten the last number of the group. */
  readonly epoch: number;
  /** Counts the messages of this sender to this group in this epoch, from 1. If there are several, that of the first one. */
  readonly number: number;
  /** How long ago the sender has sent the message before these, in milliseconds, 2^32 - 1 at most. */
  readonly elapsed: number;
}

/**
 * Messages that a hub has published to a group one after the other, in one turn of its event loop. All integers are
 * big-endian:
 *
 * | bytes | content |
 * |---|---|
 * | 1 | the version of the format, 1 |
 * | 1 | `kind` |
 * | 6 | `sender` |
 * | 4 | `epoch` |
 * | 6 | `number` |
 * | 4 | `elapsed` |
 * | 2 | the length of `group` in bytes |
 * | … | `group` in UTF-8 |
 *
 * Then, for each message:
 *
 * | bytes | content |
 * |---|---|
 * | 2 | the length of `key` in bytes |
 * | 4 | the length of `payload` in bytes, at least 25 if the kind is `TRACED` |
 * | … | `key` in UTF-8, then `payload` |
 */
export interface Batch extends MessageNumber {
  readonly kind: number;
  readonly group: string;
  /** How many messages there are, at least 1. */
  readonly count: number;
  /** The messages, for {@linkcode messagesOf}. */
  readonly content: Uint8Array;
}

/** A message between hubs. */
export interface BusMessage {
  /** The key for conflation, which may be empty. */
  readonly key: string;
  readonly payload: Uint8Array;
}

const VERSION = 1;
/** The size of a batch without its group and messages. */
const HEADER_SIZE = 24;
/** The size of a message without its key and payload. */
const MESSAGE_HEADER_SIZE = 6;
/** How many bytes of UTF-8 a UTF-16 unit takes at most. */
const MAX_WIDTH = 3;
const MAX_ELAPSED = 2 ** 32 - 1;

/** What is small shares memory, in blocks of this size: to allocate 200 bytes takes up to 1 µs, a view of them 0.02. */
const BLOCK = 64 * 1024;
const MAX_SHARED = BLOCK / 16;

const encoder = new TextEncoder();
let block = new Uint8Array(0);
let blockUsed = 0;

/** Messages that become a batch. */
export class Outgoing {
  readonly kind: Kind;
  readonly group: string;
  readonly messages: BusMessage[];
  /** The largest size that it may have, in bytes. */
  size: number;

  constructor(kind: Kind, group: string, first: BusMessage) {
    this.kind = kind;
    this.group = group;
    this.messages = [first];
    this.size = HEADER_SIZE + MAX_WIDTH * group.length + mostOf(first);
  }

  /** Adds a message, unless the batch may become larger than `maxSize`. Returns whether it was added. */
  add(message: BusMessage, maxSize: number): boolean {
    const size = this.size + mostOf(message);
    if (size > maxSize) return false;
    this.messages.push(message);
    this.size = size;
    return true;
  }

  encode({ sender, epoch, number, elapsed }: MessageNumber): Uint8Array {
    const bytes = allocate(this.size);
    bytes[0] = VERSION;
    bytes[1] = this.kind;
    putInteger(bytes, 2, sender, 6, false);
    putInteger(bytes, 8, epoch, 4, false);
    putInteger(bytes, 12, number, 6, false);
    setElapsed(bytes, elapsed);
    const groupLength = writeText(this.group, bytes, HEADER_SIZE);
    putInteger(bytes, 22, groupLength, 2, false);
    let at = HEADER_SIZE + groupLength;
    for (const { key, payload } of this.messages) {
      const keyLength = key === "" ? 0 : writeText(key, bytes, at + MESSAGE_HEADER_SIZE);
      putInteger(bytes, at, keyLength, 2, false);
      putInteger(bytes, at + 2, payload.length, 4, false);
      at += MESSAGE_HEADER_SIZE + keyLength;
      bytes.set(payload, at);
      at += payload.length;
    }
    return bytes.subarray(0, at);
  }
}

function mostOf({ key, payload }: BusMessage): number {
  return MESSAGE_HEADER_SIZE + MAX_WIDTH * key.length + payload.length;
}

/** Writes text as UTF-8. Returns its size in bytes. */
function writeText(text: string, bytes: Uint8Array, at: number): number {
  const size = writeAscii(text, bytes, at);
  return size < 0 ? encoder.encodeInto(text, bytes.subarray(at)).written : size;
}

/** The size of a batch with one message, in bytes. */
export function sizeOf(group: string, { key, payload }: BusMessage): number {
  return HEADER_SIZE + utf8Length(group) + MESSAGE_HEADER_SIZE + utf8Length(key) + payload.length;
}

/** A copy of bytes, which shares memory with others. */
export function copyOf(bytes: Uint8Array): Uint8Array {
  const copy = allocate(bytes.length);
  copy.set(bytes);
  return copy;
}

function allocate(size: number): Uint8Array {
  if (size > MAX_SHARED) return new Uint8Array(size);
  if (block.length - blockUsed < size) {
    block = new Uint8Array(BLOCK);
    blockUsed = 0;
  }
  const bytes = block.subarray(blockUsed, blockUsed + size);
  blockUsed += size;
  return bytes;
}

/** Sets `elapsed` of an encoded batch. */
export function setElapsed(bytes: Uint8Array, elapsed: number): void {
  putInteger(bytes, 18, Math.min(Math.floor(elapsed), MAX_ELAPSED), 4, false);
}

/**
 * Decodes a batch.
 *
 * @throws {MalformedFrameError} If the bytes are no batch of a hub.
 */
export function decodeBatch(bytes: Uint8Array): Batch {
  if (bytes.length < HEADER_SIZE) {
    throw malformed(`has ${bytes.length} bytes, but its header has ${HEADER_SIZE}`, bytes.length);
  }
  if (bytes[0] !== VERSION) throw malformed(`has version ${bytes[0]}, but ${VERSION} is known`, 0);
  const groupEnd = HEADER_SIZE + uint32At(bytes, 22, 2, false);
  if (groupEnd > bytes.length) {
    throw malformed(`has ${bytes.length} bytes, but its group ends at ${groupEnd}`, 22);
  }
  return {
    kind: bytes[1]!,
    sender: longAt(bytes, 2, 6, false, false),
    epoch: uint32At(bytes, 8, 4, false),
    number: longAt(bytes, 12, 6, false, false),
    elapsed: uint32At(bytes, 18, 4, false),
    group: decodeUtf8(bytes, HEADER_SIZE, groupEnd, false),
    count: countMessages(bytes, groupEnd, bytes[1] === TRACED ? CONTEXT_SIZE : 0),
    content: bytes.subarray(groupEnd),
  };
}

function countMessages(bytes: Uint8Array, start: number, minPayload: number): number {
  let count = 0;
  let at = start;
  do {
    if (bytes.length - at < MESSAGE_HEADER_SIZE) {
      throw malformed(`ends in the header of message ${count + 1}`, at);
    }
    const payload = uint32At(bytes, at + 2, 4, false);
    if (payload < minPayload) {
      throw malformed(`is of a trace, but message ${count + 1} has ${payload} bytes`, at);
    }
    const end = at + MESSAGE_HEADER_SIZE + uint32At(bytes, at, 2, false) + payload;
    if (end > bytes.length) {
      const has = `has ${bytes.length} bytes`;
      throw malformed(`${has}, but message ${count + 1} ends at ${end}`, at);
    }
    at = end;
    count++;
  } while (at < bytes.length);
  return count;
}

/** The messages of a batch. Their payloads are parts of its content. */
export function messagesOf(content: Uint8Array): BusMessage[] {
  const messages: BusMessage[] = [];
  for (let at = 0; at < content.length;) {
    const keyAt = at + MESSAGE_HEADER_SIZE;
    const keyEnd = keyAt + uint32At(content, at, 2, false);
    const end = keyEnd + uint32At(content, at + 2, 4, false);
    messages.push({
      key: decodeUtf8(content, keyAt, keyEnd, false),
      payload: content.subarray(keyEnd, end),
    });
    at = end;
  }
  return messages;
}

function malformed(problem: string, offset: number): MalformedFrameError {
  return new MalformedFrameError(`a batch on the bus ${problem}`, offset);
}
