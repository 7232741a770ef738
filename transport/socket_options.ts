/** The options of sockets that servers and clients have in common, and their checks. */

import { checkInteger, checkOneOf, shown } from "../_internal/checks.ts";
import { isDeno, runtimeName } from "../_internal/runtime.ts";

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

/** The default transport: without Deno, `node` is the only one. It is a property so that tests can change it. */
export const defaults: { transport: TransportName } = {
  transport: isDeno ? "deno" : "node",
};

/** The longest time until the first probe, in milliseconds: Linux counts 15 bits of seconds. */
const MAX_KEEP_ALIVE = 32_767_000;

/** Checks the options, and returns the transport. */
export function transportOf(options: SocketOptions): TransportName {
  const { transport = defaults.transport, keepAlive } = options;
  checkOneOf("transport", transport, ["deno", "node"]);
  if (transport === "deno" && !isDeno) {
    throw new TypeError(`transport: "deno" needs Deno, but this is ${runtimeName()}`);
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

/** The error for an option that `deno` does not support. */
export function needsNode(option: string): TypeError {
  return new TypeError(`${option} needs transport: "node"`);
}
