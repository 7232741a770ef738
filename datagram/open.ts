import { checkInteger } from "../_internal/checks.ts";
import type { ServeDatagramsOptions } from "./options.ts";
import type { DatagramSocket } from "./socket.ts";
import { openUdp } from "./udp.ts";
import { openUnix } from "./unix.ts";

/** Opens the socket of a server. */
export function openSocket(
  options: ServeDatagramsOptions<unknown, unknown>,
  maxMessageSize: number,
): DatagramSocket {
  const { hostname = "127.0.0.1", port, path, socket } = options;
  const given = Object.entries({ port, path, socket }).filter(([, value]) => value !== undefined);
  if (given.length !== 1) {
    const names = given.length === 0 ? "none" : given.map(([name]) => name).join(" and ");
    throw new TypeError(`one of port, path and socket is needed, got ${names}`);
  }
  if (socket !== undefined) return socket;
  if (path !== undefined) return openUnix(path, maxMessageSize);
  return openUdp({
    ...options,
    hostname,
    port: checkInteger("port", port, 0, 65535),
    maxMessageSize,
  });
}
