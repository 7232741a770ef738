import { indexOfByte } from "../../_internal/index_of.ts";
import { type Decoder, type DecoderInput, MORE } from "../codec.ts";
import type { TextCoder } from "./encoding.ts";
import { RespProtocolError } from "./protocol_error.ts";
import { RespError, RespPush, type RespValue, RespVerbatim } from "./values.ts";

/** The maximum size of a line (a simple string, an error or a number), in bytes. */
const MAX_LINE = 64 * 1024;
const [LF, CR] = [0x0a, 0x0d] as const;
/** Stands for an element that is not complete. */
const INCOMPLETE: unique symbol = Symbol("INCOMPLETE");

/** The limits of a reply. */
export interface ValueLimits {
  maxBulkLength: number;
  maxItems: number;
  maxDepth: number;
  maxReplyLength: number;
}

/** A list that is being read. */
interface Open {
  type: string;
  items: RespValue[];
  /** How many elements it will have. */
  count: number;
}

/** Decodes replies. It parses each element once, as it comes, and consumes a reply as a whole. */
export class ValueDecoder implements Decoder<RespValue> {
  readonly maxBuffered: number;
  readonly #limits: ValueLimits;
  readonly #coder: TextCoder;
  /** Where the next element begins. */
  #at = 0;
  /** How many of the unread bytes are known to contain no further line end. */
  #scanned = 0;
  /** The lists that are not complete, each nested in the one before. */
  #open: Open[] = [];

  constructor(limits: ValueLimits, coder: TextCoder) {
    this.maxBuffered = limits.maxReplyLength;
    this.#limits = limits;
    this.#coder = coder;
  }

  decode(input: DecoderInput): RespValue | typeof MORE {
    for (;;) {
      const element = this.#readElement(input);
      if (element === INCOMPLETE) return MORE;
      if (element === undefined) continue; // a list has begun
      const value = this.#close(element);
      if (value === undefined) continue;
      input.consume(this.#at);
      this.#at = this.#scanned = 0;
      return value;
    }
  }

  /** Adds a value to its list. Returns the reply if it is complete. */
  #close(element: RespValue): RespValue | undefined {
    let value = element;
    for (;;) {
      const list = this.#open.at(-1);
      if (list === undefined) return value;
      list.items.push(value);
      if (list.items.length < list.count) return;
      this.#open.pop();
      if (list.type === "|") return; // attributes come before the value that they describe
      value = made(list);
    }
  }

  /** Reads one element: a value, or the beginning of a list, which is `undefined`. */
  #readElement(input: DecoderInput): RespValue | undefined | typeof INCOMPLETE {
    const { buffer, start } = input;
    const end = Math.min(input.end, start + this.maxBuffered); // a reply that needs more is too long
    const from = start + this.#at;
    const found = indexOfByte(buffer, LF, Math.max(from, start + this.#scanned), end);
    if ((found < 0 ? end : found) - from > MAX_LINE) throw this.#broken("line too long");
    if (found < 0) {
      this.#scanned = end - start;
      return INCOMPLETE;
    }
    if (found - from < 2 || buffer[found - 1] !== CR) throw this.#broken("a line must end in CRLF");
    const next = found + 1 - start;
    const type = String.fromCharCode(buffer[from]!);
    if (type === "$" || type === "!" || type === "=") return this.#readBulk(input, type, next);
    const text = this.#coder.decode(buffer, from + 1, found - 1);
    if ("*%~>|".includes(type)) return this.#begin(type, text, next);
    const value = this.#simple(type, text);
    this.#at = next;
    return value;
  }

  #readBulk(input: DecoderInput, type: string, next: number): RespValue | typeof INCOMPLETE {
    const { buffer, start } = input;
    const end = Math.min(input.end, start + this.maxBuffered);
    const length = this.#count(this.#coder.decode(buffer, start + this.#at + 1, start + next - 2));
    if (length < 0) {
      if (type !== "$") throw this.#broken("invalid bulk length");
      this.#at = next;
      return null;
    }
    if (length > this.#limits.maxBulkLength) throw this.#broken("invalid bulk length");
    const stop = next + length;
    if (end - start < stop + 2) {
      this.#scanned = this.#at;
      input.need(stop + 2);
      return INCOMPLETE;
    }
    if (buffer[start + stop] !== CR || buffer[start + stop + 1] !== LF) {
      throw this.#broken("a bulk string must end in CRLF");
    }
    const text = this.#coder.decode(buffer, start + next, start + stop);
    if (type === "=" && !/^[\x20-\x7e]{3}:/.test(text)) {
      throw this.#broken("invalid verbatim string");
    }
    this.#at = stop + 2;
    if (type === "$") return text;
    return type === "!" ? new RespError(text) : new RespVerbatim(text.slice(4), text.slice(0, 3));
  }

  #begin(type: string, text: string, next: number): RespValue | undefined {
    const { maxItems, maxDepth } = this.#limits;
    const count = this.#count(text);
    if (count > maxItems) throw this.#broken("invalid multibulk length");
    if (count < 0 && type !== "*") throw this.#broken("invalid multibulk length");
    if (this.#open.length >= maxDepth) throw this.#broken("lists nested too deeply");
    this.#at = next;
    if (count < 0) return null;
    const list = { type, items: [], count: type === "%" || type === "|" ? count * 2 : count };
    if (count > 0) this.#open.push(list);
    else if (type !== "|") return made(list);
    return undefined;
  }

  /** A length: a number without a sign, or -1. */
  #count(text: string): number {
    if (text === "-1") return -1;
    if (/^(0|[1-9]\d{0,14})$/.test(text)) return Number(text);
    throw this.#broken("invalid length");
  }

  #simple(type: string, text: string): RespValue {
    switch (type) {
      case "+":
        return text;
      case "-":
        return new RespError(text);
      case ":":
        if (/^[+-]?\d{1,19}$/.test(text)) return integer(text);
        break;
      case "_":
        if (text === "") return null;
        break;
      case "#":
        if (text === "t" || text === "f") return text === "t";
        break;
      case ",":
        if (/^[+-]?(\d+(\.\d*)?(e[+-]?\d+)?|inf|nan)$/i.test(text)) return double(text);
        break;
      case "(":
        if (/^[+-]?\d{1,4096}$/.test(text)) return BigInt(text.replace("+", ""));
        break;
    }
    throw this.#broken(`invalid value of type '${type}'`);
  }

  #broken(problem: string): RespProtocolError {
    return new RespProtocolError(problem, this.#at);
  }
}

function integer(text: string): number | bigint {
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : BigInt(text.replace("+", ""));
}

function double(text: string): number {
  return Number(text.replace(/inf/i, "Infinity").replace(/[+-]?nan/i, "NaN"));
}

function made({ type, items }: Open): RespValue {
  switch (type) {
    case "%": {
      const map = new Map<RespValue, RespValue>();
      for (let i = 0; i < items.length; i += 2) map.set(items[i]!, items[i + 1]!);
      return map;
    }
    case "~":
      return new Set(items);
    case ">":
      return new RespPush(items);
    default:
      return items;
  }
}
