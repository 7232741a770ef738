/** The format of messages between hubs. */

import { longAt, putInteger, uint32At } from "../_internal/numbers.ts";
import { decodeUtf8, writeAscii } from "../_internal/utf8.ts";
import { MalformedFrameError } from "../errors.ts";
import { CONTEXT_SIZE } from "./trace_context.ts";

/** What a message is. Hubs ignore other kinds, which later versions may send. */
export const DATA = 1;
export const PRESENCE = 2;
/** Data whose payload begins with the context of a trace. It is numbered together with other data. */
export const TRACED = 3;
export type Kind = typeof DATA | typeof PRESENCE | typeof TRACED;

/** The place of a message among those of its sender. */
export interface MessageNumber {
  /** The hub that has sent it: a random number for each hub, so that a process that was restarted is another one. */
  readonly sender: number;
  /** A sender begins a higher epoch if it has forgotten the last number of the group. */
  readonly epoch: number;
  /** Counts the messages of this sender to this group in this epoch, from 1. */
  readonly number: number;
  /** How long ago the sender has sent the message before this one, in milliseconds, 2^32 - 1 at most. */
  readonly elapsed: number;
}

/**
 * A message between hubs. All integers are big-endian:
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
 * | 2 | the length of `key` in bytes |
 * | … | `group`, then `key`, in UTF-8, then `payload`, which has at least 25 bytes if the kind is `TRACED` |
 */
export interface BusMessage extends MessageNumber {
  readonly kind: number;
  readonly group: string;
  /** The key for conflation, which may be empty. */
  readonly key: string;
  readonly payload: Uint8Array;
}

const VERSION = 1;
/** The size of a message without its group, key and payload. */
export const HEADER_SIZE = 26;
const MAX_ELAPSED = 2 ** 32 - 1;

/** Small messages share memory, in blocks of this size: to allocate 200 bytes takes up to 1 µs, a view of them 0.02. */
const BLOCK = 64 * 1024;
const MAX_SHARED = BLOCK / 16;

const encoder = new TextEncoder();
let block = new Uint8Array(0);
let blockUsed = 0;

/** Encodes a message without its number. */
export function encodeMessage(
  { kind, group, key, payload }: Omit<BusMessage, keyof MessageNumber>,
): Uint8Array {
  const bytes = allocate(HEADER_SIZE + group.length + key.length + payload.length);
  const written = writeAscii(group, bytes, HEADER_SIZE);
  const keyWritten = key === "" ? 0 : writeAscii(key, bytes, HEADER_SIZE + group.length);
  if (written < 0 || keyWritten < 0) return encodeAny(kind, group, key, payload);
  bytes.set(payload, setHeader(bytes, kind, written, keyWritten));
  return bytes;
}

/** Encodes a message whose group and key are any text. */
function encodeAny(kind: number, group: string, key: string, payload: Uint8Array): Uint8Array {
  const name = encoder.encode(group);
  const about = encoder.encode(key);
  const bytes = allocate(HEADER_SIZE + name.length + about.length + payload.length);
  bytes.set(name, HEADER_SIZE);
  bytes.set(about, HEADER_SIZE + name.length);
  bytes.set(payload, setHeader(bytes, kind, name.length, about.length));
  return bytes;
}

/** Returns where the payload begins. */
function setHeader(bytes: Uint8Array, kind: number, group: number, key: number): number {
  bytes[0] = VERSION;
  bytes[1] = kind;
  putInteger(bytes, 22, group, 2, false);
  putInteger(bytes, 24, key, 2, false);
  return HEADER_SIZE + group + key;
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

/** Sets the number of an encoded message. */
export function setNumber(
  bytes: Uint8Array,
  { sender, epoch, number, elapsed }: MessageNumber,
): void {
  putInteger(bytes, 2, sender, 6, false);
  putInteger(bytes, 8, epoch, 4, false);
  putInteger(bytes, 12, number, 6, false);
  setElapsed(bytes, elapsed);
}

/** Sets `elapsed` of an encoded message. */
export function setElapsed(bytes: Uint8Array, elapsed: number): void {
  putInteger(bytes, 18, Math.min(Math.floor(elapsed), MAX_ELAPSED), 4, false);
}

/**
 * Decodes a message.
 *
 * @throws {MalformedFrameError} If the bytes are no message of a hub.
 */
export function decodeMessage(bytes: Uint8Array): BusMessage {
  if (bytes.length < HEADER_SIZE) {
    throw malformed(`has ${bytes.length} bytes, but its header has ${HEADER_SIZE}`, bytes.length);
  }
  if (bytes[0] !== VERSION) throw malformed(`has version ${bytes[0]}, but ${VERSION} is known`, 0);
  const groupEnd = HEADER_SIZE + uint32At(bytes, 22, 2, false);
  const keyEnd = groupEnd + uint32At(bytes, 24, 2, false);
  if (keyEnd > bytes.length) {
    throw malformed(`has ${bytes.length} bytes, but its group and key end at ${keyEnd}`, 22);
  }
  if (bytes[1] === TRACED && bytes.length < keyEnd + CONTEXT_SIZE) {
    throw malformed(`is of a trace, but has ${bytes.length - keyEnd} bytes for it`, keyEnd);
  }
  return {
    kind: bytes[1]!,
    sender: longAt(bytes, 2, 6, false, false),
    epoch: uint32At(bytes, 8, 4, false),
    number: longAt(bytes, 12, 6, false, false),
    elapsed: uint32At(bytes, 18, 4, false),
    group: decodeUtf8(bytes, HEADER_SIZE, groupEnd, false),
    key: decodeUtf8(bytes, groupEnd, keyEnd, false),
    payload: bytes.subarray(keyEnd),
  };
}

function malformed(problem: string, offset: number): MalformedFrameError {
  return new MalformedFrameError(`a message of the bus ${problem}`, offset);
}
