import { systemErrors } from "../_internal/system_error_classes.ts";
import type { Connection, Listener } from "./connection.ts";
import { explained, isToItself, type TcpAddress } from "./tcp_address.ts";

interface TcpListenOptions extends TcpAddress {
  tcpBacklog: number;
  reusePort: boolean;
}

/** Listens on TCP, by what is public API of Deno. */
export function listenTcp(options: TcpListenOptions): Listener {
  try {
    return Deno.listen(options);
  } catch (error) {
    throw explained(error, options.hostname);
  }
}

/** Dials. A connection that is made in the very moment in which `signal` aborts is returned: the caller closes it. */
export async function dialTcp(
  address: TcpAddress,
  signal: AbortSignal,
): Promise<Connection> {
  signal.throwIfAborted();
  try {
    const connection = await Deno.connect({ ...address, signal: sparing(signal) });
    if (isToItself(connection)) await refuse(connection);
    return connection;
  } catch (error) {
    throw signal.aborted ? signal.reason : explained(error, address.hostname);
  }
}

/**
 * A signal that aborts with another, but throws nothing. Deno 2.9.6 asks its signal to throw once it has a connection,
 * and if that does, nobody ever closes the connection.
 */
function sparing(signal: AbortSignal): AbortSignal {
  return Object.assign(AbortSignal.any([signal]), { throwIfAborted: () => {} });
}

/**
 * Resets it, so that the port is free at once for another listener: TIME-WAIT would hold it for a minute.
 * Deno finishes its side before it closes, so there has to be more output than the window has room for (64 KiB): the
 * FIN waits behind that, and the kernel resets what is closed with input unread.
 */
async function refuse(connection: Connection): Promise<never> {
  try {
    await connection.write(new Uint8Array(1024 * 1024));
  } finally {
    connection.close();
  }
  throw new systemErrors.ConnectionRefused("the port was connected to itself");
}
