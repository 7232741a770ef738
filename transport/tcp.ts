import { systemErrors } from "../_internal/system_error_classes.ts";
import type { Connection, Listener } from "./connection.ts";
import { explained, explainedListen, isToItself, type TcpAddress } from "./tcp_address.ts";

interface TcpListenOptions extends TcpAddress {
  tcpBacklog: number;
  reusePort: boolean;
}

/** Listens on TCP with the public API of Deno. */
export function listenTcp(options: TcpListenOptions): Listener {
  try {
    return Deno.listen(options);
  } catch (error) {
    throw explainedListen(error, options);
  }
}

/** Dials. If the connection is made in the moment in which `signal` aborts, it is returned: the caller closes it. */
export async function dialTcp(
  address: TcpAddress,
  signal: AbortSignal,
): Promise<Connection> {
  signal.throwIfAborted();
  try {
    const connection = await Deno.connect({ ...address, signal: withoutThrowing(signal) });
    if (isToItself(connection)) await refuse(connection);
    return connection;
  } catch (error) {
    throw signal.aborted ? signal.reason : explained(error, address.hostname);
  }
}

/**
 * A signal that aborts with another, but whose `throwIfAborted()` does not throw. Deno 2.9.6 calls that method when it has
 * a connection, and leaks the connection if it throws.
 */
function withoutThrowing(signal: AbortSignal): AbortSignal {
  return Object.assign(AbortSignal.any([signal]), { throwIfAborted: () => {} });
}

/**
 * Resets the connection, so that the port is free at once for a listener: TIME-WAIT would hold it for a minute. Deno
 * half-closes before it closes, so this sends more than fits into the window (64 KiB): the FIN waits behind the data, and
 * the kernel resets a socket that is closed with unread input.
 */
async function refuse(connection: Connection): Promise<never> {
  try {
    await connection.write(new Uint8Array(1024 * 1024));
  } finally {
    connection.close();
  }
  throw new systemErrors.ConnectionRefused("the port was connected to itself");
}
