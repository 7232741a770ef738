/** The messages between the processes. */

import type { DetachedSocket } from "../transport/node/handover.ts";

/** An IPC channel: a child process that was started by `fork()` of `node:child_process`, or `process` in such a child. */
export interface HandoverChannel {
  /** Whether messages can be sent. */
  readonly connected?: boolean;
  /** Sends a message and a socket. */
  send?(
    message: object,
    socket: never,
    options: undefined,
    callback: (error: Error | null) => void,
  ): boolean;
  /** Receives messages. */
  on(event: "message", listener: (message: unknown, socket: unknown) => void): unknown;
  /** Stops receiving them. */
  off(event: "message", listener: (message: unknown, socket: unknown) => void): unknown;
}

/** What is sent with the socket of a session. */
export interface HandoverMessage {
  /** The kind and version of the message. */
  readonly parley: "session 1";
  /** The unread input, in base64. */
  readonly unread: string;
  /** What the handler has kept, as JSON. */
  readonly kept: string;
}

export function isHandover(message: unknown): message is HandoverMessage {
  return (message as Partial<HandoverMessage> | null)?.parley === "session 1";
}

/** Sends the socket of a session. If that fails, the socket is closed. */
export function sendSocket(
  channel: HandoverChannel,
  message: HandoverMessage,
  socket: DetachedSocket["socket"],
): Promise<void> {
  return new Promise((resolve, reject) => {
    const onSent = (error: Error | null): void => {
      if (!error) return resolve();
      socket.destroy();
      reject(new Error("a session could not be handed over", { cause: error }));
    };
    try {
      channel.send!(message, socket as never, undefined, onSent);
    } catch (error) {
      onSent(error as Error);
    }
  });
}
