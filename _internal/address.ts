/** Helpers that know nothing of sessions, each in its own file. This module: addresses as values and as text. */

import { printable } from "./printable.ts";

/** The address of one end of an in-memory connection. */
export interface MemoryAddr {
  /** Always `memory`. */
  transport: "memory";
  /** A name for people. */
  name: string;
}

/** The address of one end of a connection over TCP, as `Deno.NetAddr` is. */
export interface NetAddr {
  /** The protocol: `tcp`, except for what users make themselves. */
  transport: "tcp" | "udp";
  /** The IP address. */
  hostname: string;
  /** The port. */
  port: number;
}

/** The address of one end of a connection over a Unix socket, as `Deno.UnixAddr` is. */
export interface UnixAddr {
  /** The kind of socket: `unix`, except for what users make themselves. */
  transport: "unix" | "unixpacket";
  /** The path of its file, or a NUL and an abstract name. */
  path: string;
}

/** The address of one end of a connection between a virtual machine and its host, as `Deno.VsockAddr` is. */
export interface VsockAddr {
  /** Always `vsock`. */
  transport: "vsock";
  /** The context identifier of the machine. */
  cid: number;
  /** The port. */
  port: number;
}

/** The address of one end of a connection: a `Deno.Addr`, or that of a connection in memory. */
export type Address = NetAddr | UnixAddr | VsockAddr | MemoryAddr;

/**
 * Formats an address for people.
 *
 * @param addr The address.
 * @returns For example `127.0.0.1:1234`, `[::1]:1234`, `/run/greet.sock`, or `@greet` for the abstract name `"\0greet"`.
 *
 * @example
 * ```ts
 * import { formatAddress } from "@parley/tcp/transport";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(formatAddress({ transport: "tcp", hostname: "::1", port: 80 }), "[::1]:80");
 * ```
 */
export function formatAddress(addr: Address): string {
  switch (addr.transport) {
    case "tcp":
    case "udp": {
      return addr.hostname.includes(":")
        ? `[${addr.hostname}]:${addr.port}`
        : `${addr.hostname}:${addr.port}`;
    }
    case "unix":
    case "unixpacket":
      // An abstract name is shown as `ss` and `netstat` do. A peer may name its own socket as it likes.
      return printable(addr.path?.replace(/^\0/, "@") ?? "") || "unix socket";
    case "memory":
      return addr.name;
    default:
      return `vsock ${addr.cid}:${addr.port}`;
  }
}

/**
 * Normalizes an address: an IPv4-mapped IPv6 address (`::ffff:192.0.2.1`, RFC 4291 §2.5.5.2) becomes IPv4, and an unnamed
 * Unix socket, as most clients have, gets the path `""`.
 *
 * @param addr The address.
 * @returns The normalized address, or the same one.
 *
 * @example
 * ```ts
 * import { normalizeAddress } from "@parley/tcp/transport";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(
 *   normalizeAddress({ transport: "tcp", hostname: "::ffff:192.0.2.1", port: 80 }),
 *   { transport: "tcp", hostname: "192.0.2.1", port: 80 },
 * );
 * ```
 */
export function normalizeAddress(addr: Address): Address {
  // In Deno, it can be `null`, although its types do not say so.
  if ("path" in addr && addr.path === null) return { transport: addr.transport, path: "" };
  if (!("hostname" in addr)) return addr;
  const { transport, hostname, port } = addr;
  if (!hostname.startsWith("::ffff:") || !hostname.includes(".")) return addr;
  return { transport, hostname: hostname.slice("::ffff:".length), port };
}
