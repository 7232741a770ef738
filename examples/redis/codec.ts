/**
 * RESP, the protocol of Redis: a codec from commands to replies, in its versions 2 and 3.
 *
 * Redis strings are bytes. Here they are strings whose characters are those bytes, U+0000 to U+00FF: they make keys
 * of a `Map`, and V8 keeps them in one byte a character.
 */

import { Buffer } from "node:buffer";
import {
  type Codec,
  type Decoder,
  type DecoderInput,
  type FrameWriter,
  MORE,
} from "@parley/tcp/codecs";

/** A command: its name and its arguments. An empty one asks for nothing and gets no reply. */
export type Command = readonly string[];

/** A reply; a plain string is a bulk string, and `null` says that there is none. */
export type Reply =
  | string
  | number
  | bigint
  | null
  | readonly Reply[]
  | ReadonlyMap<string, Reply>
  | ReadonlySet<string>
  | Constant
  | RedisError
  | Push
  | Verbatim;

/** A reply that is always the same: its bytes are made once. */
export class Constant {
  readonly text: string;
  /** The same in RESP3. */
  readonly text3: string;
  readonly bytes: Uint8Array;
  readonly bytes3: Uint8Array;

  constructor(text: string, text3: string = text) {
    this.text = text;
    this.text3 = text3;
    this.bytes = new TextEncoder().encode(text);
    this.bytes3 = new TextEncoder().encode(text3);
  }
}

const NULL: Constant = new Constant("$-1\r\n", "_\r\n");
const ZERO: Constant = new Constant(":0\r\n");
const ONE: Constant = new Constant(":1\r\n");
/** Where an array is asked for, RESP2 has a `null` of its own. */
export const NULL_ARRAY: Constant = new Constant("*-1\r\n", "_\r\n");
export const OK: Constant = status("OK");

/** A short text that says how it went. */
export function status(text: string): Constant {
  return new Constant(`+${text}\r\n`);
}

/** What a client did wrong. The message begins with a word for programs, such as `ERR` or `WRONGTYPE`. */
export class RedisError extends Error {
  override readonly name = "RedisError";
}

/** What a client is told without having asked. */
export class Push {
  readonly items: readonly Reply[];

  constructor(...items: readonly Reply[]) {
    this.items = items;
  }
}

/** Text for people. */
export class Verbatim {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** The client breaks the protocol. What follows cannot be made sense of. */
export class ProtocolError extends RedisError {
  constructor(problem: string) {
    super(`ERR Protocol error: ${problem}`);
  }
}

/** What one command may take. */
export interface RespLimits {
  /**
   * The most bytes of one argument.
   *
   * @default {8388608}
   */
  maxBulkLength?: number;
  /**
   * The most arguments, the name included.
   *
   * @default {1048576}
   */
  maxArguments?: number;
  /**
   * The most bytes of a command altogether.
   *
   * @default {67108864}
   */
  maxCommandLength?: number;
}

const MAX_INLINE = 64 * 1024;

/** The server's side of RESP. Each session has its own: the client chooses the version of the replies. */
export class Resp implements Codec<Command, Reply> {
  version: 2 | 3 = 2;
  readonly #limits: Required<RespLimits>;

  constructor(limits: RespLimits = {}) {
    this.#limits = {
      maxBulkLength: limits.maxBulkLength ?? 8 * 1024 * 1024,
      maxArguments: limits.maxArguments ?? 1024 * 1024,
      maxCommandLength: limits.maxCommandLength ?? 64 * 1024 * 1024,
    };
  }

  decoder(): Decoder<Command> {
    return new CommandDecoder(this.#limits);
  }

  encode(reply: Reply, out: FrameWriter): void {
    if (typeof reply === "string") return encodeBulk(reply, out);
    if (reply === null) reply = NULL;
    else if (reply === 0) reply = ZERO;
    else if (reply === 1) reply = ONE;
    if (reply instanceof Constant) out.bytes(this.version === 2 ? reply.bytes : reply.bytes3);
    else encodeBinary(serialize(reply, this.version), out);
  }
}

/** The most frequent reply, in pieces: to put them together would cost more than to send them one by one. */
function encodeBulk(text: string, out: FrameWriter): void {
  out.text(HEADS[text.length] ?? `$${text.length}\r\n`);
  encodeBinary(text, out);
  out.text("\r\n");
}

const HEADS: readonly string[] = Array.from({ length: 64 }, (_, length) => `$${length}\r\n`);

function encodeBinary(text: string, out: FrameWriter): void {
  if (isAscii(text)) out.text(text);
  else out.bytes(Buffer.from(text, "latin1"));
}

function isAscii(text: string): boolean {
  if (text.length > 32) return !BEYOND_ASCII.test(text);
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return false;
  return true;
}

const BEYOND_ASCII = /[^\0-\x7f]/;

/** One string for the whole reply: `encode()` then has one piece to send, be it a list of thousands. */
function serialize(reply: Reply, version: 2 | 3): string {
  if (typeof reply === "string") return `$${reply.length}\r\n${reply}\r\n`;
  if (typeof reply === "number" || typeof reply === "bigint") return `:${reply}\r\n`;
  if (reply === null) reply = NULL;
  if (reply instanceof Constant) return version === 2 ? reply.text : reply.text3;
  if (reply instanceof RedisError) return `-${reply.message.replace(/[\r\n]/g, " ")}\r\n`;
  if (reply instanceof Verbatim) {
    if (version === 2) return serialize(reply.text, version);
    return `=${reply.text.length + 4}\r\ntxt:${reply.text}\r\n`;
  }
  if (reply instanceof Map) {
    const head = version === 2 ? `*${reply.size * 2}` : `%${reply.size}`;
    return aggregate(head, [...reply].flat(1), version);
  }
  if (reply instanceof Set) {
    return aggregate(`${version === 2 ? "*" : "~"}${reply.size}`, reply, version);
  }
  if (reply instanceof Push) {
    return aggregate(`${version === 2 ? "*" : ">"}${reply.items.length}`, reply.items, version);
  }
  const items = reply as readonly Reply[];
  return aggregate(`*${items.length}`, items, version);
}

function aggregate(head: string, items: Iterable<Reply>, version: 2 | 3): string {
  let text = `${head}\r\n`;
  for (const item of items) text += serialize(item, version);
  return text;
}

const [LF, CR, DOLLAR, STAR, MINUS, DIGIT_0] = [0x0a, 0x0d, 0x24, 0x2a, 0x2d, 0x30] as const;

/** What `#readLength()` returns where there is no length. */
const [INCOMPLETE, NEGATIVE, INVALID] = [-1, -2, -3] as const;

class CommandDecoder implements Decoder<Command> {
  readonly maxBuffered: number;
  readonly #limits: Required<RespLimits>;
  /** How far the command is understood, in bytes from its first. */
  #at = 0;
  /** How many arguments it has, once that is known. */
  #count = -1;
  /** How many of them were found, and where each begins and ends. */
  #found = 0;
  #bounds: number[] = [];

  constructor(limits: Required<RespLimits>) {
    this.maxBuffered = limits.maxCommandLength;
    this.#limits = limits;
  }

  decode(input: DecoderInput): Command | typeof MORE {
    const { buffer, start, end } = input;
    if (this.#count < 0) {
      if (buffer[start] !== STAR) return this.#decodeInline(input);
      const count = this.#readLength(buffer, start, start + 1, end);
      if (count === INCOMPLETE) return MORE;
      if (count === INVALID || count > this.#limits.maxArguments) {
        throw new ProtocolError("invalid multibulk length");
      }
      this.#count = Math.max(0, count);
    }
    while (this.#found < this.#count) {
      const head = start + this.#at;
      if (head >= end) return MORE;
      if (buffer[head] !== DOLLAR) {
        throw new ProtocolError(`expected '$', got '${String.fromCharCode(buffer[head]!)}'`);
      }
      const length = this.#readLength(buffer, start, head + 1, end);
      if (length === INCOMPLETE) return MORE;
      if (length < 0 || length > this.#limits.maxBulkLength) {
        throw new ProtocolError("invalid bulk length");
      }
      const first = this.#at;
      if (start + first + length + 2 > end) {
        this.#at = head - start;
        input.need(first + length + 2);
        return MORE;
      }
      this.#bounds[this.#found * 2] = first;
      this.#bounds[this.#found * 2 + 1] = first + length;
      this.#found++;
      this.#at = first + length + 2; // Redis does not look at the line end either
    }
    const command = new Array<string>(this.#count);
    for (let i = 0; i < this.#count; i++) {
      command[i] = binary(
        buffer,
        start + this.#bounds[i * 2]!,
        start + this.#bounds[i * 2 + 1]!,
      );
    }
    return this.#done(input, this.#at, command);
  }

  #done(input: DecoderInput, length: number, command: Command): Command {
    if (this.#bounds.length > 1024) this.#bounds = [];
    this.#at = this.#found = 0;
    this.#count = -1;
    input.consume(length);
    return command;
  }

  /** Reads the decimal number that ends a line, and goes on behind that line. */
  #readLength(buffer: Uint8Array, start: number, from: number, end: number): number {
    let value = 0;
    let at = from;
    for (; at < end; at++) {
      const digit = buffer[at]! - DIGIT_0;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    const digits = at - from;
    if (digits === 0 && buffer[at] === MINUS && at < end) {
      const length = this.#readLength(buffer, start, at + 1, end);
      return length > 0 ? NEGATIVE : length < 0 ? length : INVALID;
    }
    if (digits > 15 || (digits > 1 && buffer[from] === DIGIT_0)) return INVALID;
    if (at === end) return INCOMPLETE;
    if (digits === 0 || buffer[at] !== CR) return INVALID;
    if (at + 1 === end) return INCOMPLETE;
    if (buffer[at + 1] !== LF) return INVALID;
    this.#at = at + 2 - start;
    return value;
  }

  /** A command as a person types it: words in a line. */
  #decodeInline(input: DecoderInput): Command | typeof MORE {
    const { buffer, start, end } = input;
    const found = buffer.subarray(start + this.#at, end).indexOf(LF);
    const length = found < 0 ? end - start : this.#at + found;
    if (length > MAX_INLINE) throw new ProtocolError("too big inline request");
    this.#at = length;
    if (found < 0) return MORE;
    const words = splitWords(binary(buffer, start, start + length));
    if (words === undefined) throw new ProtocolError("unbalanced quotes in request");
    return this.#done(input, length + 1, words);
  }
}

/** Bytes as a string of as many characters. Few are put together faster than a call into the runtime takes. */
function binary(buffer: Uint8Array, from: number, to: number): string {
  if (to - from > 8) return Buffer.prototype.latin1Slice.call(buffer, from, to);
  let text = "";
  for (let i = from; i < to; i++) text += String.fromCharCode(buffer[i]!);
  return text;
}

const SPACE = /[ \t\n\v\f\r]+/y;
/** A word and what it has in quotes: `plain`, `"a\x00b"`, `'it\'s'`. */
const WORD =
  /([^ \t\n\v\f\r"']*)(?:"((?:[^"\\]|\\[^])*)"|'((?:[^'\\]|\\'|\\(?!'))*)')?(?=[ \t\n\v\f\r]|$)/y;
const ESCAPE = /\\(?:x([\da-f]{2})|([^]))/gi;
const CONTROLS: Record<string, string> = { n: "\n", r: "\r", t: "\t", b: "\b", a: "\x07" };

/** Splits a line into words; `undefined` if a quote is not closed, or is followed by anything but space. */
function splitWords(line: string): string[] | undefined {
  const words: string[] = [];
  for (let at = 0;;) {
    SPACE.lastIndex = at;
    if (SPACE.test(line)) at = SPACE.lastIndex;
    if (at === line.length) return words;
    WORD.lastIndex = at;
    const match = WORD.exec(line);
    if (match === null) return undefined;
    const [, plain, double = "", single = ""] = match;
    words.push(plain + unescape(double) + single.replaceAll("\\'", "'"));
    at = WORD.lastIndex;
  }
}

function unescape(text: string): string {
  return text.replace(
    ESCAPE,
    (_, hex: string | undefined, other: string) =>
      hex === undefined ? CONTROLS[other] ?? other : String.fromCharCode(parseInt(hex, 16)),
  );
}
