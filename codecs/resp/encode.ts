import { shown } from "../../_internal/checks.ts";
import type { FrameWriter } from "../codec.ts";
import type { TextCoder } from "./encoding.ts";
import {
  type RespCommand,
  RespConstant,
  RespError,
  RespPush,
  type RespValue,
  RespVerbatim,
} from "./values.ts";

/** A version of RESP. */
export type RespVersion = 2 | 3;

const NULL = new RespConstant("$-1\r\n", "_\r\n");
const ZERO = new RespConstant(":0\r\n");
const ONE = new RespConstant(":1\r\n");
const TRUE = new RespConstant(":1\r\n", "#t\r\n");
const FALSE = new RespConstant(":0\r\n", "#f\r\n");

const HEADS: readonly string[] = Array.from({ length: 64 }, (_, length) => `$${length}\r\n`);

export function encodeValue(
  value: RespValue,
  version: RespVersion,
  coder: TextCoder,
  out: FrameWriter,
): void {
  if (typeof value === "string") return encodeBulk(value, coder, out);
  if (value === null) value = NULL;
  else if (value === 0) value = ZERO;
  else if (value === 1) value = ONE;
  if (value instanceof RespConstant) out.bytes(version === 2 ? value.bytes : value.bytes3);
  else coder.write(serialize(value, version, coder), out);
}

export function encodeCommand(command: RespCommand, coder: TextCoder, out: FrameWriter): void {
  if (!Array.isArray(command)) {
    throw new TypeError(`a command must be a list, got ${shown(command)}`);
  }
  if (command.length === 0) throw new TypeError("a command must have a name");
  out.text(`*${command.length}\r\n`);
  for (const word of command) {
    if (typeof word !== "string") {
      throw new TypeError(`a word of a command must be a string, got ${shown(word)}`);
    }
    encodeBulk(word, coder, out);
  }
}

/** Writes three pieces: joining them would cost more. */
function encodeBulk(text: string, coder: TextCoder, out: FrameWriter): void {
  const size = coder.sizeOf(text);
  out.text(HEADS[size] ?? `$${size}\r\n`);
  coder.write(text, out);
  out.text("\r\n");
}

/** Makes one string of the whole reply, so that even a list of thousands is written as one piece. */
function serialize(value: RespValue, version: RespVersion, coder: TextCoder): string {
  if (typeof value === "string") return `$${coder.sizeOf(value)}\r\n${value}\r\n`;
  if (typeof value === "number") return numberText(value, version);
  if (typeof value === "bigint") return bigintText(value, version);
  if (value === null) value = NULL;
  else if (value === true) value = TRUE;
  else if (value === false) value = FALSE;
  if (value instanceof RespConstant) return version === 2 ? value.text : value.text3;
  if (value instanceof RespError) return `-${value.message.replace(/[\r\n]/g, " ")}\r\n`;
  if (value instanceof RespVerbatim) {
    if (version === 2) return serialize(value.text, version, coder);
    return `=${coder.sizeOf(value.text) + 4}\r\n${value.format}:${value.text}\r\n`;
  }
  if (value instanceof Map) {
    const head = version === 2 ? `*${value.size * 2}` : `%${value.size}`;
    return aggregate(head, [...value].flat(1), version, coder);
  }
  if (value instanceof Set) {
    return aggregate(`${version === 2 ? "*" : "~"}${value.size}`, value, version, coder);
  }
  if (value instanceof RespPush) {
    const head = `${version === 2 ? "*" : ">"}${value.items.length}`;
    return aggregate(head, value.items, version, coder);
  }
  if (Array.isArray(value)) return aggregate(`*${value.length}`, value, version, coder);
  throw new TypeError(`RESP cannot represent ${shown(value)}`);
}

function numberText(value: number, version: RespVersion): string {
  if (Number.isSafeInteger(value)) return `:${value}\r\n`;
  const text = Number.isNaN(value) ? "nan" : String(value).replace("Infinity", "inf");
  return version === 2 ? `$${text.length}\r\n${text}\r\n` : `,${text}\r\n`;
}

function bigintText(value: bigint, version: RespVersion): string {
  if (BigInt.asIntN(64, value) === value) return `:${value}\r\n`;
  const text = String(value);
  return version === 2 ? `$${text.length}\r\n${text}\r\n` : `(${text}\r\n`;
}

function aggregate(
  head: string,
  items: Iterable<RespValue>,
  version: RespVersion,
  coder: TextCoder,
): string {
  let text = `${head}\r\n`;
  for (const item of items) text += serialize(item, version, coder);
  return text;
}
