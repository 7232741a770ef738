/** Addresses of TCP, for all transports. */

import { checkInteger, shown } from "../_internal/checks.ts";
import { parseIp, withoutBrackets } from "../_internal/ip.ts";
import { systemErrors } from "../_internal/system_error_classes.ts";
import { systemError } from "../_internal/system_errors.ts";
import { type Connection, formatAddress, type NetAddr } from "./connection.ts";

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

/** Whether an address is a link-local one of IPv6, with or without a zone. */
export function isLinkLocal(hostname: string): boolean {
  const [first, second] = parseIp(hostname) ?? [];
  return hostname.includes(":") && first === 0xfe && (second! & 0xc0) === 0x80;
}

/** Explains the error of a link-local address without a zone: the system must know in which network it is (RFC 4007 §6). */
export function explained(error: unknown, hostname: string): unknown {
  if (!isLinkLocal(hostname) || (error as { code?: string }).code !== "EINVAL") return error;
  const problem = hostname.includes("%")
    ? "has a zone, which this transport cannot use" // node:net of Deno 2.9.6
    : `is link-local and needs a zone, such as ${hostname}%eth0`;
  return new TypeError(`${hostname} ${problem}`, { cause: error });
}

/** The codes of a name lookup that has found no address. */
const UNKNOWN = ["ENOTFOUND", "EAI_AGAIN", "EAI_NODATA", "EAI_NONAME"];

/** Whether the error is that of a host name without an address. That of Deno has neither a class nor a code of its own. */
export function isUnknownHost(error: unknown): boolean {
  const { code, message } = error as { code?: string; message?: string };
  return error instanceof URIError || UNKNOWN.includes(code ?? "") ||
    message?.includes("failed to lookup address") === true;
}

/** Why it is not possible to listen on an address, by the code of the system. */
const PROBLEMS = new Map([
  ["EACCES", "the system does not permit it"],
  ["EADDRINUSE", "the address is in use"],
  ["EADDRNOTAVAIL", "the address is not one of this machine"],
  ["ENOTFOUND", "the host name has no address"],
]);

/** The error of listening on an address, with the class of its code. */
export function listenFailure(code: string, address: TcpAddress, options?: ErrorOptions): Error {
  const problem = PROBLEMS.get(code);
  return systemError(code, `${cannotListen(address)}${problem ? `: ${problem}` : ""}`, options);
}

/** Names the address in an error of listening, which keeps its class and its code. */
export function explainedListen(cause: unknown, address: TcpAddress): unknown {
  const other = explained(cause, address.hostname);
  if (other !== cause || cause instanceof systemErrors.NotCapable) return other;
  const { code, message } = cause as { code?: string; message: string };
  const known = isUnknownHost(cause) ? "ENOTFOUND" : code;
  if (known !== undefined) return listenFailure(known, address, { cause });
  return new Error(`${cannotListen(address)}: ${message}`, { cause });
}

function cannotListen({ hostname, port }: TcpAddress): string {
  return `cannot listen on ${formatAddress({ transport: "tcp", hostname, port })}`;
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
