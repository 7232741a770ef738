import { formatIp, parseIp } from "../_internal/ip.ts";
import { ProxyHeaderError } from "../errors.ts";
import {
  type DecodedProxyHeader,
  type Ends,
  INET,
  type ProxyHeader,
  type ProxyHeaderInit,
  toEnds,
  UNIX,
} from "./header.ts";

/** The longest line, including its end (§2.1). */
const MAX_LINE = 107;

/** Ends the addresses. */
const NO_ADDRESS = /[^\da-f:. ]/i;
/** Ends a line without addresses. */
const NO_TEXT = /[\r\n]/;
/**
 * The possible starts of a line, and what ends the text that follows. The family may be that of the source only: nginx
 * combines the source of a header that it has received with its own address, as in
 * `PROXY TCP6 2001:db8::1 127.0.0.1 51512 18401`.
 */
const STARTS: readonly (readonly [start: string, stop: RegExp])[] = [
  ["PROXY TCP4 ", NO_ADDRESS],
  ["PROXY TCP6 ", NO_ADDRESS],
  ["PROXY UNKNOWN ", NO_TEXT],
  ["PROXY UNKNOWN\r", NO_TEXT],
];
const PORT = /^(0|[1-9]\d{0,4})$/;

/** Decodes version 1 (§2.1). Returns `undefined` if the line is not complete. */
export function decodeV1(bytes: Uint8Array): DecodedProxyHeader | undefined {
  const line = toLatin1(bytes.subarray(0, MAX_LINE));
  const found = STARTS.find(([start]) => line.startsWith(start));
  if (found === undefined) return checkStart(line);
  const [start, stop] = found;
  const end = findEnd(line, start.trimEnd().length, stop);
  if (end === undefined) return;
  const header: ProxyHeader = { version: 1, command: "PROXY", tlvs: [] };
  const ends = stop === NO_ADDRESS && decodeEnds(line.slice(0, end), start.length);
  return { header: { ...header, ...ends }, length: end + 2 };
}

/** Turns each byte into one character. `String.fromCharCode(...bytes)` takes ten times as long, 2 µs. */
function toLatin1(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at++) text += String.fromCharCode(bytes[at]!);
  return text;
}

/** Throws if no header begins like this. */
function checkStart(line: string): undefined {
  if (STARTS.some(([start]) => start.startsWith(line))) return;
  const matches = (at: number) => STARTS.some(([start]) => start.startsWith(line.slice(0, at + 1)));
  let at = 0;
  while (matches(at)) at++;
  throw new ProxyHeaderError(
    'a line must begin with "PROXY TCP4", "PROXY TCP6" or "PROXY UNKNOWN"',
    at,
  );
}

/** Finds the end of the line. Throws as soon as there can be none: a lone CR or LF is an error (§2.1). */
function findEnd(line: string, from: number, stop: RegExp): number | undefined {
  const length = line.slice(from).search(stop);
  const at = length === -1 ? line.length : from + length;
  if (at > MAX_LINE - 2) {
    throw new ProxyHeaderError(`a line must end within ${MAX_LINE} bytes`, MAX_LINE - 2);
  }
  if (at === line.length) return;
  if (line[at] !== "\r") throw unexpected(line, at);
  if (at + 1 === line.length) return;
  if (line[at + 1] !== "\n") throw unexpected(line, at + 1);
  return at;
}

function unexpected(line: string, at: number): ProxyHeaderError {
  return new ProxyHeaderError(`unexpected ${JSON.stringify(line[at])}`, at);
}

/** Decodes the addresses and ports of a line without its end. */
function decodeEnds(
  line: string,
  from: number,
): Pick<ProxyHeader, "source" | "destination"> {
  const fields = line.slice(from).split(" ");
  if (fields.length !== 4) {
    const problem = `a line must have two addresses and two ports, got ${fields.length} fields`;
    throw new ProxyHeaderError(problem, from);
  }
  const hostnames: string[] = [];
  const ports: number[] = [];
  let at = from;
  for (const field of fields) {
    if (hostnames.length < 2) hostnames.push(formatIp(decodeIp(field, at)));
    else ports.push(decodePort(field, at));
    at += field.length + 1;
  }
  return {
    source: { transport: "tcp", hostname: hostnames[0]!, port: ports[0]! },
    destination: { transport: "tcp", hostname: hostnames[1]!, port: ports[1]! },
  };
}

function decodeIp(text: string, at: number): Uint8Array {
  const bytes = parseIp(text);
  if (bytes !== undefined) return bytes;
  throw new ProxyHeaderError(`expected an IP address, got ${JSON.stringify(text)}`, at);
}

function decodePort(text: string, at: number): number {
  if (PORT.test(text) && Number(text) <= 65535) return Number(text);
  const problem = `a port must be a number from 0 to 65535, got ${JSON.stringify(text)}`;
  throw new ProxyHeaderError(problem, at);
}

/** Encodes version 1. Addresses that it cannot express become `UNKNOWN` (§2.1). */
export function encodeV1(init: ProxyHeaderInit): Uint8Array {
  for (const name of ["alpn", "authority", "uniqueId", "netns", "tls"] as const) {
    if (init[name] !== undefined) throw new TypeError(`version 1 cannot carry ${name}`);
  }
  if (init.tlvs?.length) throw new TypeError("version 1 cannot carry tlvs");
  if (init.crc32c) throw new TypeError("version 1 cannot carry a checksum (crc32c)");
  const ends = toEnds(init);
  const text = ends && !ends.isDatagram && ends.family !== UNIX ? encodeEnds(ends) : "UNKNOWN";
  return new TextEncoder().encode(`PROXY ${text}\r\n`);
}

/** IPv6 addresses are written without an IPv4 part, which §2.1 does not allow. */
function encodeEnds({ family, source, destination }: Ends): string {
  const [from, to] = [source, destination].map(({ address }) =>
    formatIp(address, { mixed: false })
  );
  return `TCP${family === INET ? 4 : 6} ${from} ${to} ${source.port} ${destination.port}`;
}
