/**
 * Connections that outlive their thread.
 *
 * Deno 2.9.6 does not close the connections of a thread that ends without a word, such as for want of memory. So a worker
 * notes their descriptors in shared memory, and the main thread closes what is left.
 */

import { runtime, SOCKET, type SocketName, type TcpHandle } from "./handles.ts";

/** Descriptors from this number on are not noted. */
const MAX_DESCRIPTORS = 65_536;
/** Set in the cell of an open connection, beside the port of its peer. */
const OPEN = 0x1_0000;

/** Makes the memory for the connections of a thread. */
export function makeOpenConnections(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(4 * MAX_DESCRIPTORS));
}

/** Notes the connections of this thread from now on, if it is needed. */
export function noteConnections(cells: Int32Array): void {
  const handles = runtime.handles();
  if (!handles?.isDeno) return;
  handles.onOpen = (descriptor, port) => void (cells[descriptor] = OPEN | port);
  // Before it is closed: afterwards, the number may belong to another thread.
  handles.onClose = (descriptor) => void (cells[descriptor] = 0);
}

/** Resets the connections that a thread has left open. The thread must have ended. */
export function resetConnections(cells: Int32Array): void {
  const handles = runtime.handles();
  if (!handles?.isDeno) return;
  for (const [descriptor, cell] of cells.entries()) {
    if (cell === 0) continue;
    const tcp = new handles.Tcp(SOCKET);
    if (tcp.open!(descriptor) !== 0) continue;
    if (portOf(tcp) === (cell & 0xffff)) {
      tcp.reset();
      tcp.close();
    } else (handles.foreign ??= new Set()).add(tcp); // it was closed, and the number is in use again
  }
}

function portOf(tcp: TcpHandle): number | undefined {
  const name: SocketName = {};
  return tcp.getpeername(name) === 0 ? name.port : undefined;
}
