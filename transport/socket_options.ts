/** The options of sockets that servers and clients have in common, and their checks. */

import { checkInteger, checkOneOf, shown } from "../_internal/checks.ts";
import { hasDenoSockets, needsDenoSockets } from "../_internal/deno_sockets.ts";
import type { Connection } from "./connection.ts";

/**
 * The implementation of sockets: `deno` is `Deno.listen` and `Deno.connect`. `node` is `node:net`, below its streams if
 * possible, which costs less from about a thousand busy connections on.
 */
export type TransportName = "deno" | "node";

/** Options of users for all sockets. */
export interface SocketOptions {
  transport?: TransportName;
  noDelay?: boolean;
  keepAlive?: boolean | number;
}

/** The default transport: `node` if Deno's own sockets cannot be used. It is a property so that tests can change it. */
export const defaults: { transport: TransportName } = {
  transport: hasDenoSockets ? "deno" : "node",
};

/** The longest time until the first probe, in milliseconds: Linux counts 15 bits of seconds. */
const MAX_KEEP_ALIVE = 32_767_000;

/** Checks the options, and returns the transport. */
export function transportOf(options: SocketOptions): TransportName {
  const { transport = defaults.transport, keepAlive } = options;
  checkOneOf("transport", transport, ["deno", "node"]);
  if (options.transport === "deno" && !hasDenoSockets) {
    throw needsDenoSockets('transport: "deno"', 'transport: "node"');
  }
  if (typeof keepAlive === "number") {
    checkInteger("keepAlive", keepAlive, 1000, MAX_KEEP_ALIVE);
    if (transport === "deno") throw needsNode("keepAlive in milliseconds");
  } else if (keepAlive !== undefined && typeof keepAlive !== "boolean") {
    const problem = `keepAlive must be true, false or a number of milliseconds, got`;
    throw new TypeError(`${problem} ${shown(keepAlive)}`);
  }
  return transport;
}

/** Sets the options of a new connection, with the defaults of `serve()` and `connect()`. */
export function setSocketOptions(
  connection: Connection,
  { noDelay = true, keepAlive = false }: SocketOptions,
): void {
  try {
    if (noDelay) connection.setNoDelay?.(true);
    if (keepAlive !== false) connection.setKeepAlive?.(keepAlive);
  } catch { /* reset already: the session will see it */ }
}

/** The error for an option that `deno` does not support. */
export function needsNode(option: string): TypeError {
  return new TypeError(`${option} needs transport: "node"`);
}
