import net, { type Socket } from "node:net";
import { classified, systemError } from "../../_internal/system_errors.ts";
import { type Address, type Connection, formatAddress } from "../connection.ts";
import { explained as explainedTcp, isToItself } from "../tcp_address.ts";
import { HandleConnection } from "./handle_connection.ts";
import { runtime, type StreamHandle } from "./handles.ts";
import { TcpConnection } from "./tcp_connection.ts";
import { localAddrOf, remoteAddrOf, SocketConnection } from "./socket_connection.ts";

/** Where to, and from where. */
export interface DialOptions {
  hostname?: string;
  port?: number;
  path?: string;
  /** The IP address of this side. */
  localAddress?: string;
  /** Whether Nagle's algorithm is off from the beginning. */
  noDelay: boolean;
}

/** How long an address is tried before the next one is, in milliseconds (RFC 8305 §8). */
const ATTEMPT_DELAY = 250;

/**
 * Dials by means of `node:net`. A connection that is made in the very moment in which `signal` aborts is returned: the
 * caller closes it.
 */
export async function dialNode(options: DialOptions, signal: AbortSignal): Promise<Connection> {
  const { hostname, port, path, localAddress } = options;
  signal.throwIfAborted();
  const socket = new net.Socket({ allowHalfOpen: true });
  socket.pause(); // so that nothing is read before somebody wants it
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
    socket.on("error", () => {}); // what else goes wrong with it, nobody wants to know
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

/** The handle of a socket that is connected and has not read anything, with the socket let go. */
function takeHandle(socket: Socket): StreamHandle {
  const own = socket as unknown as { _handle: StreamHandle };
  const handle = own._handle;
  own._handle = null!;
  const fields = handle as unknown as Record<symbol, unknown>;
  for (const key of Object.getOwnPropertySymbols(fields)) {
    if (fields[key] === socket) fields[key] = null; // or the socket would stay as long as the handle
  }
  return handle;
}

/** What is wrong, by the class that the runtime has for it. Of several addresses, what was wrong with the first. */
function explained(error: unknown, { hostname = "", port = 0, path }: DialOptions): unknown {
  const { errors } = error as { errors?: unknown };
  const [first = error] = Array.isArray(errors) ? errors : [];
  const addr: Address = path === undefined
    ? { transport: "tcp", hostname, port }
    : { transport: "unix", path };
  return explainedTcp(classified(first, `cannot connect to ${formatAddress(addr)}`), hostname);
}
