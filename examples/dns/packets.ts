// Messages of DNS (RFC 1035 §4): questions are parsed, answers encoded.

import { Cursor, MalformedFrameError } from "@parley/tcp/codecs";

/** The types of records that the example knows, by their numbers (RFC 1035 §3.2.2, RFC 3596 §2.1). */
export const TYPES = { A: 1, NS: 2, TXT: 16, AAAA: 28 } as const;
/** Response codes (RFC 1035 §4.1.1, RFC 6895 §2.3). */
export const RCODES = { NOERROR: 0, FORMERR: 1, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5 } as const;

const IN = 1;
const OPT = 41;
const MAX_NAME = 255;
/** Header flags. */
const QR = 0x8000;
const OPCODE = 0x7800;
const AA = 0x0400;
const TC = 0x0200;
const RD = 0x0100;

/** A question. */
export interface Question {
  id: number;
  flags: number;
  /** The name in lower case, without the last dot. */
  name: string;
  type: number;
  /** The question as it came, which the answer repeats. */
  bytes: Uint8Array;
  /** How large an answer over UDP may be: 512 bytes (RFC 1035 §4.2.1) unless EDNS says more (RFC 6891 §6.2.3). */
  maxSize: number;
}

/** A record of an answer. Its name is that of the question. */
export interface DnsRecord {
  type: number;
  /** How long it may be kept, in seconds. */
  ttl: number;
  data: Uint8Array;
}

/** The answer to a question. */
export interface Answer {
  rcode: number;
  records: readonly DnsRecord[];
}

/** Parses a message with one question. Throws a `MalformedFrameError`; `undefined` for what must not be answered. */
export function parseQuestion(message: Uint8Array): Question | undefined {
  const cursor = new Cursor(message);
  const id = cursor.uint(2);
  const flags = cursor.uint(2);
  if ((flags & QR) !== 0) return; // answers to answers could go on for ever
  const [questions, answers, authorities, additionals] = [2, 2, 2, 2].map((w) => cursor.uint(w));
  if (questions !== 1) throw new MalformedFrameError(`${questions} questions`, 4);
  const start = cursor.offset;
  const name = parseName(cursor);
  const type = cursor.uint(2);
  cursor.skip(2); // the class
  const bytes = message.slice(start, cursor.offset);
  // Anything but an OPT record after a question is unusual, and is ignored.
  const hasOpt = answers === 0 && authorities === 0 && additionals! > 0 && cursor.left >= 11;
  const isOpt = hasOpt && cursor.uint(1) === 0 && cursor.uint(2) === OPT;
  const maxSize = isOpt ? Math.min(1232, Math.max(512, cursor.uint(2))) : 512;
  return { id, flags, name, type, bytes, maxSize };
}

/** Whether a question is a standard query (opcode 0). */
export function isQuery({ flags }: Question): boolean {
  return (flags & OPCODE) === 0;
}

function parseName(cursor: Cursor): string {
  const labels: string[] = [];
  let size = 1;
  for (let length = cursor.uint(1); length > 0; length = cursor.uint(1)) {
    size += length + 1;
    // A question comes first, so there is nothing that a pointer could point to.
    if (length > 63 || size > MAX_NAME) throw new MalformedFrameError("bad name", cursor.offset);
    labels.push(String.fromCharCode(...cursor.bytes(length)).toLowerCase());
  }
  return labels.join(".");
}

/** Encodes an answer. With `truncate`, it has no records, and tells the client to ask again over TCP. */
export function encodeAnswer(
  question: Question,
  { rcode, records }: Answer,
  truncate = false,
): Uint8Array {
  const sent = truncate ? [] : records;
  const flags = QR | question.flags & (OPCODE | RD) | AA | (truncate ? TC : 0) | rcode;
  const parts = [
    ...words(question.id, flags, 1, sent.length, 0, 0),
    ...question.bytes,
  ];
  for (const { type, ttl, data } of sent) {
    // The name is a pointer to that of the question, after the header (§4.1.4).
    parts.push(...words(0xc00c, type, IN, ttl >>> 16, ttl & 0xffff, data.length), ...data);
  }
  return Uint8Array.from(parts);
}

/** The answer to a message that cannot be parsed: only its identifier, if there is one. */
export function formatError(message: Uint8Array): Uint8Array | undefined {
  if (message.length < 12 || (message[2]! & 0x80) !== 0) return;
  return Uint8Array.from([...message.subarray(0, 2), ...words(QR | RCODES.FORMERR, 0, 0, 0, 0)]);
}

function words(...values: number[]): number[] {
  return values.flatMap((value) => [value >> 8 & 0xff, value & 0xff]);
}
