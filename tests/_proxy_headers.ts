// Headers of the PROXY protocol by hand, and what must hold for each of them.

import { assert, assertEquals, assertInstanceOf, assertStringIncludes } from "@std/assert";
import { crc32c } from "../proxy_protocol/crc32c.ts";
import { ProxyHeaderError } from "../errors.ts";
import {
  type DecodedProxyHeader,
  decodeProxyHeader,
  type DecodeProxyHeaderOptions,
  encodeProxyHeader,
  type ProxyHeader,
} from "../proxy_protocol/mod.ts";
import { concat } from "./_codecs.ts";

/** Text, or bytes in hexadecimal with spaces wherever they help. */
export const latin1 = (text: string): Uint8Array =>
  Uint8Array.from(text, (character) => character.charCodeAt(0));
export const hex = (digits: string): Uint8Array => Uint8Array.fromHex(digits.replaceAll(" ", ""));

/** A header of version 2, its checksum included where `crc` says where that field begins. */
export function v2(
  command: number,
  family: number,
  rest: readonly Uint8Array[],
  crc?: number,
): Uint8Array {
  const { length } = concat(rest);
  const start = Uint8Array.of(command, family, length >> 8, length & 0xff);
  const header = concat([hex("0d0a0d0a 000d0a51 5549540a"), start, ...rest]);
  if (crc !== undefined) new DataView(header.buffer).setUint32(crc + 3, crc32c(header));
  return header;
}

export function tlv(type: number, value: Uint8Array | string): Uint8Array {
  const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
  return concat([Uint8Array.of(type, bytes.length >> 8, bytes.length & 0xff), bytes]);
}

export const CHECKSUM: Uint8Array = tlv(0x03, new Uint8Array(4));

/** Addresses, each with what it stands for. */
export const IPV4: Uint8Array = hex("c0000207 c6336401 c87c 01bb");
export const IPV6: Uint8Array = hex(
  "20010db8 00000000 00000000 00000007 20010db8 00000000 00000000 00000001 c87c 01bb",
);
export const IPV4_ENDS = {
  source: { transport: "tcp", hostname: "192.0.2.7", port: 51324 },
  destination: { transport: "tcp", hostname: "198.51.100.1", port: 443 },
} as const;
export const IPV6_ENDS = {
  source: { transport: "tcp", hostname: "2001:db8::7", port: 51324 },
  destination: { transport: "tcp", hostname: "2001:db8::1", port: 443 },
} as const;
export const path = (text: string): Uint8Array => {
  const block = new Uint8Array(108);
  new TextEncoder().encodeInto(text, block);
  return block;
};

/** What may follow a header at once: text, the beginning of a TLS handshake, another header. */
export const FOLLOWERS: [name: string, bytes: Uint8Array][] = [
  ["text", latin1("GET / HTTP/1.1\r\n\r\n")],
  ["a TLS ClientHello", hex("16030100 c8010000 c40303")],
  ["a header of version 1", latin1("PROXY UNKNOWN\r\n")],
  ["a header of version 2", v2(0x20, 0, [])],
  ["zeros", new Uint8Array(5000)],
];

/** Asserts that a header is decoded whole, not a byte too early, whatever follows it, and does not share its bytes. */
export function assertDecodes(
  bytes: Uint8Array,
  expected: ProxyHeader,
  options?: DecodeProxyHeaderOptions,
): void {
  const { length } = bytes;
  for (let end = 0; end < length; end++) {
    assertEquals(decodeProxyHeader(bytes.subarray(0, end), options), undefined, `${end} bytes`);
  }
  const original = bytes.slice();
  const decoded = decodeProxyHeader(bytes, options);
  assertEquals(bytes, original);
  bytes.fill(0xee);
  assertEquals(decoded, { header: expected, length });
  bytes.set(original);
  for (const [name, follower] of FOLLOWERS) {
    const glued = concat([bytes, follower]);
    assertEquals(decodeProxyHeader(glued, options), { header: expected, length }, name);
  }
}

/** Asserts that bytes are no header: the error comes after `known` bytes, and more bytes do not change it. */
export function assertRefuses(
  bytes: Uint8Array,
  known: number,
  offset: number,
  message: string,
  options?: DecodeProxyHeaderOptions,
): void {
  for (let end = 0; end < known; end++) {
    assertEquals(decodeProxyHeader(bytes.subarray(0, end), options), undefined, `${end} bytes`);
  }
  for (const [, follower] of [["nothing", new Uint8Array(0)] as const, ...FOLLOWERS]) {
    const glued = concat([bytes, follower]);
    for (let end = known; end <= glued.length; end += end < bytes.length ? 1 : 1000) {
      const error = assertThrowsHeaderError(glued.subarray(0, end), options);
      assertEquals(error.offset, offset, `${end} bytes: ${error.message}`);
      if (end >= bytes.length) assertStringIncludes(error.message, message);
    }
  }
}

function assertThrowsHeaderError(
  bytes: Uint8Array,
  options?: DecodeProxyHeaderOptions,
): ProxyHeaderError {
  let error;
  try {
    decodeProxyHeader(bytes, options);
  } catch (thrown) {
    error = thrown;
  }
  assertInstanceOf(error, ProxyHeaderError, `${bytes.length} bytes`);
  assertEquals(error.name, "ProxyHeaderError");
  assertStringIncludes(error.message, `(at byte ${error.offset})`);
  return error;
}

type Outcome = DecodedProxyHeader | undefined | { offset: number };

function outcomeOf(bytes: Uint8Array): Outcome {
  try {
    return decodeProxyHeader(bytes);
  } catch (error) {
    assertInstanceOf(error, ProxyHeaderError);
    assert(error.offset < bytes.length, error.message);
    return { offset: error.offset };
  }
}

/**
 * Asserts what must hold for any bytes: the result does not depend on the pieces in which they come, a receiver never has
 * to hold more than the longest header, and a decoded header can be encoded again.
 */
export function assertDecided(bytes: Uint8Array): void {
  const whole = outcomeOf(bytes);
  if (whole === undefined) assert(bytes.length < 4096);
  let before: Outcome;
  for (let end = 0; end < bytes.length; end += end < 400 ? 1 : 97) {
    const part = outcomeOf(bytes.subarray(0, end));
    if (part === undefined) assertEquals(before, undefined, `${end} bytes`);
    else assertEquals(part, whole, `${end} bytes`);
    before = part;
  }
  if (whole === undefined || "offset" in whole) return;
  assert(whole.length <= bytes.length && whole.length <= 4096);
  const again = decodeProxyHeader(encodeProxyHeader(whole.header));
  assertEquals(again?.header, asWritten(whole.header));
}

/** If one endpoint is IPv4 and the other IPv6, both are written as IPv6. */
function asWritten(header: ProxyHeader): ProxyHeader {
  const { source, destination } = header;
  if (source?.transport !== "tcp" || destination?.transport !== "tcp") return header;
  const isIpv6 = [source, destination].some(({ hostname }) => hostname.includes(":"));
  const widen = (end: Deno.NetAddr): Deno.NetAddr =>
    isIpv6 && !end.hostname.includes(":") ? { ...end, hostname: `::ffff:${end.hostname}` } : end;
  return { ...header, source: widen(source), destination: widen(destination) };
}
