import { checkInteger, shown } from "../_internal/checks.ts";
import { parseIp, withoutBrackets } from "../_internal/ip.ts";
import type { Connection, Listener } from "./connection.ts";

interface TcpAddress {
  hostname?: string;
  port?: number;
}

interface TcpListenOptions extends TcpAddress {
  tcpBacklog?: number;
  reusePort?: boolean;
}

/** Listens on TCP; on the loopback address unless told otherwise, where `Deno.listen` would take every one. */
export function listenTcp(options: TcpListenOptions): Listener {
  const { tcpBacklog = 511, reusePort = false } = options;
  checkInteger("tcpBacklog", tcpBacklog, 1, 65535);
  const address = tcpAddress(options, 0);
  try {
    return Deno.listen({ ...address, tcpBacklog, reusePort });
  } catch (error) {
    throw explained(error, address.hostname);
  }
}

/** Dials. A connection that is made in the very moment in which `signal` aborts is returned: the caller closes it. */
export async function dialTcp(
  address: Required<TcpAddress>,
  signal: AbortSignal,
): Promise<Connection> {
  signal.throwIfAborted();
  try {
    const connection = await Deno.connect({ ...address, signal: sparing(signal) });
    if (isToItself(connection)) await refuse(connection);
    return connection;
  } catch (error) {
    throw signal.aborted ? signal.reason : explained(error, address.hostname);
  }
}

/**
 * A signal that aborts with another, but throws nothing. Deno 2.9.6 asks its signal to throw once it has a connection,
 * and if that does, nobody ever closes the connection.
 */
function sparing(signal: AbortSignal): AbortSignal {
  return Object.assign(AbortSignal.any([signal]), { throwIfAborted: () => {} });
}

/**
 * Whoever dials a port of the own machine on which nobody listens may be given that very port to dial from, if it is
 * an ephemeral one, and is then connected to itself (RFC 9293 §3.5, simultaneous open).
 */
function isToItself({ localAddr, remoteAddr }: Connection): boolean {
  const [local, remote] = [localAddr as Deno.NetAddr, remoteAddr as Deno.NetAddr];
  return local.transport === "tcp" && local.port === remote.port &&
    local.hostname === remote.hostname;
}

/**
 * Resets it, so that the port is free at once for whoever is to listen there: TIME-WAIT would hold it for a minute.
 * Deno finishes its side before it closes, so there has to be more output than the window has room for (64 KiB): the
 * FIN waits behind that, and the kernel resets what is closed with input unread.
 */
async function refuse(connection: Connection): Promise<never> {
  try {
    await connection.write(new Uint8Array(1024 * 1024));
  } finally {
    connection.close();
  }
  throw new Deno.errors.ConnectionRefused("the port was connected to itself");
}

/** A link-local address is one of each network that the machine is on: the system asks which (RFC 4007 §6). */
function explained(error: unknown, hostname: string): unknown {
  const [first, second] = parseIp(hostname) ?? [];
  const isLinkLocal = hostname.includes(":") && first === 0xfe && (second! & 0xc0) === 0x80;
  if (!isLinkLocal || (error as { code?: string }).code !== "EINVAL") return error;
  const problem = `${hostname} is link-local and needs a zone, such as ${hostname}%eth0`;
  return new TypeError(problem, { cause: error });
}

/** Checks an address and fills in the loopback address. */
export function tcpAddress(
  { hostname = "127.0.0.1", port }: TcpAddress,
  minPort: number,
): Required<TcpAddress> {
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
