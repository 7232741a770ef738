import { lazy } from "../lazy.ts";
import { codeOf, statusError } from "../../_internal/system_errors.ts";
import { formatAddress, type UnixAddr } from "../connection.ts";
import { explained, isLinkLocal, listenFailure, type TcpAddress } from "../tcp_address.ts";
import { AdoptedListener } from "./adopted_listener.ts";
import { BunListener } from "./bun_listener.ts";
import { bunListen, canListen } from "./bun_sockets.ts";
import { HandleListener } from "./handle_listener.ts";
import {
  type Handles,
  type ListenHandle,
  runtime,
  SERVER,
  type SocketName,
  type TcpListenHandle,
} from "./handles.ts";
import type { ListenTarget, StartedListener } from "./listen_target.ts";
import { ServerListener } from "./server_listener.ts";
import { addressOf, bind } from "./tcp_handle.ts";

/** Listens with `node:net`, or with `Bun.listen`. Errors are thrown, or reject `ready`. */
export function listenNode(target: ListenTarget): StartedListener {
  const handles = runtime.handles();
  const { host, path, port } = target;
  if (target.reusePort && handles !== undefined && handles.reusePort === undefined) {
    throw new TypeError("this version of the runtime does not support reusePort");
  }
  if (handles === undefined) {
    const isBun = bunListen !== undefined && canListen(target);
    return isBun ? new BunListener(target) : new ServerListener({ ...target });
  }
  if (path !== undefined) return listenUnix(handles, path, target);
  // In Deno, a handle looks up a name itself, and the permission to listen is for the name.
  const isDirect = host !== undefined && (lazy.net.isIP(host) !== 0 || handles.isDeno);
  return isDirect
    ? listenTcp(handles, host, port ?? 0, target)
    : new AdoptedListener(handles, target);
}

function listenTcp(
  handles: Handles,
  hostname: string,
  port: number,
  target: ListenTarget,
): HandleListener {
  const { reusePort = false, isTrial = false, backlog } = target;
  const handle = new handles.Tcp(SERVER);
  const flags = reusePort ? handles.reusePort! : 0;
  begin(
    handle,
    () => bind(handle, hostname, port, flags),
    () => isTrial && isBound(handle) ? 0 : handle.listen(backlog),
    (status) => tcpListenError(handles, status, { hostname, port }),
  );
  return new HandleListener(handles, handle, addressOf(handle, "getsockname"), target);
}

function listenUnix(handles: Handles, path: string, target: ListenTarget): HandleListener {
  const handle = new handles.Pipe(SERVER);
  const addr: UnixAddr = { transport: "unix", path };
  begin(
    handle,
    () => handle.bind(path),
    () => handle.listen(target.backlog),
    (status) => statusError(status, `cannot listen on ${formatAddress(addr)}`),
  );
  return new HandleListener(handles, handle, addr, target);
}

/** Binds and listens, or closes and throws. */
function begin(
  handle: ListenHandle,
  bind: () => number,
  listen: () => number,
  failure: (status: number) => unknown,
): void {
  try {
    const status = bind() || listen();
    if (status !== 0) throw failure(status);
  } catch (error) {
    handle.close();
    throw error;
  }
}

/** The error of a status that is not 0. */
export function tcpListenError(handles: Handles, status: number, address: TcpAddress): unknown {
  const code = listenCode(status, address.hostname, handles);
  return explained(listenFailure(code, address), address.hostname);
}

/**
 * The code of a status. Handles of Deno 2.9.6 have no status of their own for a name that has no address, or an address
 * that is not of this machine.
 */
function listenCode(status: number, hostname: string, { isDeno }: Handles): string {
  const code = codeOf(status);
  if (!isDeno) return code;
  if (code === "EPERM" && lazy.net.isIP(hostname) === 0) return "ENOTFOUND";
  return code === "EINVAL" && !isLinkLocal(hostname) ? "EADDRNOTAVAIL" : code;
}

/** Whether a handle is bound. `bind()` does not report that the address is in use: listening does. */
function isBound(handle: TcpListenHandle): boolean {
  const name: SocketName = {};
  return handle.getsockname(name) === 0 && name.port !== 0;
}
