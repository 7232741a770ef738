/** The options and types of `serveDatagrams()`; `serve_datagrams.ts` publishes them. */

import type { Address } from "../_internal/address.ts";
import type { Logger } from "../_internal/logging.ts";
import type { Codec } from "../codecs/codec.ts";
import type { ServerState } from "../serve/observer.ts";
import type { DatagramDropReason, DatagramObserver } from "./observer.ts";
import type { DatagramOverflow } from "./queue.ts";
import type { DatagramSocket } from "./socket.ts";

/** A multicast group to join. */
export interface MulticastGroup {
  /** The address of the group: `224.0.0.0/4` (RFC 5771) or `ff00::/8` (RFC 4291 §2.7). */
  address: string;
  /**
   * The interface to join on: its address for IPv4, `::%eth0` for IPv6. By default, that of
   * {@linkcode MulticastOptions.interface}, or else the one that the system chooses.
   */
  interface?: string;
  /** The only sender to receive from (source-specific multicast, RFC 4607). IPv4 only in Deno. */
  source?: string;
}

/** Multicast of a socket. */
export interface MulticastOptions {
  /** The groups to join. */
  groups?: readonly (string | MulticastGroup)[];
  /** The interface to send from: its address for IPv4, `::%eth0` for IPv6. */
  interface?: string;
  /** How many routers multicast datagrams may pass, plus 1: 1 to 255. The system's default is 1. IPv4 only in Deno. */
  ttl?: number;
  /** Whether sockets on this machine receive what is sent. The system's default is `true`. */
  loopback?: boolean;
}

/** Options of a UDP socket. */
export interface SocketOptions {
  /**
   * Whether a socket on `::` receives IPv6 only, and not IPv4 as well.
   *
   * @default {false}
   */
  ipv6Only?: boolean;
  /**
   * Whether other sockets may bind the same address, as multicast receivers on one machine do (`SO_REUSEADDR`). On Linux,
   * a unicast datagram then goes to the socket that was bound last.
   *
   * @default {false}
   */
  reuseAddress?: boolean;
  /** How many routers a datagram may pass, plus 1: 1 to 255. The system's default is usually 64. */
  ttl?: number;
  /**
   * Whether datagrams may be sent to broadcast addresses.
   *
   * @default {false}
   */
  broadcast?: boolean;
  /** The multicast groups to join, and how to send to groups. */
  multicast?: MulticastOptions;
  /** The size of the system's receive buffer in bytes. No effect in Deno. */
  recvBufferSize?: number;
  /** The size of the system's send buffer in bytes. No effect in Deno. */
  sendBufferSize?: number;
}

/** Options that servers and clients have in common. */
export interface CommonDatagramOptions<In, Out> {
  /**
   * The kind of socket: `datagram`. No runtime has sequenced packets or raw sockets: asking for `seqpacket` or `raw` is a
   * `TypeError` that names what to use instead.
   *
   * @default {"datagram"}
   */
  kind?: "datagram" | "seqpacket" | "raw";
  /**
   * Decodes and encodes messages. Each datagram is decoded as a whole: several lines are several messages, and what is
   * left of an incomplete one is an error. Without it, each datagram is one message of bytes.
   */
  codec?: Codec<In, Out>;
  /**
   * The maximum size of a received datagram, in bytes: 1 to 65535, which is more than UDP allows (RFC 768). Larger ones are
   * dropped. A smaller value costs less in Deno, where memory of that size is allocated for each datagram.
   *
   * @default {65535}
   */
  maxMessageSize?: number;
  /**
   * How many bytes of received datagrams may wait for a handler or a reader: 1 KiB to 2^40. Each counts 256 bytes more
   * than it has.
   *
   * @default {4194304}
   */
  maxQueuedBytes?: number;
  /**
   * What happens to a datagram that has no room in the queue. It is dropped, or those that have waited longest are: the
   * latter suits messages that replace earlier ones.
   *
   * @default {"drop-newest"}
   */
  overflow?: DatagramOverflow;
  /**
   * How many bytes may wait to be sent: 1 KiB to 2^40. Each datagram counts 256 bytes more than it has. A send for which
   * there is no room rejects with an `OutputLimitError`.
   *
   * @default {1048576}
   */
  maxBufferedOutput?: number;
}

/** How many datagrams per second an address may send. */
export interface MessageRate {
  /** The average number of datagrams per second: 1 to 2^30. */
  perSecond: number;
  /** The number of datagrams that may come at once after a time with fewer: 1 to 2^30. By default, `perSecond`. */
  burst?: number;
}

/** Options of {@linkcode serveDatagrams}: where to receive, what to let in, and what to answer. */
export interface ServeDatagramsOptions<In = Uint8Array, Out = string | Uint8Array>
  extends CommonDatagramOptions<In, Out>, SocketOptions {
  /**
   * The address to bind: `0.0.0.0` for all IPv4 addresses, `::` for all IPv6 and IPv4 addresses. Senders over IPv4 have
   * IPv4 addresses there, too.
   *
   * @default {"127.0.0.1"}
   */
  hostname?: string;
  /** The port to bind: 0 to 65535, where 0 takes a free one. Needed unless a `path` or a `socket` is given. */
  port?: number;
  /**
   * The path of a Unix datagram socket, instead of `hostname` and `port`. Only Deno has such sockets, with
   * `--unstable-net`. The file must not exist, and is removed with the server.
   */
  path?: string;
  /** An existing socket, such as one of a simulated network. The server closes it. */
  socket?: DatagramSocket;
  /**
   * The addresses that may send: IP addresses and CIDR blocks such as `10.0.0.0/8` and `2001:db8::/32`. By default, all
   * may. An IPv4-mapped IPv6 address counts as IPv4.
   */
  allow?: readonly string[];
  /** The addresses that may not send, in the same form. It takes precedence over `allow`. */
  deny?: readonly string[];
  /**
   * How many datagrams per second one address may send; unlimited by default. IPv6 addresses count by `ipv6PrefixLength`.
   * Further ones are dropped. A sender can forge its address: the rate protects the server, and does not prove who sends.
   */
  messageRate?: MessageRate;
  /**
   * The prefix length by which `messageRate` counts IPv6 addresses: 1 to 128.
   *
   * @default {64}
   */
  ipv6PrefixLength?: number;
  /**
   * How many times the size of a datagram its answers may have together, while its sender is not proven: 1 to 1000, or
   * `Infinity`. Each datagram counts 28 bytes more than it has, for the headers of IPv4 and UDP. Answers beyond that are
   * not sent.
   *
   * The address of a datagram can be forged. A server that answers a small question at length can be used to flood whoever
   * has that address (RFC 9000 §8.1, RFC 8085 §6). {@linkcode DatagramSender.validate} lifts the limit for one sender.
   *
   * @default {3}
   */
  maxAmplification?: number;
  /**
   * How long a sender remains proven, in milliseconds.
   *
   * @default {600000}
   */
  provenFor?: number;
  /**
   * How many handlers may run at once: 1 to 2^30. Meanwhile, datagrams wait in the queue.
   *
   * @default {1000}
   */
  maxHandlers?: number;
  /**
   * How long `shutdown()` waits for handlers and the queue before it aborts, in milliseconds.
   *
   * @default {15000}
   */
  shutdownTimeout?: number;
  /** Calls `shutdown()` when it aborts. */
  signal?: AbortSignal;
  /** Receives events: states, dropped datagrams and errors. */
  observer?: DatagramObserver;
  /** Logs the events that an observer receives: `console`, a LogTape logger, a `@std/log` logger. */
  logger?: Logger;
  /**
   * Receives errors that a handler or an observer throws, and errors of receiving. Without this, an `observer` and a
   * `logger`, such errors are printed to standard error.
   *
   * @param error What was thrown.
   */
  onError?(error: unknown): void;
}

/** The sender of a datagram, to answer it. */
export interface DatagramSender<Out = string | Uint8Array> {
  /** The address of the sender, which it may have forged. An IPv4-mapped address is shown as IPv4. */
  readonly remoteAddr: Address;
  /** Whether the sender has shown that it receives at its address, so that answers may be of any size. */
  readonly isProven: boolean;
  /**
   * Marks the sender as proven for `provenFor`. Call it when a datagram contains something that only a receiver of an
   * earlier answer can know, such as a random token.
   */
  validate(): void;
  /**
   * Answers with a datagram. The promise need not be awaited: its rejection never counts as unhandled, and a handler that
   * lets it through does not count as faulty.
   *
   * @param message The message. Bytes must not change until the promise has resolved.
   * @returns Resolves once the system has taken the datagram. Whether it arrives, no one knows.
   * @throws {AmplificationLimitError} If the sender is not proven, and the answers are too large for what it has sent.
   * @throws {DatagramTooLargeError} If the datagram is too large for the system or the path.
   * @throws {OutputLimitError} If too much waits to be sent.
   */
  send(message: Out): Promise<void>;
}

/**
 * Handles one message. What it throws ends nothing: it is reported to `onError`.
 *
 * @param message The message.
 * @param sender Its sender.
 */
export type DatagramHandler<In = Uint8Array, Out = string | Uint8Array> = (
  message: In,
  sender: DatagramSender<Out>,
) => unknown;

/** Figures of a datagram server since it began. */
export interface DatagramStats {
  /** Datagrams that came, dropped ones included. */
  received: number;
  /** Datagrams that the system has taken. */
  sent: number;
  /** Bytes that came. */
  bytesRead: number;
  /** Bytes that went out. */
  bytesWritten: number;
  /** Datagrams that were dropped, answers included. */
  dropped: number;
  /** The same by reason. */
  drops: Record<DatagramDropReason, number>;
  /** Handlers that run now. */
  active: number;
  /** Datagrams that wait for a handler now. */
  queued: number;
  /** The memory that they take, in bytes. */
  queuedBytes: number;
  /** Senders that are remembered as proven. */
  proven: number;
  /** Errors that handlers threw. */
  handlerErrors: number;
  /** Sends that failed. */
  sendErrors: number;
  /** Times that receiving failed. */
  receiveErrors: number;
}

/** A running datagram server. */
export interface DatagramServer<Out = string | Uint8Array> extends AsyncDisposable {
  /** The address of the socket, with its actual port. */
  readonly addr: Address;
  /**
   * Resolves to the address once the socket is bound. It is bound already unless `hostname` is a name: then this rejects if
   * the name cannot be resolved or the address cannot be bound. If the server is stopped before, the rejection need not be
   * handled.
   */
  readonly listening: Promise<Address>;
  /** Resolves when the server has stopped and its socket is closed. Never rejects. */
  readonly finished: Promise<void>;
  /** The current state. */
  readonly state: ServerState;
  /**
   * Returns the current figures.
   *
   * @returns The figures.
   */
  stats(): DatagramStats;
  /**
   * Sends a datagram that answers none, such as one to a multicast group. The limit of amplification does not apply: never
   * pass the address of an unproven sender.
   *
   * @param message The message. Bytes must not change until the promise has resolved.
   * @param to The address of the receiver.
   * @returns Resolves once the system has taken the datagram. A rejection never counts as unhandled.
   * @throws {TypeError | RangeError} If `to` is no address of the transport of this server.
   * @throws {DatagramTooLargeError} If the datagram is too large for the system or the path.
   * @throws {OutputLimitError} If too much waits to be sent.
   */
  send(message: Out, to: Address): Promise<void>;
  /** Calls no handlers until `resume()`. Datagrams wait in the queue while it has room. */
  suspend(): void;
  /** Calls handlers again. */
  resume(): void;
  /**
   * Drops what comes from now on, and closes the socket when the queue is empty, all handlers have returned and all answers
   * are sent, after `shutdownTimeout` at the latest.
   *
   * @returns {@linkcode finished}.
   */
  shutdown(): Promise<void>;
  /** Closes the socket at once. Handlers that run are not waited for. */
  abort(): void;
  /** Keeps the process alive while the server runs. This is the default. */
  ref(): void;
  /** Lets the process end although the server runs. In Deno, this has an effect from the next datagram on. */
  unref(): void;
}
