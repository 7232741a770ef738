/** The messages between the processes. */

import { shown } from "../_internal/checks.ts";
import type { DetachedSocket } from "../transport/node/handover.ts";

/** The kind and version of the message with a session. */
const KIND = "session 1";
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;
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
  readonly parley: typeof KIND;
  /** The unread input, in base64. */
  readonly unread: string;
  /** What the handler has kept, as JSON. */
  readonly kept: string;
}

/** A message of the other process, which may have another version. */
export type ReceivedMessage = Record<keyof HandoverMessage, unknown>;

/** Whether a message is one between the processes, and not one of their users. */
export function isHandover(message: unknown): message is ReceivedMessage {
  return typeof message === "object" && message !== null && "parley" in message;
}

/**
 * Checks the message that came with a socket.
 *
 * @throws {TypeError} If it is malformed, or of another version. The socket is then closed.
 */
export function checkMessage(
  message: ReceivedMessage,
  socket: DetachedSocket["socket"],
): HandoverMessage {
  try {
    checkParts(message);
    return message;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

function checkParts(message: ReceivedMessage): asserts message is HandoverMessage {
  const { parley, unread, kept } = message;
  if (parley !== KIND) {
    const got = typeof parley === "string" ? JSON.stringify(parley.slice(0, 40)) : shown(parley);
    throw new TypeError(
      `the other process hands sessions over in another version: expected "${KIND}", got ${got}`,
    );
  }
  if (typeof unread !== "string" || !BASE64.test(unread)) {
    throw new TypeError(`unread of a session handed over must be base64, got ${shown(unread)}`);
  }
  if (typeof kept !== "string" || !isJson(kept)) {
    throw new TypeError(`kept of a session handed over must be JSON, got ${shown(kept)}`);
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Sends the sockets of sessions over a channel. One that cannot be sent, or takes too long, is closed. */
export class SocketSender {
  readonly #channel: HandoverChannel;
  /** Settles the sends that wait. */
  readonly #waiting = new Set<(error: Error | null) => void>();

  constructor(channel: HandoverChannel) {
    this.#channel = channel;
  }

  send(message: HandoverMessage, socket: DetachedSocket["socket"]): Promise<void> {
    return new Promise((resolve, reject) => {
      const onSent = (error: Error | null): void => {
        if (!this.#waiting.delete(onSent)) return;
        clearTimeout(timer);
        if (this.#waiting.size === 0) {
          for (const event of ENDS) this.#channel.off(event, this.#onEnd);
        }
        if (!error) return resolve();
        socket.destroy();
        reject(new Error("a session could not be handed over", { cause: error }));
      };
      const timer = setTimeout(() => {
        onSent(new Error(`the other process has not accepted a socket within ${MAX_WAIT} ms`));
      }, MAX_WAIT);
      // One listener for all: a relay may have any number of sockets on their way.
      if (this.#waiting.size === 0) {
        for (const event of ENDS) this.#channel.on(event, this.#onEnd);
      }
      this.#waiting.add(onSent);
      try {
        this.#channel.send!(message, socket as never, undefined, onSent);
      } catch (error) {
        onSent(error as Error);
      }
    });
  }

  // A socket waits until the other process has accepted the one before. If that ends meanwhile, Deno 2.9 never calls back,
  // and a channel that was cut has no "disconnect", but a child process has "exit".
  readonly #onEnd = (): void => {
    for (const onSent of this.#waiting) onSent(new Error("the other process has ended"));
  };
}
