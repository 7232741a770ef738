// The kinds of reading that a session has, for tests that mix them.

import type { Codec, DecoderInput } from "../codecs/mod.ts";
import * as codecs from "../codecs/mod.ts";
import type { Session } from "../session.ts";

type Value = string | Uint8Array;
/** Takes what a reading has returned, and what it should be. */
export type Keep = (value: Value | undefined, text: string) => void;
/** What the peer sends for a text, one byte a character. */
type Wire = (text: string) => string;

interface Kind {
  wire: Wire;
  open(session: Session): (text: string, keep: Keep) => Promise<Value | undefined>;
  /** Whether it takes whatever has arrived. */
  isGreedy?: boolean;
  /** Whether what it returns may change with the next reading. */
  isView?: boolean;
}

const LONG = "x".repeat(9000);
const dropping = { maxLength: LONG.length - 1, onTooLong: (): void => {} };
const same: Wire = (text) => text;
const line: Wire = (text) => `${text}\n`;
const net: Wire = (text) => `${text.length}:${text},`;
const bulk: Wire = (text) => `$${text.length}\r\n${text}\r\n`;
const headed: Wire = (text) => `Content-Length: ${text.length}\r\n\r\n${text}`;
const prefixed: Wire = (text) =>
  String.fromCharCode(0, 0, text.length >> 8, text.length & 255) + text;

const { Cursor, delimited, fixed, jsonLines, lengthPrefixed, lines, mapped, netstring } = codecs;
const asItIs = { decode: (frame: Uint8Array): Uint8Array => frame, encode(): void {} };
const byCursor = { ...asItIs, decode: (frame: Uint8Array) => new Cursor(frame).bytes() };
const withLength = lengthPrefixed({ keepHeader: true });
const ownLines = own((input, length) => new Cursor(input, { length }).bytes(length));
const ownViews = own(({ buffer, start }, length) => buffer.subarray(start, start + length));

export const KINDS: Record<string, Kind> = {
  "lines": framed(lines(), line),
  "strict lines": framed(lines({ ending: "\r\n", strict: true }), (text) => `${text}\r\n`),
  "lines that end in CR": framed(lines({ ending: "\r" }), (text) => `${text}\r`),
  "lines after long ones": framed(lines(dropping), (text) => line(LONG) + line(text)),
  "JSON lines": framed(jsonLines<string>(), (text) => line(JSON.stringify(text))),
  "delimited": framed(delimited("\n"), line),
  "delimited by 3 bytes": framed(delimited("\0\x01\0"), (text) => `${text}\0\x01\0`),
  "length-prefixed": framed(lengthPrefixed(), prefixed),
  "with its length": framed(withLength, prefixed, (frame) => frame.subarray(4)),
  "netstrings": framed(netstring(), net),
  "netstrings after long ones": framed(netstring(dropping), (text) => net(LONG) + net(text)),
  "octet-counted": framed(codecs.octetCounted(), (text) => `${text.length} ${text}`),
  "header-prefixed": framed(codecs.headerPrefixed(), headed, ({ body }) => body),
  "RESP commands": framed(codecs.respServer(), (text) => `*1\r\n${bulk(text)}`, ([name]) => name),
  "RESP replies": framed(codecs.respClient(), bulk),
  "mapped": framed(mapped(lengthPrefixed(), asItIs), prefixed),
  "mapped by a Cursor": framed(mapped(lengthPrefixed(), byCursor), prefixed),
  "own decoder": framed(ownLines, line),
  "own decoder that returns a view by mistake": { ...framed(ownViews, line), isView: true },
  "fixed": { wire: same, open: (from) => ({ length }) => from.frames(fixed(length)).read() },
  "readExactly()": { wire: same, open: (from) => ({ length }) => from.readExactly(length) },
  "readLine()": { wire: line, open: (from) => () => from.readLine() },
  "text()": chunks((from) => from.text()),
  "bytes() and unread()": chunks((from) => from.bytes()),
  "bytes({ borrow: true })": { ...chunks((from) => from.bytes({ borrow: true })), isView: true },
};

function framed<In>(codec: Codec<In, never>, wire: Wire, valueOf = (it: In): unknown => it): Kind {
  const open = (session: Session): () => Promise<Value> => {
    const frames = session.frames(codec);
    return async () => valueOf((await frames.read())!) as Value;
  };
  return { wire, open };
}

/** Chunks. The second half of each that is bytes is put back. */
function chunks(begin: (session: Session) => AsyncIterator<Value>): Kind {
  const open: Kind["open"] = (session) => async (text, keep) => {
    const all = begin(session);
    for (let at = 0; at < text.length;) {
      const chunk: Value = (await all.next()).value;
      keep(chunk, text.slice(at, at + chunk.length));
      const used = typeof chunk === "string" ? chunk.length : Math.ceil(chunk.length / 2);
      if (typeof chunk !== "string") session.unread(chunk.subarray(used));
      at += used;
    }
    return text;
  };
  return { wire: same, open, isGreedy: true };
}

/** A codec of lines, as a user may write it. */
function own(valueOf: (input: DecoderInput, length: number) => Uint8Array): Codec<Uint8Array> {
  const decode = (input: DecoderInput): Uint8Array | typeof codecs.MORE => {
    const length = input.buffer.subarray(input.start, input.end).indexOf(10);
    if (length < 0) return codecs.MORE;
    const value = valueOf(input, length);
    input.consume(length + 1);
    return value;
  };
  return { decoder: () => ({ maxBuffered: Infinity, decode }), encode(): void {} };
}

/** Of one byte a character. */
export function textOf(value: Value | undefined): string {
  return typeof value === "string" ? value : new TextDecoder("latin1").decode(value);
}
