import type { UnixSockets } from "../unix.ts";
import { dialNode } from "./dial.ts";
import { listenNode } from "./listen.ts";

/** The backlog of `Deno.listen`. */
const BACKLOG = 1024;

/** Unix sockets with `node:net`. */
export const NODE_SOCKETS: UnixSockets = {
  listen: (path) => listenNode({ path, backlog: BACKLOG, noDelay: false }),
  dial: (path, signal) => dialNode({ path, noDelay: false }, signal),
};
