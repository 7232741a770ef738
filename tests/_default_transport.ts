// The transport of servers and clients in tests that do not choose one.

import net from "node:net";
import { statusError } from "../_internal/system_errors.ts";
import { type Handles, type ListenHandle, runtime, SERVER } from "../transport/node/handles.ts";
import { tcpListenError } from "../transport/node/listen.ts";
import type { ListenTarget } from "../transport/node/listen_target.ts";
import { bind } from "../transport/node/tcp_handle.ts";
import { defaults, type TransportName } from "../transport/socket_options.ts";

/** How a connection of `node:net` is made: with the handles below its streams, or without. */
export type Way = "handle" | "public";

/** The setting that a test process passes to the processes that it starts. */
export interface Default {
  transport: TransportName;
  way: Way;
}

/** The setting of this process. */
export function currentDefault(): Default {
  return {
    transport: defaults.transport,
    way: runtime.handles() === undefined ? "public" : "handle",
  };
}

/** Whether servers listen by `net.Server`, which accepts every connection at once. */
export function isByServer(): boolean {
  const { transport, way } = currentDefault();
  return transport === "node" && way === "public";
}

/** Applies it in this process. */
export function setDefault({ transport, way }: Default): void {
  defaults.transport = transport;
  if (way === "handle") return;
  listenAtOnce(runtime.handles()!);
  runtime.handles = () => undefined;
}

/**
 * Makes `net.Server` listen, or throw, during the call. Otherwise it takes a turn of the event loop, and tests ask their
 * servers for the port at once.
 */
function listenAtOnce(handles: Handles): void {
  const { Tcp, Pipe } = handles;
  const { listen } = net.Server.prototype;
  net.Server.prototype.listen = function (this: net.Server, target: ListenTarget): net.Server {
    const { host, port, path, backlog } = target;
    const isProbe = this.listenerCount("connection") === 0;
    if (isProbe || (path === undefined && net.isIP(host ?? "") === 0)) {
      return listen.call(this, target);
    }
    let handle: ListenHandle;
    let status: number;
    if (path === undefined) {
      const tcp = handle = new Tcp(SERVER);
      status = bind(tcp, host!, port!, 0) || tcp.listen(backlog); // which is where Deno tells of it
    } else {
      const pipe = handle = new Pipe(SERVER);
      status = pipe.bind(path);
    }
    if (status === 0) return listen.call(this, handle);
    handle.close();
    if (path !== undefined) throw statusError(status, "cannot listen");
    throw tcpListenError(handles, status, { hostname: host!, port: port! });
  } as typeof listen;
}
