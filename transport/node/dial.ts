import { lazy } from "../lazy.ts";
import type { Socket } from "node:net";
import { classified, systemError } from "../../_internal/system_errors.ts";
import { type Address, type Connection, formatAddress } from "../connection.ts";
import { explained as explainedTcp, isToItself } from "../tcp_address.ts";
import { HandleConnection } from "./handle_connection.ts";
import { runtime, type StreamHandle } from "./handles.ts";
import { TcpConnection } from "./tcp_connection.ts";
import { localAddrOf, remoteAddrOf, SocketConnection } from "./socket_connection.ts";

/** Where to dial, and from where. */
export interface DialOptions {
  hostname?: string;
  port?: number;
  path?: string;
  /** The IP address of this side. */
  localAddress?: string;
  /** Whether Nagle's algorithm is off. */
  noDelay: boolean;
}

/** How long an address is tried before the next one is, in milliseconds (RFC 8305 §8). */
const ATTEMPT_DELAY = 250;

/**
 * Dials with `node:net`. If the connection is made in the moment in which `signal` aborts, it is returned: the caller
 * closes it.
 */
export async function dialNode(options: DialOptions, signal: AbortSignal): Promise<Connection> {
  const { hostname, port, path, localAddress } = options;
  signal.throwIfAborted();
  const socket = new lazy.net.Socket({ allowHalfOpen: true });
  socket.pause(); // nothing is read before the first read()
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onAbort = (): void => reject(signal.reason);
  socket.once("connect", resolve);
  socket.once("error", reject);
  signal.addEventListener("abort", onAbort);
  try {
    if (path !== undefined) socket.connect({ path });
    else {
      socket.connect({
        host: hostname!,
        port: port!,
        ...(localAddress !== undefined && { localAddress }),
        autoSelectFamily: true,
        autoSelectFamilyAttemptTimeout: ATTEMPT_DELAY,
      });
    }
    await promise;
  } catch (error) {
    socket.on("error", () => {}); // later errors are of no interest
    socket.destroy();
    throw signal.aborted ? signal.reason : explained(error, options);
  } finally {
    signal.removeEventListener("abort", onAbort);
    socket.off("error", reject);
  }
  const connection = connectionOf(socket, options);
  if (!isToItself(connection)) return connection;
  connection.reset!(); // so that the port is free at once for another listener
  throw systemError("ECONNREFUSED", "the port was connected to itself");
}

function connectionOf(
  socket: Socket,
  { path, noDelay }: DialOptions,
): Connection {
  const handles = runtime.handles();
  const unix: Address = { transport: "unix", path: "" };
  const remoteAddr = path === undefined ? remoteAddrOf(socket) : { ...unix, path };
  const localAddr = localAddrOf(socket, unix);
  if (handles === undefined) {
    if (noDelay && path === undefined) socket.setNoDelay(true);
    return new SocketConnection(socket, remoteAddr, localAddr);
  }
  const Connection = path === undefined ? TcpConnection : HandleConnection;
  return new Connection(handles, takeHandle(socket), { remoteAddr, localAddr, noDelay });
}

/** Takes the handle from a socket that is connected and has not read anything. */
export function takeHandle(socket: Socket): StreamHandle {
  const own = socket as unknown as { _handle: StreamHandle };
  const handle = own._handle;
  own._handle = null!;
  const fields = handle as unknown as Record<symbol, unknown>;
  for (const key of Object.getOwnPropertySymbols(fields)) {
    if (fields[key] === socket) fields[key] = null; // otherwise the handle keeps the socket in memory
  }
  return handle;
}

/** The error with the class that the runtime has for it. If several addresses have failed, it is that of the first. */
function explained(error: unknown, { hostname = "", port = 0, path }: DialOptions): unknown {
  const { errors } = error as { errors?: unknown };
  const [first = error] = Array.isArray(errors) ? errors : [];
  const addr: Address = path === undefined
    ? { transport: "tcp", hostname, port }
    : { transport: "unix", path };
  return explainedTcp(classified(first, `cannot connect to ${formatAddress(addr)}`), hostname);
}
