/** The options and types of `connectDatagrams()`; `connect_datagrams.ts` publishes them. */

import type { Address } from "../_internal/address.ts";
import { checkInteger, checkObject, checkSignal } from "../_internal/checks.ts";
import { elsewhere, type Known } from "../_internal/options.ts";
import type { CommonDatagramOptions, SocketOptions } from "./options.ts";
import { checkSocket, checkText, COMMON_OPTIONS } from "./settings.ts";
import type { DatagramSocket } from "./socket.ts";

/** Options of {@linkcode connectDatagrams}: whom to talk to. */
export interface ConnectDatagramsOptions<In = Uint8Array, Out = string | Uint8Array>
  extends CommonDatagramOptions<In, Out>, Pick<SocketOptions, "ttl"> {
  /**
   * The name or address of the peer.
   *
   * @default {"127.0.0.1"}
   */
  hostname?: string;
  /** The port of the peer: 1 to 65535. Needed unless a `path` or a `socket` is given. */
  port?: number;
  /** The address to send from. By default, the system chooses. */
  localHostname?: string;
  /**
   * The port to send from: 0 to 65535.
   *
   * @default {0, a free one}
   */
  localPort?: number;
  /** The path of a Unix datagram socket, instead of `hostname` and `port`: in Deno with `--unstable-net`. */
  path?: string;
  /** The path to bind, without which a peer on a Unix socket cannot answer. Needed with `path`. */
  localPath?: string;
  /** An existing socket, such as one of a simulated network. The client closes it. Needs `remoteAddr`. */
  socket?: DatagramSocket;
  /** The address of the peer on the network of `socket`. */
  remoteAddr?: Address;
  /** Closes the client when it aborts, and ends the wait for the address of `hostname`. */
  signal?: AbortSignal;
}

export const CONNECT_OPTIONS: Known<ConnectDatagramsOptions<unknown, unknown>> = {
  ...COMMON_OPTIONS,
  ttl: (name, value) => void checkInteger(name, value, 1, 255),
  hostname: checkText,
  port: elsewhere,
  localHostname: checkText,
  localPort: elsewhere,
  path: checkText,
  localPath: checkText,
  socket: checkSocket,
  remoteAddr: checkObject,
  signal: checkSignal,
};

/** Options of {@linkcode DatagramClient.receive}. */
export interface ReceiveOptions {
  /** Ends the wait. */
  signal?: AbortSignal;
  /**
   * How long to wait, in milliseconds. There is no limit by default, although datagrams may be lost.
   *
   * @default {Infinity}
   */
  timeout?: number;
}

export const RECEIVE_OPTIONS: Known<ReceiveOptions> = { signal: checkSignal, timeout: elsewhere };

/** Figures of a datagram client. */
export interface DatagramClientStats {
  /** Datagrams that came from the peer. */
  received: number;
  /** Datagrams that the system has taken. */
  sent: number;
  /** Bytes that came. */
  bytesRead: number;
  /** Bytes that went out. */
  bytesWritten: number;
  /** Messages that had no room in the queue, and datagrams that were too large. */
  dropped: number;
  /** Sends that failed. */
  sendErrors: number;
}

/** Talks to one peer by datagrams. It is an async iterator of what comes. */
export interface DatagramClient<In = Uint8Array, Out = string | Uint8Array>
  extends AsyncIterableIterator<In, undefined, void>, AsyncDisposable {
  /** The address that the client sends from. */
  readonly localAddr: Address;
  /** The address of the peer. */
  readonly remoteAddr: Address;
  /** Resolves when the client is closed. Never rejects. */
  readonly closed: Promise<void>;
  /**
   * Sends a datagram. The promise need not be awaited: its rejection never counts as unhandled.
   *
   * @param message The message. Bytes must not change until the promise has resolved.
   * @returns Resolves once the system has taken the datagram. Whether it arrives, no one knows.
   * @throws {DatagramTooLargeError} If the datagram is too large for the system or the path.
   * @throws {OutputLimitError} If too much waits to be sent.
   */
  send(message: Out): Promise<void>;
  /**
   * Waits for the next message.
   *
   * @param options How long to wait.
   * @returns The message; `undefined` if the client is closed.
   * @throws {Deno.errors.ConnectionRefused} If the peer's machine has reported that nothing receives there (ICMP). The
   * client remains usable. In Deno, such reports are not received.
   * @throws {MalformedFrameError | FrameTooLargeError | TruncatedFrameError} If the codec cannot decode a datagram. The
   * client remains usable.
   * @throws {DOMException} A `TimeoutError`, if nothing comes within `timeout`.
   * @throws The reason of `signal`.
   */
  receive(options?: ReceiveOptions): Promise<In | undefined>;
  /**
   * Returns the current figures.
   *
   * @returns The figures.
   */
  stats(): DatagramClientStats;
  /**
   * Closes the socket once everything is sent. Messages that have come can still be received.
   *
   * @returns {@linkcode closed}.
   */
  close(): Promise<void>;
  /** Closes the socket at once, and drops what has come. */
  abort(): void;
}
