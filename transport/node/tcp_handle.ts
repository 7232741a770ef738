/** Operations on handles of TCP. */

import { lazy } from "../lazy.ts";
import { statusError, systemError } from "../../_internal/system_errors.ts";
import type { NetAddr } from "../connection.ts";
import {
  type Handles,
  SOCKET,
  type SocketName,
  type StreamHandle,
  type TcpHandle,
  type TcpListenHandle,
} from "./handles.ts";

/** Binds to an address. In Deno, it may be a host name. */
export function bind(
  handle: TcpListenHandle,
  hostname: string,
  port: number,
  flags: number,
): number {
  if (flags !== 0 && handle.bindWithFlags) return handle.bindWithFlags(hostname, port, flags);
  return lazy.net.isIPv6(hostname)
    ? handle.bind6(hostname, port, flags)
    : handle.bind(hostname, port, flags);
}

/** The address of one end. Throws if the connection is lost. */
export function addressOf(handle: TcpHandle, end: "getpeername" | "getsockname"): NetAddr {
  const name: SocketName = {};
  const status = handle[end](name);
  if (status !== 0) throw statusError(status, "the connection is lost");
  return { transport: "tcp", hostname: name.address!, port: name.port! };
}

/**
 * Moves a connected socket to a handle of Unix sockets, in Deno. The first handle must not be used any more. Throws if
 * there is no descriptor for it, and the first handle can still be used.
 *
 * On a TCP handle of Deno 2.9.6, a write that waits for the peer to read fails with EPIPE as soon as the peer has
 * half-closed, without saying how much was written. Deno's handles of Unix sockets do not have that fault. They can use
 * any socket, and are as fast.
 */
export function moved(handles: Handles, handle: StreamHandle): StreamHandle {
  const stream = new handles.Pipe(SOCKET);
  try {
    const descriptor = handle.fdForIpc!();
    if (descriptor < 0) throw systemError("EMFILE", "no descriptor for a connection");
    // For a new descriptor it fails only if that is not open any more, so there is nothing to close.
    const status = stream.open!(descriptor);
    if (status !== 0) throw statusError(status, "cannot use a connection");
    if (handles.onOpen !== undefined) stream.descriptor = descriptor;
  } catch (error) {
    stream.close();
    throw error;
  }
  handle.close();
  return stream;
}

/** Closes with a reset (RST). */
export function reset(handles: Handles, stream: StreamHandle, onClosed: () => void): void {
  if (handles.isDeno) withTcp(handles, stream, (tcp) => tcp.reset());
  else if ((stream as TcpHandle).reset(onClosed) === 0) return;
  stream.close(onClosed);
}

/** Runs an operation that needs a TCP handle, on a handle that may have been moved. */
export function withTcp(
  handles: Handles,
  stream: StreamHandle,
  run: (tcp: TcpHandle) => number,
): number {
  if (stream instanceof handles.Tcp) return run(stream);
  const tcp = new handles.Tcp(SOCKET);
  try {
    return tcp.open!(stream.fdForIpc!()) || run(tcp);
  } finally {
    tcp.close();
  }
}
