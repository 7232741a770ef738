/** The options of `serve()` and the types of what it returns; `serve.ts` publishes them. */

import type { Durations } from "../_internal/durations.ts";
import type { EndReason, TlsFailure } from "../errors.ts";
import type {
  Logger,
  MemoryPressure,
  RefusalReason,
  ServerObserver,
  ServerState,
} from "./observer.ts";
import type { Session } from "../session.ts";
import type { SessionOptions } from "../session/options.ts";
import type { Address, Listener, PeerCertificate } from "../transport/connection.ts";
import type { TransportName } from "../transport/socket_options.ts";
import type { TlsServerOptions } from "../transport/tls/options.ts";

export type { DurationRange, Durations } from "../_internal/durations.ts";

/**
 * Serves one session. When the handler returns, the session is closed gracefully. When it throws, its session ends and all
 * others continue.
 *
 * @param session The session.
 */
export type Handler = (session: Session) => unknown;

/** Options of {@linkcode serve}: where to listen, how many sessions to accept, and how each of them behaves. */
export interface ServeOptions extends SessionOptions {
  /**
   * The address to listen on: `0.0.0.0` for all IPv4 addresses, `::` for all IPv6 and IPv4 addresses. A link-local address
   * needs its zone, such as `fe80::1%eth0`, which `addr` does not show.
   *
   * @default {"127.0.0.1"}
   */
  hostname?: string;
  /** The port to listen on: 0 to 65535, where 0 takes a free one. Needed unless a `path` or a `listener` is given. */
  port?: number;
  /**
   * The Unix socket to listen on, instead of `hostname` and `port`: the path of a file, at most 107 bytes (103 on
   * macOS), or, on Linux, `"\0name"` for an abstract name, which has no file and disappears with the server.
   *
   * The server creates the file and removes it when it has stopped, unless the file belongs to another server by then.
   * A file that a killed server left behind is replaced. If a server listens on it, or it is not a socket, that is an
   * `AddrInUse` error. Deno requires `--allow-read` and `--allow-write` for the path, and `--allow-net=unix:/the/path`
   * or `--allow-net`.
   */
  path?: string;
  /**
   * The permissions of the socket's file: 0 to 0o777. Clients need write permission to connect. The file is created with
   * these permissions: the umask of the process is set for that moment, which requires `--allow-sys`. By default, the
   * process's umask applies.
   */
  mode?: number;
  /**
   * A descriptor that is listening already. For those that systemd passes, `listenFd()` returns a `listener`. Requires
   * `transport: "node"`, but no permission of Deno's. The server closes it.
   */
  fd?: number;
  /**
   * What the server listens with: `deno` is `Deno.listen`. `node` is `node:net`, which costs less from about a thousand
   * busy connections on and is required by some options.
   *
   * @default {"deno" from Deno 2.9.5 on, where alone it exists; otherwise "node"}
   */
  transport?: TransportName;
  /** An existing listener to accept connections from. The server closes it. */
  listener?: Listener;
  /**
   * How many connections the system may keep waiting to be accepted: 1 to 65535.
   *
   * @default {511}
   */
  tcpBacklog?: number;
  /**
   * Whether other processes and workers may listen on the same port and share its connections. Linux only. With
   * `transport: "deno"`, it requires Deno's `--unstable-net`; without it, the process exits.
   *
   * @default {false}
   */
  reusePort?: boolean;
  /**
   * Whether output is sent at once, without Nagle's algorithm.
   *
   * @default {true}
   */
  noDelay?: boolean;
  /**
   * Whether the system sends keep-alive probes to silent peers, at its default interval. With `transport: "node"`, a
   * number sets after how many milliseconds of silence: 1000 to 32767000, in whole seconds.
   *
   * @default {false}
   */
  keepAlive?: boolean | number;
  /**
   * The maximum number of sessions at a time, counted from the accept until the descriptor is free: 1 to 2^30.
   *
   * @default {10000}
   */
  maxSessions?: number;
  /**
   * What happens to a connection over `maxSessions`: it waits in the system's backlog until a session has ended, or
   * it is accepted and closed.
   *
   * @default {"wait"}
   */
  overload?: "wait" | "refuse";
  /**
   * The maximum number of connections at a time from one IP address, counted from the accept until the descriptor is
   * free: 1 to 2^30. Further ones are accepted and closed, whatever `overload` is. For IPv6, a whole network counts as
   * one address: see `ipv6PrefixLength`. The limit is off by default, because many clients may share an address behind
   * a proxy or a carrier's NAT. While it is off, one address can take all of `maxSessions`.
   *
   * Peers without an IP address, such as those on a Unix socket, are not counted. Behind a trusted proxy, the client
   * that its header names is counted, and not the proxy.
   *
   * @default {Infinity}
   */
  maxSessionsPerAddress?: number;
  /**
   * The prefix length by which `maxSessionsPerAddress` and `sessionRate` count IPv6 addresses: 1 to 128. A host can
   * usually take any address of its network, a /64 (RFC 4291 §2.5.4). With 128, each address counts by itself. Providers
   * give a site up to a /48 (RFC 6177). All link-local addresses are in one /64.
   *
   * @default {64}
   */
  ipv6PrefixLength?: number;
  /**
   * How many new sessions per second one address may begin; unlimited by default. IPv6 addresses count by
   * `ipv6PrefixLength`. Peers without an IP address, such as those on a Unix socket, are not counted. Behind a trusted
   * proxy, the client that its header names is counted, and not the proxy.
   */
  sessionRate?: SessionRate;
  /**
   * The most memory that the unread input and unsent output of all sessions may take, in bytes: 8 MiB to 2^50, or
   * `Infinity`. Other servers in the same process do not count.
   *
   * Above 3/8 of it, sessions are read in small pieces. Above 5/8, those that hold most are not read until memory is
   * free again. Above 3/4, nothing is accepted. Above 7/8, the sessions that hold most for the longest time without a
   * byte are ended, until 5/8 is reached, with the reason `limit` and a `MemoryLimitError`. Below it, those without a byte
   * for 2 seconds are ended while others wait to be read, or for half a second while nothing is accepted. The last eighth
   * is for what is lost between buffers. `observer.onMemoryPressure` is told of each step.
   *
   * The buffers of sessions and connections count, and so do bytes that are sent from the handler's own memory, each
   * once. So one `send()` of more than 7/8 of the limit ends its session. Under TLS, each session counts for 32 KiB more,
   * all together up to a quarter of the limit. Other memory of sessions, connections that are not sessions yet, and
   * garbage do not count.
   *
   * @default {268435456}
   */
  maxBufferMemory?: number;
  /**
   * The addresses that may connect: IP addresses and CIDR blocks such as `10.0.0.0/8` and `2001:db8::/32`. By default,
   * all may. Connections from other addresses are closed right after the accept, before anything is read or written.
   * `::/0` is all of IPv6 but not IPv4, also for a server on `::`.
   *
   * Peers without an IP address, such as those on a Unix socket, are not checked. Behind a trusted proxy, the address
   * in its header is checked. If the header has none (`LOCAL`, `UNKNOWN`), only `deny` is checked, for the proxy itself.
   */
  allow?: readonly string[];
  /** The addresses that may not connect, in the same form. It takes precedence over `allow` and `trusted`. */
  deny?: readonly string[];
  /**
   * Whether each connection begins with a PROXY protocol header (HAProxy's, version 1 or 2). The header comes before TLS
   * and gives the addresses of the session, which limits and lists then apply to. `session.proxy` has the whole header.
   * The server never guesses whether there is a header (PROXY protocol §2).
   *
   * A client that connected to a Unix socket of the proxy has no IP address: no list applies to it, and
   * `maxSessionsPerAddress` does not count it. Its `session.remoteAddr.transport` is `"unix"`, and the proxy decides
   * who may connect there.
   *
   * @default {"off"}
   */
  proxyProtocol?: "off" | "required";
  /**
   * The addresses of proxies: IP addresses and CIDR blocks. Required with `proxyProtocol` on TCP, because a peer that may
   * send a header can claim any address. Peers without an IP address, such as those on a Unix socket, are trusted.
   */
  trusted?: readonly string[];
  /**
   * What happens to peers that are not `trusted`: they are refused, or treated as direct clients that send no header.
   *
   * @default {"refuse"}
   */
  untrusted?: "refuse" | "direct";
  /**
   * How long a PROXY header may take from the accept on, in milliseconds.
   *
   * @default {5000}
   */
  proxyHeaderTimeout?: number;
  /**
   * The maximum size of a PROXY header of version 2, in bytes: 16 to 65551, the protocol's own limit (PROXY protocol
   * §2.2). The default is enough for addresses, names and one client certificate of usual size (1 to 2 KiB). A chain, or
   * a certificate with a large key, needs more. An incomplete header takes up to twice this much memory. Version 1 has a
   * fixed limit of 107 bytes.
   *
   * @default {4096}
   */
  maxProxyHeader?: number;
  /** TLS: certificates, and whether clients need one. Without it, sessions are not encrypted. */
  tls?: ServerTlsOptions;
  /**
   * How long a TLS handshake may take, in milliseconds.
   *
   * @default {5000}
   */
  handshakeTimeout?: number;
  /**
   * How long the server still accepts after `shutdown()`, in milliseconds: 0 to 2^31 - 1. In this time, its state is
   * `lame-duck`, so that readiness fails and a load balancer stops sending clients (lame duck). Then the server drains,
   * and spreads the ends of its sessions over `shutdownTimeout`, so that clients do not all reconnect at once. Make it
   * longer than the balancer needs to notice.
   *
   * @default {0}
   */
  drainDelay?: number;
  /**
   * How long `shutdown()` waits for sessions to end before it aborts them, in milliseconds, after `drainDelay`.
   *
   * @default {15000}
   */
  shutdownTimeout?: number;
  /** Calls `shutdown()` when it aborts. */
  signal?: AbortSignal;
  /** Receives events of sessions, refusals and errors. */
  observer?: ServerObserver;
  /** Logs the events that an observer receives: `console`, a LogTape logger, a `@std/log` logger. */
  logger?: Logger;
  /**
   * Receives errors that a handler, a `goodbye`, a `heartbeat` or an observer throws, and errors of accepting. Without
   * this, an `observer` and a `logger`, such errors are printed to standard error.
   *
   * @param error What was thrown.
   * @param session The session whose handler, `goodbye` or `heartbeat` threw.
   */
  onError?(error: unknown, session?: Session): void;
}

/** TLS of a server, and when it begins. */
export interface ServerTlsOptions extends TlsServerOptions {
  /**
   * When TLS begins: with the connection (`"required"`), or when the handler calls `session.upgradeTls()`
   * (`"starttls"`).
   *
   * With `"detect"`, the first byte of a client decides: 22 begins a TLS handshake (RFC 8446 §5.1), and anything else a
   * session without TLS. `session.tls` is then `undefined`, and the handler decides what such a client may do: an attacker
   * on the path can make a client connect without TLS. A session without TLS may still begin it with
   * `session.upgradeTls()`. A client that sends nothing within `handshakeTimeout` is refused. So this mode does not suit
   * protocols in which the server speaks first, or in which a client without TLS may begin with the byte 22.
   *
   * @default {"required"}
   */
  mode?: "required" | "detect" | "starttls";
}

/** Figures of a server since it began. */
export interface ServerStats {
  /** Sessions that are open now. */
  active: number;
  /** Connections that became sessions. */
  accepted: number;
  /** Connections that were refused. */
  refused: number;
  /** The same by reason. */
  refusals: Record<RefusalReason, number>;
  /** Sessions that have ended, by reason. */
  ends: Record<EndReason, number>;
  /** How long the sessions lasted that have ended. */
  durations: Durations;
  /** How long the TLS handshakes took that have succeeded, from the accept or `upgradeTls()` on. */
  handshakes: Durations;
  /** TLS handshakes that have failed, by reason. Peers that left before they sent anything are not among them. */
  handshakeFailures: Record<TlsFailure, number>;
  /** Times that accepting failed. */
  acceptErrors: number;
  /** Errors that handlers, `goodbye` and `heartbeat` threw and that did not come from their session. */
  handlerErrors: number;
  /** Bytes that came in all sessions. */
  bytesRead: number;
  /** Bytes that went out in all sessions. */
  bytesWritten: number;
  /** Input of the open sessions that was not read yet, in bytes. */
  unread: number;
  /** Output of the open sessions that was not written yet, in bytes. */
  unsent: number;
  /** Open sessions whose peer has not yet taken all that is being written. */
  blocked: number;
  /** How often connections and sessions had to wait for a rate. */
  waits: RateStats;
  /** The memory of the sessions' buffers. */
  memory: MemoryStats;
}

/** The rate at which an address may begin sessions. */
export interface SessionRate {
  /** The average number of sessions per second: 1 to 2^30. */
  perSecond: number;
  /**
   * The number of sessions that may begin at once after a time with fewer: 1 to 2^30. By default, as many as `perSecond`.
   */
  burst?: number;
  /**
   * What happens to sessions that exceed the rate. They are refused with the reason `sessionRate`, or they wait before TLS
   * begins or the handler is called. Those that wait count in `maxSessions` and `maxSessionsPerAddress`. At most `burst`
   * of an address wait; more are refused.
   *
   * @default {"refuse"}
   */
  exceeded?: "refuse" | "wait";
}

/** How often connections and sessions had to wait for `sessionRate`, `readRate` or `writeRate` of the server's options. */
export interface RateStats {
  /** Connections that had to wait for `sessionRate` before they became sessions. */
  sessions: number;
  /** Times that a session was not read because of `readRate`. */
  reads: number;
  /** Times that output of a session was not written because of `writeRate`. */
  writes: number;
}

/** The memory of a server's buffers, see `maxBufferMemory` of its options. */
export interface MemoryStats {
  /** How much unread input, unsent output and TLS take now, in bytes. */
  held: number;
  /** What the server does about it now. */
  pressure: Exclude<MemoryPressure, "sessions-ended">;
  /** Sessions that would be read now if they held less. */
  paused: number;
  /** Sessions that were ended because they held most. */
  ended: number;
}

/** Options of `shutdown()`. */
export type ShutdownOptions = Pick<ServeOptions, "drainDelay">;

/** A running server. */
export interface Server extends AsyncDisposable {
  /** The address that the server listens on, with its actual port. */
  readonly addr: Address;
  /**
   * Resolves to the address once the server listens. Usually it listens already; only if the file of a Unix socket
   * exists, the server first has to find out whether another server listens on it. If one does, this rejects with
   * `Deno.errors.AddrInUse`, and the server is closed. Such a rejection ends the process if it is not handled, as an
   * error that `serve()` throws does. If the server is stopped before it listens, this rejects too, but need not be
   * handled.
   */
  readonly listening: Promise<Address>;
  /** Resolves when the server has stopped and its last session has ended. Never rejects. */
  readonly finished: Promise<void>;
  /** The current state. */
  readonly state: ServerState;
  /** The open sessions, for broadcasts. Each access returns a new set. */
  readonly sessions: ReadonlySet<Session>;
  /** The certificates that new clients are shown, the main one first, without those of authorities. Each access parses them. */
  readonly certificates: readonly PeerCertificate[];
  /**
   * Returns the current figures.
   *
   * @returns The figures.
   */
  stats(): ServerStats;
  /**
   * Replaces the TLS options except `mode`, for new handshakes; open sessions are not affected. If it
   * throws, the old options stay in use.
   *
   * @param tls The new options, which replace all old ones.
   * @throws {TypeError | RangeError} If an option is invalid, or the server was started without `tls`.
   */
  reloadTls(tls: TlsServerOptions): void;
  /**
   * Adds an observer to those of the options.
   *
   * @param observer Receives events from now on.
   * @returns A function that removes it again.
   * @throws {TypeError} If one of its methods is not a function.
   */
  observe(observer: ServerObserver): () => void;
  /** Stops accepting until `resume()`. New connections wait in the system's backlog. */
  suspend(): void;
  /** Accepts again. */
  resume(): void;
  /**
   * Stops accepting and drains: loops that wait for the next message end, and the sessions have `shutdownTimeout` to end
   * before they are aborted. So have those whose client is still in a TLS handshake or has not sent its PROXY header yet.
   *
   * With a `drainDelay`, this begins only after the delay, and sessions are ended one after the other: within the first
   * half of `shutdownTimeout`, loops end at most 100 ms apart, and each session has at least the other half to end before
   * it is aborted. During the delay, another call has an effect only if it has a `drainDelay`, which replaces what is left
   * of the first one.
   *
   * @param options The delay, instead of the one of `serve()`.
   * @returns {@linkcode finished}.
   * @throws {TypeError | RangeError} If an option is invalid.
   */
  shutdown(options?: ShutdownOptions): Promise<void>;
  /**
   * Stops accepting and ends all sessions at once.
   *
   * @param reason Becomes the cause of their ends.
   */
  abort(reason?: unknown): void;
  /** Keeps the process alive while the server listens. This is the default. */
  ref(): void;
  /** Lets the process end although the server listens. */
  unref(): void;
}
