import { lazy } from "../lazy.ts";
import { statusError } from "../../_internal/system_errors.ts";
import { type Address, formatAddress } from "../connection.ts";
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
  const addr: Address = { transport: "tcp", hostname, port };
  const flags = reusePort ? handles.reusePort! : 0;
  begin(
    handle,
    addr,
    () => bind(handle, hostname, port, flags),
    () => isTrial && isBound(handle) ? 0 : handle.listen(backlog),
  );
  return new HandleListener(handles, handle, addressOf(handle, "getsockname"), target);
}

function listenUnix(handles: Handles, path: string, target: ListenTarget): HandleListener {
  const handle = new handles.Pipe(SERVER);
  const addr: Address = { transport: "unix", path };
  begin(handle, addr, () => handle.bind(path), () => handle.listen(target.backlog));
  return new HandleListener(handles, handle, addr, target);
}

/** Binds and listens, or closes and throws. */
function begin(
  handle: ListenHandle,
  addr: Address,
  bind: () => number,
  listen: () => number,
): void {
  try {
    const status = bind() || listen();
    if (status !== 0) throw statusError(status, `cannot listen on ${formatAddress(addr)}`);
  } catch (error) {
    handle.close();
    throw error;
  }
}

/** Whether a handle is bound. `bind()` does not report that the address is in use: listening does. */
function isBound(handle: TcpListenHandle): boolean {
  const name: SocketName = {};
  return handle.getsockname(name) === 0 && name.port !== 0;
}
