/** The messages between the processes. */

import type { DetachedSocket } from "../transport/node/handover.ts";

/** How long the other process may take until it accepts the next socket, in milliseconds. */
const MAX_WAIT = 10_000;
/** The events that tell that no more is accepted. */
const ENDS = ["disconnect", "exit"] as const;

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
  /** Is told when the channel is closed, or the other process has ended. */
  on(event: "disconnect" | "exit", listener: () => void): unknown;
  /** Stops receiving them. */
  off(event: "message", listener: (message: unknown, socket: unknown) => void): unknown;
  /** Is not told any more. */
  off(event: "disconnect" | "exit", listener: () => void): unknown;
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

/** Sends the socket of a session. If that fails, or takes too long, the socket is closed. */
export function sendSocket(
  channel: HandoverChannel,
  message: HandoverMessage,
  socket: DetachedSocket["socket"],
): Promise<void> {
  return new Promise((resolve, reject) => {
    let isSettled = false;
    const onSent = (error: Error | null): void => {
      if (isSettled) return;
      isSettled = true;
      clearTimeout(timer);
      for (const event of ENDS) channel.off(event, onEnd);
      if (!error) return resolve();
      socket.destroy();
      reject(new Error("a session could not be handed over", { cause: error }));
    };
    // A socket waits until the other process has accepted the one before. If that ends meanwhile, Deno 2.9 never calls back,
    // and a channel that was cut has no "disconnect", but a child process has "exit".
    const onEnd = (): void => onSent(new Error("the other process has ended"));
    const timer = setTimeout(() => {
      onSent(new Error(`the other process has not accepted a socket within ${MAX_WAIT} ms`));
    }, MAX_WAIT);
    for (const event of ENDS) channel.on(event, onEnd);
    try {
      channel.send!(message, socket as never, undefined, onSent);
    } catch (error) {
      onSent(error as Error);
    }
  });
}
