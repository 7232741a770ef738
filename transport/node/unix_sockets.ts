import type { UnixSockets } from "../unix.ts";
import { dialNode } from "./dial.ts";
import { listenNode } from "./listen.ts";

/** As Deno has it. */
const BACKLOG = 1024;

/** Unix sockets by means of `node:net`. */
export const NODE_SOCKETS: UnixSockets = {
  listen: (path) => listenNode({ path, backlog: BACKLOG, noDelay: false }),
  dial: (path, signal) => dialNode({ path, noDelay: false }, signal),
};
