/**
 * The PROXY protocol, versions 1 and 2: a header by which a proxy tells a server the address of its client. The sections
 * (§) refer to HAProxy's `proxy-protocol.txt`, which defines it.
 *
 * This module decodes and encodes headers, without I/O. To accept headers, set the option `proxyProtocol` of `serve()`.
 * It accepts them only from trusted peers, since a peer that may send a header can claim any address.
 *
 * @example A proxy's line, followed by the first bytes of the client
 * ```ts
 * import { decodeProxyHeader } from "@parley/tcp/proxy-protocol";
 * import { assertEquals } from "@std/assert";
 *
 * const bytes = new TextEncoder().encode("PROXY TCP4 192.0.2.7 198.51.100.1 51324 443\r\nhello");
 * const { header, length } = decodeProxyHeader(bytes)!;
 * assertEquals(header.source, { transport: "tcp", hostname: "192.0.2.7", port: 51324 });
 * assertEquals(new TextDecoder().decode(bytes.subarray(length)), "hello");
 * ```
 *
 * @module
 */

import { checkBytes, checkInteger, shown } from "../_internal/checks.ts";
import { checkOptions, elsewhere, type Known } from "../_internal/options.ts";
import { ProxyHeaderError } from "../errors.ts";
import { type DecodedProxyHeader, PROXY_HEADER_INIT, type ProxyHeaderInit } from "./header.ts";
import { decodeV1, encodeV1 } from "./v1.ts";
import { decodeV2, encodeV2 } from "./v2.ts";

export { ProxyHeaderError } from "../errors.ts";
export type { Address, MemoryAddr } from "../_internal/address.ts";
export type {
  DecodedProxyHeader,
  ProxyHeader,
  ProxyHeaderInit,
  ProxyTls,
  ProxyTlv,
} from "./header.ts";

/** Options of {@linkcode decodeProxyHeader}. */
export interface DecodeProxyHeaderOptions {
  /**
   * The maximum length of a header of version 2, in bytes: 16 to 65551. The largest addresses take 232 bytes. Further
   * fields are mostly short, except for client certificates of 1 to 2 KiB each. Version 1 has a fixed limit of 107 bytes.
   *
   * @default {4096}
   */
  maxLength?: number;
}

const DECODE_OPTIONS: Known<DecodeProxyHeaderOptions> = { maxLength: elsewhere };

/**
 * Decodes the header at the beginning of a connection, of either version.
 *
 * It is as strict as §2.1 and §2.2 require. An invalid beginning is rejected at its first invalid byte, and invalid
 * addresses and fields once the header is complete. Where the specification leaves a choice:
 *
 * - Everything that comes with `LOCAL` is skipped, including its checksum.
 * - A header whose address family or transport is unspecified has no addresses. The rest is decoded if it consists of
 *   fields, and skipped otherwise.
 * - Addresses of datagrams are accepted, with the transport `udp` or `unixpacket`.
 * - In version 1, an IPv6 address may end in an IPv4 address, and an address may be of the other family than the line
 *   says. Some proxies write such lines.
 * - If `PP2_TYPE_ALPN`, `_AUTHORITY`, `_UNIQUE_ID` or `_NETNS` occurs several times, the last one counts. Any other type
 *   with a name in the specification must occur once. Unknown types are kept in `tlvs`. `PP2_TYPE_NOOP` is dropped.
 *
 * @param bytes Everything that has arrived so far, from the first byte of the connection.
 * @param options How long a header may be.
 * @returns The header and its length, or `undefined` if it is not complete yet.
 * @throws {ProxyHeaderError} If the header is invalid.
 * @throws {TypeError | RangeError} If an argument is invalid.
 *
 * @example An incomplete header, and an invalid one
 * ```ts
 * import { decodeProxyHeader, ProxyHeaderError } from "@parley/tcp/proxy-protocol";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const encoder = new TextEncoder();
 * assertEquals(decodeProxyHeader(encoder.encode("PROXY TC")), undefined);
 * assertThrows(() => decodeProxyHeader(encoder.encode("GET / HT")), ProxyHeaderError);
 * ```
 */
export function decodeProxyHeader(
  bytes: Uint8Array,
  options: DecodeProxyHeaderOptions = {},
): DecodedProxyHeader | undefined {
  checkBytes("bytes", bytes);
  checkOptions(options, DECODE_OPTIONS);
  const maxLength = checkInteger("maxLength", options.maxLength ?? 4096, 16, 16 + 0xffff);
  switch (bytes[0]) {
    case undefined:
      return;
    case 0x50: // P
      return decodeV1(bytes);
    case 0x0d:
      return decodeV2(bytes, maxLength);
  }
  const got = `0x${bytes[0].toString(16).padStart(2, "0")}`;
  throw new ProxyHeaderError(`it must begin with "PROXY" or a carriage return, got ${got}`, 0);
}

/**
 * Encodes a header, to be sent before anything else. {@linkcode decodeProxyHeader} returns the same values again, except
 * those that {@linkcode ProxyHeaderInit} says cannot be encoded.
 *
 * @param init The contents. In version 1, only addresses.
 * @returns The bytes.
 * @throws {TypeError | RangeError} If a field is invalid, too long, or cannot be combined with another or with the version.
 *
 * @example Tell the server who the client is
 * ```ts
 * import { connect, type NetAddr, serve } from "@parley/tcp";
 * import { decodeProxyHeader, encodeProxyHeader } from "@parley/tcp/proxy-protocol";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = serve({ port: 0 }, async (session) => {
 *   const [source, destination] = [session.remoteAddr, session.localAddr];
 *   await session.send(encodeProxyHeader({ version: 2, source, destination }));
 * });
 *
 * await using client = await connect({ port: (server.addr as NetAddr).port });
 * const bytes = await client.readExactly(28);
 * assertEquals(decodeProxyHeader(bytes)?.header.source, client.localAddr);
 * ```
 */
export function encodeProxyHeader(init: ProxyHeaderInit): Uint8Array {
  checkOptions(init, PROXY_HEADER_INIT);
  const { version, command } = init;
  if (version !== 1 && version !== 2) {
    const got = typeof version === "number" ? version : shown(version);
    throw new RangeError(`version must be 1 or 2, got ${got}`);
  }
  if (command !== undefined && command !== "PROXY" && command !== "LOCAL") {
    throw new TypeError(`command must be "PROXY" or "LOCAL", got ${JSON.stringify(command)}`);
  }
  if (command === "LOCAL" && (init.source !== undefined || init.destination !== undefined)) {
    throw new TypeError("LOCAL, a connection of the proxy itself, has no addresses");
  }
  return version === 1 ? encodeV1(init) : encodeV2(init);
}
