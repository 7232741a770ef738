/** Where to listen, and what goes for all ways to do so. */

import type { Listener } from "../connection.ts";

/** Where to listen, as `node:net` takes it: an address, a path, or a descriptor that listens already. */
export interface Place {
  host?: string;
  port?: number;
  path?: string;
  fd?: number;
  reusePort?: boolean;
  /** How many connections may wait to be accepted. */
  backlog: number;
  /** Whether Nagle's algorithm is off from the beginning, which costs less than to turn it off later. */
  noDelay: boolean;
}

/** A listener that may listen at once, or in a later turn. */
export interface StartedListener extends Listener {
  /** Resolves once it listens; not there if it does already. */
  readonly ready?: Promise<void> | undefined;
}

/** How often listeners look whether descriptors have run out, in milliseconds. */
export const LOOK_INTERVAL = 1000;

/** What the system says where a descriptor cannot be had. */
const SHORTAGES = ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"];

/** Whether this is what the system says where a descriptor cannot be had. */
export function isShortage(code: string | undefined): boolean {
  return code !== undefined && SHORTAGES.includes(code);
}
