import { Buffer } from "node:buffer";
import { setImmediate } from "node:timers/promises";
import { concat } from "../_internal/concat.ts";
import { type Server, TcpServer } from "../serve/serve.ts";
import type { Lifecycle } from "../session/lifecycle.ts";
import type { Session } from "../session.ts";
import { checkHandover, type DetachedSocket, detachSocket } from "../transport/node/handover.ts";
import { keptText } from "./kept.ts";
import { type HandoverChannel, SocketSender } from "./messages.ts";

/** The most unread input that is handed over with a session, in bytes. */
const MAX_UNREAD = 64 * 1024;

/**
 * Hands the idle sessions of a server over to another process, one after the other. They end here with the reason `handover`.
 *
 * A session is handed over if its handler has called `keep()`, and waits in a loop over text, lines or frames, with all its
 * output written and at most 64 KiB of input unread. All others are served on, also those under TLS, behind a PROXY header
 * and over Unix sockets: call `server.shutdown()` next, which drains them.
 *
 * @param server A server of `serve()` with `transport: "node"`.
 * @param channel The other process, which has called `takeOver()`.
 * @returns How many sessions were handed over.
 * @throws {TypeError} If the server is not one of `serve()`, the channel is not connected, or the runtime is Bun.
 * @throws {Error} If the channel fails, the other process ends, or does not accept a socket within ten seconds, or there is
 * no descriptor. Then one session is lost, and the remaining ones are served on. What a process that has died had not
 * accepted yet is lost, too.
 *
 * @example
 * ```ts ignore
 * await handOver(server, successor);
 * await server.shutdown();
 * ```
 */
export async function handOver(server: Server, channel: HandoverChannel): Promise<number> {
  if (!(server instanceof TcpServer)) throw new TypeError("server must be one of serve()");
  checkHandover();
  if (channel.send === undefined || channel.connected === false) {
    throw new TypeError("channel must be connected to another process");
  }
  await setImmediate(); // so that a caller may loop until all sessions are handed over
  const sender = new SocketSender(channel);
  let count = 0;
  for (const life of server.lives) {
    const kept = keptText(life.session as Session);
    const moved = kept === undefined ? undefined : detach(life);
    if (moved === undefined) continue;
    const unread = Buffer.from(moved.unread).toString("base64");
    await sender.send({ parley: "session 1", unread, kept: kept! }, moved.socket);
    count++;
  }
  return count;
}

/** Ends a session without closing its connection, if it can go on elsewhere. */
function detach(life: Lifecycle): DetachedSocket | undefined {
  const { buffer, start, end } = life.reader.input;
  if (!life.canMove || end - start > MAX_UNREAD) return;
  try {
    const detached = detachSocket(life.connection);
    if (detached === undefined) return;
    const unread = concat([buffer.subarray(start, end), detached.unread]);
    life.terminate("handover", undefined);
    return { ...detached, unread };
  } catch (error) {
    life.terminate("error", error);
    throw error;
  }
}
