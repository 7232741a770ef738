import { lazy } from "./lazy.ts";
import { shown } from "../_internal/checks.ts";
import type { Address, Connection, NetAddr } from "./connection.ts";
import { checkVersion } from "../_internal/deno_sockets.ts";
import { dialNode } from "./node/dial.ts";
import { NODE_SOCKETS } from "./node/unix_sockets.ts";
import { needsNode, type SocketOptions, transportOf } from "./socket_options.ts";
import { dialTcp } from "./tcp.ts";
import { DENO_SOCKETS, dialUnix } from "./unix.ts";

/** How to dial: options of users. */
export interface DialOptions extends SocketOptions {
  localAddress?: string;
}

/** Checks the options of a dial to an address. */
export function checkDialOptions(options: DialOptions, target: Address): void {
  checkVersion();
  const transport = transportOf(options);
  const { localAddress } = options;
  if (localAddress === undefined) return;
  if (typeof localAddress !== "string" || lazy.net.isIP(localAddress) === 0) {
    const got = typeof localAddress === "string"
      ? JSON.stringify(localAddress)
      : shown(localAddress);
    throw new TypeError(`localAddress must be an IP address, got ${got}`);
  }
  if (target.transport !== "tcp") throw new TypeError("localAddress is for TCP, not for a path");
  if (transport === "deno") throw needsNode("localAddress");
}

/** Dials. If the connection is made in the moment in which `signal` aborts, it is returned: the caller closes it. */
export function dial(
  target: Address,
  options: DialOptions,
  signal: AbortSignal,
): Promise<Connection> {
  const isNode = transportOf(options) === "node";
  if (target.transport === "unix") {
    return dialUnix(target.path, signal, isNode ? NODE_SOCKETS : DENO_SOCKETS);
  }
  const { hostname, port } = target as NetAddr;
  if (!isNode) return dialTcp({ hostname, port }, signal);
  const { localAddress, noDelay = true } = options;
  return dialNode(
    { hostname, port, noDelay, ...(localAddress !== undefined && { localAddress }) },
    signal,
  );
}
