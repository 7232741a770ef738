import { isIP } from "node:net";
import { statusError } from "../../_internal/system_errors.ts";
import { type Address, formatAddress } from "../connection.ts";
import { AdoptedListener } from "./adopted_listener.ts";
import { HandleListener } from "./handle_listener.ts";
import { type Handles, type ListenHandle, runtime, SERVER } from "./handles.ts";
import type { Place, StartedListener } from "./place.ts";
import { ServerListener } from "./server_listener.ts";
import { addressOf, bind } from "./tcp_handle.ts";

/** Listens by means of `node:net`. Throws, or rejects in `ready`, what is wrong. */
export function listenNode(place: Place): StartedListener {
  const handles = runtime.handles();
  const { host, path, port } = place;
  if (place.reusePort && handles !== undefined && handles.reusePort === undefined) {
    throw new TypeError("reusePort is not to be had in this version of the runtime");
  }
  if (handles === undefined) return new ServerListener({ ...place });
  if (path !== undefined) return listenUnix(handles, path, place);
  // In Deno, a handle looks a name up by itself; the permission to listen is for the name, too.
  const isDirect = host !== undefined && (isIP(host) !== 0 || handles.isDeno);
  return isDirect
    ? listenTcp(handles, host, port ?? 0, place)
    : new AdoptedListener(handles, place);
}

function listenTcp(
  handles: Handles,
  hostname: string,
  port: number,
  place: Place,
): HandleListener {
  const { reusePort = false, backlog } = place;
  const handle = new handles.Tcp(SERVER);
  const asked: Address = { transport: "tcp", hostname, port };
  const flags = reusePort ? handles.reusePort! : 0;
  begin(handle, asked, () => bind(handle, hostname, port, flags), backlog);
  return new HandleListener(handles, handle, addressOf(handle, "getsockname"), place);
}

function listenUnix(handles: Handles, path: string, place: Place): HandleListener {
  const handle = new handles.Pipe(SERVER);
  const addr: Address = { transport: "unix", path };
  begin(handle, addr, () => handle.bind(path), place.backlog);
  return new HandleListener(handles, handle, addr, place);
}

/** Binds and listens, or closes and throws. */
function begin(handle: ListenHandle, addr: Address, bind: () => number, backlog: number): void {
  try {
    const status = bind() || handle.listen(backlog);
    if (status !== 0) throw statusError(status, `cannot listen on ${formatAddress(addr)}`);
  } catch (error) {
    handle.close();
    throw error;
  }
}
