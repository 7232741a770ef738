/** The headers of IP and TCP of made-up packets. No I/O. */

import { parseIp } from "../_internal/ip.ts";
import { type Address, normalizeAddress } from "../transport/connection.ts";

/** The flags of a segment (RFC 9293 §3.1). */
export const FLAGS = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16 } as const;

const TCP_PROTOCOL = 6;
const TCP_HEADER = 20;
/** The longest payload: with the headers, it fits into the 16 bits of a length. */
export const MAX_SEGMENT: number = 32 * 1024;

/** One end of a stream. */
export interface Endpoint {
  /** 4 or 16 bytes. */
  ip: Uint8Array;
  port: number;
}

/** Both ends of a session. */
export interface Endpoints {
  remote: Endpoint;
  local: Endpoint;
  /** Whether they are made up, because the connection has no IP addresses. */
  areMadeUp: boolean;
}

/** The addresses of documentation (TEST-NET-1, RFC 5737), which no real host has. */
const MADE_UP_SERVER: Endpoint = { ip: Uint8Array.of(192, 0, 2, 1), port: 65535 };
const MADE_UP_CLIENT = Uint8Array.of(192, 0, 2, 2);

/** The ends of a connection. `n` makes those apart that have no addresses. */
export function endpointsOf(
  remoteAddr: Address,
  localAddr: Address,
  { n, isServer }: { n: number; isServer: boolean },
): Endpoints {
  const remote = endpointOf(remoteAddr);
  const local = endpointOf(localAddr);
  if (remote === undefined || local === undefined) {
    const client = { ip: MADE_UP_CLIENT, port: 1024 + n % (65535 - 1024) };
    return isServer
      ? { remote: client, local: MADE_UP_SERVER, areMadeUp: true }
      : { remote: MADE_UP_SERVER, local: client, areMadeUp: true };
  }
  if (remote.ip.length !== local.ip.length) { // behind a proxy, say
    remote.ip = mapped(remote.ip);
    local.ip = mapped(local.ip);
  }
  return { remote, local, areMadeUp: false };
}

function endpointOf(addr: Address): Endpoint | undefined {
  const address = normalizeAddress(addr);
  if (!("hostname" in address)) return;
  const ip = parseIp(address.hostname, { dropZone: true });
  return ip && { ip, port: address.port };
}

/** An IPv4 address as one of IPv6 (RFC 4291 §2.5.5.2). */
function mapped(ip: Uint8Array): Uint8Array {
  return ip.length === 16 ? ip : Uint8Array.of(...new Uint8Array(10), 0xff, 0xff, ...ip);
}

/** A segment of TCP. */
export interface Segment {
  from: Endpoint;
  to: Endpoint;
  flags: number;
  /** 32 bits, as `ack`. */
  seq: number;
  ack: number;
  payload: Uint8Array;
}

/** The headers of IPv4 (RFC 791) or IPv6 (RFC 8200) and TCP (RFC 9293) of a segment, with their checksums. */
export function headersOf({ from, to, flags, seq, ack, payload }: Segment): Uint8Array {
  const isV4 = from.ip.length === 4;
  const ipLength = isV4 ? 20 : 40;
  const bytes = new Uint8Array(ipLength + TCP_HEADER);
  const view = new DataView(bytes.buffer);
  const length = TCP_HEADER + payload.length;
  if (isV4) {
    bytes[0] = 0x45;
    view.setUint16(2, ipLength + length);
    bytes[6] = 0x40; // don't fragment
    bytes[8] = 64;
    bytes[9] = TCP_PROTOCOL;
    bytes.set(from.ip, 12);
    bytes.set(to.ip, 16);
    view.setUint16(10, folded(sum(bytes.subarray(0, ipLength))));
  } else {
    bytes[0] = 0x60;
    view.setUint16(4, length);
    bytes[6] = TCP_PROTOCOL;
    bytes[7] = 64;
    bytes.set(from.ip, 8);
    bytes.set(to.ip, 24);
  }
  const at = ipLength;
  view.setUint16(at, from.port);
  view.setUint16(at + 2, to.port);
  view.setUint32(at + 4, seq);
  view.setUint32(at + 8, (flags & FLAGS.ack) === 0 ? 0 : ack);
  bytes[at + 12] = TCP_HEADER / 4 << 4;
  bytes[at + 13] = flags;
  view.setUint16(at + 14, 0xffff); // a window that is never full
  const pseudo = sum(from.ip) + sum(to.ip) + TCP_PROTOCOL + length;
  view.setUint16(at + 16, folded(pseudo + sum(bytes.subarray(at)) + sum(payload)));
  return bytes;
}

/** The sum of 16-bit words (RFC 1071). Of 32 KiB, it is far below 2^53. */
function sum(bytes: Uint8Array): number {
  let total = 0;
  const even = bytes.length & ~1;
  for (let at = 0; at < even; at += 2) total += bytes[at]! << 8 | bytes[at + 1]!;
  return even < bytes.length ? total + (bytes[even]! << 8) : total;
}

function folded(total: number): number {
  let carried = total;
  while (carried > 0xffff) carried = (carried % 0x10000) + Math.floor(carried / 0x10000);
  return ~carried & 0xffff;
}
