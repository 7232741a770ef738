import { checkInteger, shown } from "../_internal/checks.ts";
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
  return Deno.listen({ ...tcpAddress(options, 0), tcpBacklog, reusePort });
}

export function dialTcp(address: Required<TcpAddress>, signal: AbortSignal): Promise<Connection> {
  return Deno.connect({ ...address, signal });
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
  return { hostname, port: checkInteger("port", port, minPort, 65535) };
}
