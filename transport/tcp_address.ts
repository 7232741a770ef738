/** What goes for addresses of TCP, whatever listens and dials. */

import { checkInteger, shown } from "../_internal/checks.ts";
import { parseIp, withoutBrackets } from "../_internal/ip.ts";
import type { Connection, NetAddr } from "./connection.ts";

/** Where to listen or to dial. */
export interface TcpAddress {
  hostname: string;
  port: number;
}

/**
 * Whoever dials a port of the own machine on which nobody listens may be given that very port to dial from, if it is
 * an ephemeral one, and is then connected to itself (RFC 9293 §3.5, simultaneous open).
 */
export function isToItself({ localAddr, remoteAddr }: Connection): boolean {
  const [local, remote] = [localAddr as NetAddr, remoteAddr as NetAddr];
  return local.transport === "tcp" && local.port === remote.port &&
    local.hostname === remote.hostname;
}

/** Says what a link-local address lacks. A link-local address is one of each network that the machine is on: the system asks which (RFC 4007 §6). */
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
