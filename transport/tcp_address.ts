/** Addresses of TCP, for all transports. */

import { checkInteger, shown } from "../_internal/checks.ts";
import { parseIp, withoutBrackets } from "../_internal/ip.ts";
import type { Connection, NetAddr } from "./connection.ts";

/** Where to listen or to dial. */
export interface TcpAddress {
  hostname: string;
  port: number;
}

/**
 * Whether a connection is connected to itself (RFC 9293 §3.5, simultaneous open). It happens if a client dials an
 * ephemeral port of its own machine on which nothing listens, and the system gives it the same port to dial from.
 */
export function isToItself({ localAddr, remoteAddr }: Connection): boolean {
  const [local, remote] = [localAddr as NetAddr, remoteAddr as NetAddr];
  return local.transport === "tcp" && local.port === remote.port &&
    local.hostname === remote.hostname;
}

/** Explains the error of a link-local address without a zone: the system must know in which network it is (RFC 4007 §6). */
export function explained(error: unknown, hostname: string): unknown {
  const [first, second] = parseIp(hostname) ?? [];
  const isLinkLocal = hostname.includes(":") && first === 0xfe && (second! & 0xc0) === 0x80;
  if (!isLinkLocal || (error as { code?: string }).code !== "EINVAL") return error;
  const problem = hostname.includes("%")
    ? "has a zone, which this transport cannot use" // node:net of Deno 2.9.6
    : `is link-local and needs a zone, such as ${hostname}%eth0`;
  return new TypeError(`${hostname} ${problem}`, { cause: error });
}

/** Checks an address and fills in the loopback address. */
export function tcpAddress(
  { hostname = "127.0.0.1", port }: Partial<TcpAddress>,
  minPort: number,
): TcpAddress {
  if (typeof hostname !== "string" || hostname === "") {
    throw new TypeError(
      `hostname must be a host name or an IP address, got ${
        JSON.stringify(hostname) ?? shown(hostname)
      }`,
    );
  }
  return {
    hostname: withoutBrackets(hostname),
    port: checkInteger("port", port, minPort, 65535),
  };
}
