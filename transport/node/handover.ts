/** Moves TCP connections between processes, by the sockets that `node:child_process` can send. */

import { Socket } from "node:net";
import { runtimeName } from "../../_internal/runtime.ts";
import { statusError, systemError } from "../../_internal/system_errors.ts";
import type { Connection } from "../connection.ts";
import { takeHandle } from "./dial.ts";
import { runtime, SOCKET, type StreamHandle } from "./handles.ts";
import { localAddrOf, remoteAddrOf } from "./socket_connection.ts";
import { TcpConnection } from "./tcp_connection.ts";

/** Throws unless this runtime has the handles that are needed: a `net.Socket` cannot stop reading without losing bytes. */
export function checkHandover(): void {
  if (runtime.handles() !== undefined) return;
  throw new TypeError(`sessions cannot be handed over on ${runtimeName()}`);
}

/** Whether a value is a socket, as the IPC channel brings it. */
export function isSocket(value: unknown): value is Socket {
  return value instanceof Socket;
}

/** A connection that was taken apart. */
export interface DetachedSocket {
  /** The socket, which does not read. */
  readonly socket: Socket;
  /** The input that arrived while no read waited. */
  readonly unread: Uint8Array;
}

/**
 * Takes a connection apart, if it can be sent and nothing is being written. It must not be used any more.
 *
 * @throws {Error} If there is no descriptor. The connection is then closed.
 */
export function detachSocket(connection: Connection): DetachedSocket | undefined {
  const detached = connection instanceof TcpConnection ? connection.detach() : undefined;
  if (detached === undefined) return;
  const options: object = {
    handle: tcpOf(detached.handle),
    manualStart: true,
    allowHalfOpen: true,
  };
  return { socket: new Socket(options), unread: detached.rest };
}

/**
 * Makes a connection of a socket that this process has just received, before it is read in the next turn.
 *
 * @throws {Error} If the peer has gone, or there is no descriptor. The socket is then closed.
 */
export function attachSocket(socket: Socket): Connection {
  const ends = {
    remoteAddr: remoteAddrOf(socket),
    localAddr: localAddrOf(socket, { transport: "unix", path: "" }),
    noDelay: true,
  };
  const handle = takeHandle(socket);
  handle.readStop(); // on Node, the socket has begun to read
  return new TcpConnection(runtime.handles()!, handle, ends);
}

/** Undoes what `streamOf()` does on Deno, where only TCP handles can be sent. */
function tcpOf(stream: StreamHandle): StreamHandle {
  const handles = runtime.handles()!;
  if (!handles.isDeno) return stream;
  const tcp = new handles.Tcp(SOCKET);
  try {
    const descriptor = stream.fdForIpc!();
    if (descriptor < 0) throw systemError("EMFILE", "no descriptor for a connection");
    const status = tcp.open!(descriptor);
    if (status !== 0) throw statusError(status, "cannot use a connection");
    return tcp;
  } catch (error) {
    tcp.close();
    throw error;
  } finally {
    stream.close();
  }
}
