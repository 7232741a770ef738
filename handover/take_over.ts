import { Buffer } from "node:buffer";
import { checkFunction } from "../_internal/checks.ts";
import { ErrorPrinter } from "../_internal/error_printer.ts";
import { checkOptions, type Known } from "../_internal/options.ts";
import { type Server, TcpServer } from "../serve/serve.ts";
import {
  attachSocket,
  checkHandover,
  type DetachedSocket,
  detachSocket,
  isSocket,
} from "../transport/node/handover.ts";
import { keepText } from "./kept.ts";
import {
  checkMessage,
  type HandoverChannel,
  type HandoverMessage,
  isHandover,
  type ReceivedMessage,
  SocketSender,
} from "./messages.ts";

/**
 * Serves the sessions that another process hands over. The handler is called for each, with a new session over the same
 * connection, whose first input is what the other process had not read. `kept()` returns what its handler has kept.
 *
 * `maxSessions`, `maxSessionsPerAddress`, `allow` and `deny` apply; `sessionRate` does not. A session for which there is no room
 * is refused, even with `overload: "wait"`. A message that is malformed, or of another version, is reported as an error of
 * accepting, and its connection is closed.
 *
 * @param server A server of `serve()`.
 * @param channel The other process: `process` in a child of it.
 * @returns A function that stops this.
 * @throws {TypeError} If the server is not one of `serve()`, or the runtime is Bun.
 *
 * @example
 * ```ts ignore
 * if (process.send !== undefined) takeOver(server, process);
 * ```
 */
export function takeOver(server: Server, channel: HandoverChannel): () => void {
  if (!(server instanceof TcpServer)) throw new TypeError("server must be one of serve()");
  return onSessions(channel, (received, socket) => {
    let message: HandoverMessage;
    server.adopt(() => {
      message = checkMessage(received, socket);
      return attachSocket(socket);
    }, (session) => {
      session.unread(new Uint8Array(Buffer.from(message.unread, "base64")));
      keepText(session, message.kept);
    });
  });
}

/**
 * Passes sessions on that one process hands over to another, for a supervisor that has started both.
 *
 * @param from The old process.
 * @param to The new one.
 * @param options What to do with errors.
 * @returns A function that stops this.
 * @throws {TypeError} If the runtime is Bun.
 *
 * @example
 * ```ts ignore
 * const stop = relayHandover(oldServer, newServer);
 * oldServer.send("leave");
 * ```
 */
export function relayHandover(
  from: HandoverChannel,
  to: HandoverChannel,
  options: RelayHandoverOptions = {},
): () => void {
  checkOptions(options, RELAY_OPTIONS);
  const sender = new SocketSender(to);
  const printer = new ErrorPrinter("errors of handing over");
  const { onError = (error) => printer.print(error) } = options;
  const stop = onSessions(from, async (received, socket) => {
    try {
      const message = checkMessage(received, socket);
      // A socket that waits to be sent goes on reading, and what it has read would be lost.
      await sender.send(message, detachSocket(attachSocket(socket))!.socket);
    } catch (error) {
      onError(error);
    }
  });
  return () => {
    stop();
    printer.printOmitted();
  };
}

/** Options of {@linkcode relayHandover}. */
export interface RelayHandoverOptions {
  /**
   * Called when a session could not be passed on, which is then closed.
   *
   * @param error Why.
   * @default {the error is printed, at most 10 within 10 seconds}
   */
  onError?(error: unknown): void;
}

const RELAY_OPTIONS: Known<RelayHandoverOptions> = { onError: checkFunction };

/** Calls `onSession` for each session that a channel brings. Returns a function that stops this. */
function onSessions(
  channel: HandoverChannel,
  onSession: (received: ReceivedMessage, socket: DetachedSocket["socket"]) => void,
): () => void {
  checkHandover();
  const onMessage = (message: unknown, socket: unknown): void => {
    if (isHandover(message) && isSocket(socket)) onSession(message, socket); // or it was closed on the way
  };
  channel.on("message", onMessage);
  return () => void channel.off("message", onMessage);
}
