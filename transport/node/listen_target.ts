/** Where to listen, and what all listeners of `node:net` have in common. */

import { classified } from "../../_internal/system_errors.ts";
import type { Connection, Listener } from "../connection.ts";
import { explainedListen } from "../tcp_address.ts";

/** Where and how to listen, as for `node:net`: an address, a path, or a descriptor that listens already. */
export interface ListenTarget {
  host?: string;
  port?: number;
  path?: string;
  fd?: number;
  reusePort?: boolean;
  /** How many connections may wait to be accepted. */
  backlog: number;
  /**
   * Whether this is only to find out if one can listen. It binds without listening where that tells: a client that connects
   * meanwhile would be lost.
   */
  isTrial?: boolean;
  /** Whether Nagle's algorithm is off from the beginning, which costs less than turning it off later. */
  noDelay: boolean;
}

/** A listener that listens at once, or in a later turn. */
export interface StartedListener extends Listener {
  /** Resolves once it listens. Missing if it listens already. */
  readonly ready?: Promise<void> | undefined;
  /** Accepts the connections that the runtime has accepted already. They would be lost when the listener is closed. */
  acceptWaiting?(): Connection[];
}

/** How often listeners check whether descriptors have run out, in milliseconds. */
export const CHECK_INTERVAL = 1000;

/** The codes of errors that mean that there is no descriptor. */
const SHORTAGES = ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"];

/** Whether a code means that there is no descriptor. */
export function isShortage(code: string | undefined): boolean {
  return code !== undefined && SHORTAGES.includes(code);
}

/** Explains why it is not possible to listen. */
export function listenError(cause: unknown, { host, port = 0, fd }: ListenTarget): unknown {
  if (fd === undefined || (cause as { code?: unknown }).code !== "EINVAL") {
    if (host !== undefined) return explainedListen(cause, { hostname: host, port });
    return classified(cause, "cannot listen");
  }
  const problem = "it is not a stream socket that listens";
  return new TypeError(`cannot listen on descriptor ${fd}: ${problem}`, { cause });
}
