/** Where to dial: one address, or several. */

import { shown } from "../_internal/checks.ts";
import { checkOptions } from "../_internal/options.ts";
import { CONNECT_OPTIONS, type ConnectOptions, resolveConnectOptions } from "./connect.ts";

/** One of several addresses: its `hostname` and `port`, and other options that differ for it. */
export type ConnectAddress = Partial<Omit<ConnectOptions, "signal">>;

/** An address to dial. */
export interface Target {
  options: ConnectOptions;
  /** The address as text, for messages. */
  address: string;
}

const { signal: _signal, ...CONNECT_ADDRESS } = CONNECT_OPTIONS;

/** The addresses to dial, in their order. Each is checked as by `connect()`. */
export function targetsOf(
  common: Partial<ConnectOptions>,
  addresses: readonly ConnectAddress[] | undefined,
): Target[] {
  if (addresses === undefined) return [targetOf(common)];
  if (!Array.isArray(addresses) || addresses.length === 0) {
    throw new TypeError(
      `addresses must be an array of at least one address, got ${
        Array.isArray(addresses) ? "an empty one" : shown(addresses)
      }`,
    );
  }
  for (const name of ["hostname", "port", "path"]) {
    if ((common as Record<string, unknown>)[name] !== undefined) {
      throw new TypeError(`${name} must be left out if there are addresses: each has its own`);
    }
  }
  return addresses.map((address, at) => {
    checkOptions(address, CONNECT_ADDRESS, `addresses[${at}]`);
    return targetOf({ ...common, ...address });
  });
}

function targetOf(options: Partial<ConnectOptions>): Target {
  const { address } = resolveConnectOptions(options as ConnectOptions);
  return { options: options as ConnectOptions, address };
}
