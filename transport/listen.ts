import { checkInteger } from "../_internal/checks.ts";
import { checkDenoSocket, checkUnixListening, checkVersion } from "../_internal/deno_sockets.ts";
import type { Listener } from "./connection.ts";
import { NODE_SOCKETS } from "./node/unix_sockets.ts";
import { listenNode } from "./node/listen.ts";
import type { StartedListener } from "./node/listen_target.ts";
import { needsNode, type SocketOptions, transportOf } from "./socket_options.ts";
import { listenTcp } from "./tcp.ts";
import { tcpAddress } from "./tcp_address.ts";
import { DENO_SOCKETS, UnixListener, unixPath } from "./unix.ts";

/** Where and how to listen: options of users. */
export interface ListenOptions extends SocketOptions {
  hostname?: string;
  port?: number;
  path?: string;
  mode?: number;
  fd?: number;
  listener?: Listener;
  tcpBacklog?: number;
  reusePort?: boolean;
  /** Whether this is only to find out if one can listen. Nothing can be accepted. */
  isTrial?: boolean;
}

/**
 * Checks the options and listens, by default on the loopback address. Errors are thrown, or, if the listener is not ready
 * at once, reject its `ready`.
 */
export function listen(options: ListenOptions): StartedListener {
  const isNode = transportOf(options) === "node";
  const { tcpBacklog: backlog = 511, reusePort = false, noDelay = true, isTrial = false } = options;
  checkInteger("tcpBacklog", backlog, 1, 65535);
  const fd = descriptorOf(options, isNode);
  const path = unixPath(options);
  const { listener } = options;
  if (listener !== undefined) {
    checkDenoSocket(listener, "a listener of Deno.listen()", "the options port or path");
    return listener;
  }
  checkVersion();
  if (isNode && (fd ?? path) !== undefined) checkUnixListening();
  if (fd !== undefined) return listenNode({ fd, backlog, noDelay });
  if (path !== undefined) {
    return new UnixListener(path, options.mode, isNode ? NODE_SOCKETS : DENO_SOCKETS);
  }
  const { hostname, port } = tcpAddress(options, 0);
  if (!isNode) return listenTcp({ hostname, port, tcpBacklog: backlog, reusePort });
  return listenNode({ host: hostname, port, backlog, reusePort, noDelay, isTrial });
}

function descriptorOf(options: ListenOptions, isNode: boolean): number | undefined {
  const { fd } = options;
  if (fd === undefined) return;
  checkInteger("fd", fd, 0, 2 ** 31 - 1);
  for (const name of ["hostname", "port", "path", "listener", "reusePort"] as const) {
    if (options[name] === undefined) continue;
    throw new TypeError(`fd and ${name} exclude each other: the descriptor listens already`);
  }
  if (!isNode) throw needsNode("fd");
  return fd;
}
