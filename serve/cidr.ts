/** Lists of IP addresses and CIDR blocks (RFC 4632 §3.1, RFC 4291 §2.3). */

import type { Address } from "../transport/connection.ts";
import { shown } from "../_internal/checks.ts";
import { formatIp, isMapped, parseIp } from "../_internal/ip.ts";

const PREFIX_LENGTH = /^(0|[1-9]\d{0,2})$/;

/** A list of blocks. A lookup takes one step for each prefix length in the list, not for each block. */
export class CidrList {
  readonly #ipv4: Map<number, Set<string>> = new Map();
  readonly #ipv6: Map<number, Set<string>> = new Map();

  /**
   * @param name The option that the list comes from, for messages.
   * @param blocks Its value: `10.0.0.0/8`, `2001:db8::/32`, and single addresses.
   */
  constructor(name: string, blocks: unknown) {
    if (!Array.isArray(blocks)) {
      throw new TypeError(`${name} must be an array of CIDR blocks, got ${shown(blocks)}`);
    }
    for (const [i, block] of blocks.entries()) this.#add(`${name}[${i}]`, block);
  }

  /** Whether an address is in one of the blocks. An address without IP is in none. */
  includes(address: Address): boolean {
    const ip = ipOf(address);
    return ip !== undefined && this.includesIp(ip);
  }

  /** The same for the result of {@linkcode ipOf}. */
  includesIp(ip: Uint8Array): boolean {
    for (const [prefixLength, blocks] of this.#family(ip)) {
      if (blocks.has(blockOf(ip, prefixLength))) return true;
    }
    return false;
  }

  #add(name: string, text: unknown): void {
    const [ip, prefixLength] = parseCidr(name, text);
    const family = this.#family(ip);
    const blocks = family.get(prefixLength);
    const block = blockOf(ip, prefixLength);
    if (blocks === undefined) family.set(prefixLength, new Set([block]));
    else blocks.add(block);
  }

  #family(ip: Uint8Array): Map<number, Set<string>> {
    return ip.length === 4 ? this.#ipv4 : this.#ipv6;
  }
}

/** The IP address of a peer: 4 or 16 bytes, without a zone. An IPv4-mapped IPv6 address has 4 bytes. */
export function ipOf(address: Address): Uint8Array | undefined {
  if (!("hostname" in address)) return;
  const ip = parseIp(address.hostname, { dropZone: true });
  return ip?.length === 16 && isMapped(ip) ? ip.subarray(12) : ip;
}

/** A key for the block of an address. */
export function blockOf(ip: Uint8Array, prefixLength: number): string {
  let key = "";
  for (let at = 0, left = prefixLength; at < ip.length; at++, left -= 8) {
    key += String.fromCharCode(ip[at]! & maskOf(left));
  }
  return key;
}

/** The mask of a byte whose first `bits` bits belong to the prefix. */
function maskOf(bits: number): number {
  return bits >= 8 ? 0xff : bits <= 0 ? 0 : 0xff00 >> bits & 0xff;
}

function parseCidr(name: string, text: unknown): [ip: Uint8Array, prefixLength: number] {
  if (typeof text !== "string") {
    throw new TypeError(`${name} must be a string, got ${shown(text)}`);
  }
  const slash = text.indexOf("/");
  const ip = parseIp(slash < 0 ? text : text.slice(0, slash), { dropZone: true });
  if (ip === undefined) {
    throw new RangeError(
      `${name} must be an IP address or a CIDR block such as 10.0.0.0/8, got ${
        JSON.stringify(text)
      }`,
    );
  }
  const prefixLength = slash < 0 ? 8 * ip.length : parsePrefixLength(name, text, slash, ip);
  const first = ip.map((byte, i) => byte & maskOf(prefixLength - 8 * i));
  if (first.some((byte, i) => byte !== ip[i])) {
    throw new RangeError(
      `${name} must have no bit set past its prefix, got ${JSON.stringify(text)}: ` +
        `the block is ${formatIp(first)}/${prefixLength}`,
    );
  }
  // No bit after the prefix is set, so the prefix of a mapped address has at least 96 bits.
  return ip.length === 16 && isMapped(ip)
    ? [ip.subarray(12), prefixLength - 96]
    : [ip, prefixLength];
}

function parsePrefixLength(name: string, text: string, slash: number, ip: Uint8Array): number {
  const digits = text.slice(slash + 1);
  const prefixLength = PREFIX_LENGTH.test(digits) ? Number(digits) : NaN;
  if (prefixLength <= 8 * ip.length) return prefixLength;
  throw new RangeError(
    `${name} must have a prefix length from 0 to ${8 * ip.length}, got ${JSON.stringify(text)}`,
  );
}
