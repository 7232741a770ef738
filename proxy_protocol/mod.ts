/**
 * The PROXY protocol, versions 1 and 2: what a proxy writes first on a connection to tell whom it speaks for. The
 * sections (§) named here are those of HAProxy's `proxy-protocol.txt`, which defines it.
 *
 * Bytes in, a header out, and back; nothing here reads or writes. A server takes headers by itself where its option
 * says so, and only from peers that it trusts: whoever may send one may claim any address.
 *
 * @example A proxy's line, with the first bytes of the client behind it
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
   * The most bytes that a header of version 2 may have: 16 to 65551. The largest addresses take 232; what a proxy adds
   * to them is mostly short, certificates of clients (one to two KiB each) aside. Version 1 has a limit of its own,
   * 107 bytes.
   *
   * @default {4096}
   */
  maxLength?: number;
}

const DECODE_OPTIONS: Known<DecodeProxyHeaderOptions> = { maxLength: elsewhere };

/**
 * Decodes the header that a connection begins with, of either version.
 *
 * It is as strict as §2.1 and §2.2 ask for. A wrong beginning is refused at the first byte that is wrong, addresses and
 * fields once the header is whole. Where the specification leaves a choice:
 *
 * - All that comes with `LOCAL` is skipped, its checksum included.
 * - A header whose address family or transport is unspecified has no addresses. What else it has are fields, if it
 *   consists of them; anything else is skipped.
 * - Addresses of datagrams are taken, with the transport `udp` or `unixpacket`.
 * - An IPv6 address in version 1 may end in an IPv4 one, and in the place of an address of one family may stand one of
 *   the other, as proxies write it.
 * - Of `PP2_TYPE_ALPN`, `_AUTHORITY`, `_UNIQUE_ID` and `_NETNS`, the last counts. No other field that has a name here
 *   may come twice. One that has none is kept, and `PP2_TYPE_NOOP` is dropped.
 *
 * @param bytes All that has come so far, from the first byte of the connection on.
 * @param options How long a header may be.
 * @returns The header and its length, or `undefined` as long as more has to come.
 * @throws {ProxyHeaderError} If no header begins so.
 * @throws {TypeError | RangeError} If an argument is wrong.
 *
 * @example Bytes that come bit by bit
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
 * Encodes a header, to be sent before anything else. {@linkcode decodeProxyHeader} makes the same of it again, but for
 * what {@linkcode ProxyHeaderInit} says cannot be told.
 *
 * @param init What it says. In version 1 that is addresses alone.
 * @returns The bytes.
 * @throws {TypeError | RangeError} If a field is wrong, too long, or does not go with another or with the version.
 *
 * @example Telling a server behind who the client is
 * ```ts
 * import { connect, serve } from "@parley/tcp";
 * import { decodeProxyHeader, encodeProxyHeader } from "@parley/tcp/proxy-protocol";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = serve({ port: 0 }, async (session) => {
 *   const [source, destination] = [session.remoteAddr, session.localAddr];
 *   await session.send(encodeProxyHeader({ version: 2, source, destination }));
 * });
 *
 * await using client = await connect({ port: (server.addr as Deno.NetAddr).port });
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
    throw new TypeError("no addresses go with LOCAL, a connection of the proxy's own");
  }
  return version === 1 ? encodeV1(init) : encodeV2(init);
}
