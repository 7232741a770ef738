/** The options of sockets that servers and clients have in common, and their checks. */

import { checkInteger, checkOneOf, shown } from "../_internal/checks.ts";
import { isDeno, runtimeName } from "../_internal/runtime.ts";

/**
 * What carries sessions: `deno` is `Deno.listen` and `Deno.connect`; `node` is `node:net`, below its streams where that
 * can be had, which costs less with a thousand busy connections and more.
 */
export type TransportName = "deno" | "node";

/** Options of sockets, as users give them. */
export interface SocketOptions {
  transport?: TransportName;
  noDelay?: boolean;
  keepAlive?: boolean | number;
}

/** Which transport is taken where none is named: `node` is the only one where there is no Deno. A property, so that tests can go through the other one as well. */
export const defaults: { transport: TransportName } = {
  transport: isDeno ? "deno" : "node",
};

/** The longest time until the first probe, in milliseconds: Linux counts 15 bits of seconds. */
const MAX_KEEP_ALIVE = 32_767_000;

/** Checks the options, and returns which transport is asked for. */
export function transportOf(options: SocketOptions): TransportName {
  const { transport = defaults.transport, keepAlive } = options;
  checkOneOf("transport", transport, ["deno", "node"]);
  if (transport === "deno" && !isDeno) {
    throw new TypeError(`transport: "deno" needs Deno, and this is ${runtimeName()}`);
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

/** An option that `deno` has not. */
export function needsNode(option: string): TypeError {
  return new TypeError(`${option} needs transport: "node"`);
}
