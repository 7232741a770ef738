/** What is done with handles of TCP. */

import { isIPv6 } from "node:net";
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

/** Binds to an address. In Deno, a host name will do as well. */
export function bind(
  handle: TcpListenHandle,
  hostname: string,
  port: number,
  flags: number,
): number {
  if (flags !== 0 && handle.bindWithFlags) return handle.bindWithFlags(hostname, port, flags);
  return isIPv6(hostname)
    ? handle.bind6(hostname, port, flags)
    : handle.bind(hostname, port, flags);
}

/** The address of one end. Throws where the connection is gone. */
export function addressOf(handle: TcpHandle, end: "getpeername" | "getsockname"): NetAddr {
  const name: SocketName = {};
  const status = handle[end](name);
  if (status !== 0) throw statusError(status, "the connection is gone");
  return { transport: "tcp", hostname: name.address!, port: name.port! };
}

/**
 * A handle to read and write with, made of one that is connected, which is used up.
 *
 * Deno 2.9.6 fails a write that waits on a handle of TCP with EPIPE as soon as the peer has half-closed, and does not
 * say how much was written. Its handles of Unix sockets read and write any socket, as fast, and do not.
 */
export function streamOf(handles: Handles, handle: StreamHandle, noDelay: boolean): StreamHandle {
  if (!(handle instanceof handles.Tcp)) return handle;
  if (noDelay) handle.setNoDelay(true);
  if (!handles.isDeno) return handle;
  const stream = new handles.Pipe(SOCKET);
  try {
    const descriptor = handle.fdForIpc!();
    if (descriptor < 0) throw systemError("EMFILE", "no descriptor for a connection");
    const status = stream.open!(descriptor);
    if (status !== 0) throw statusError(status, "cannot use a connection");
    return stream;
  } catch (error) {
    stream.close();
    throw error;
  } finally {
    handle.close();
  }
}

/** Closes with a reset (RST). */
export function reset(handles: Handles, stream: StreamHandle, onClosed: () => void): void {
  if (handles.isDeno) withTcp(handles, stream, (tcp) => tcp.reset());
  else if ((stream as TcpHandle).reset(onClosed) === 0) return;
  stream.close(onClosed);
}

/** Does what takes a handle of TCP with what `streamOf()` has made of one. */
export function withTcp(
  handles: Handles,
  stream: StreamHandle,
  run: (tcp: TcpHandle) => number,
): number {
  if (!handles.isDeno) return run(stream as TcpHandle);
  const tcp = new handles.Tcp(SOCKET);
  try {
    return tcp.open!(stream.fdForIpc!()) || run(tcp);
  } finally {
    tcp.close();
  }
}
