/** Where to dial: one place, or several. */

import { shown } from "../_internal/checks.ts";
import { checkOptions } from "../_internal/options.ts";
import { CONNECT_OPTIONS, type ConnectOptions, resolveConnectOptions } from "./connect.ts";

/** One of several places to dial: its `hostname` and `port`, and whatever else differs there from the other options. */
export type ConnectAddress = Partial<Omit<ConnectOptions, "signal">>;

/** A place to dial, and how it is named. */
export interface Target {
  options: ConnectOptions;
  address: string;
}

const { signal: _signal, ...CONNECT_ADDRESS } = CONNECT_OPTIONS;

/** What to dial, in its order. Each place is checked as `connect()` would check it. */
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
      throw new TypeError(`${name} must be left out where there are addresses: each has its own`);
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
