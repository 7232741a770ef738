/** The options of `serve()` and the types of what it returns; `serve.ts` publishes them. */

import type { Logger, RefusalReason, ServerObserver, ServerState } from "./observer.ts";
import type { Session } from "../session.ts";
import type { SessionOptions } from "../session/options.ts";
import type { Address, Listener } from "../transport/connection.ts";
import type { TransportName } from "../transport/socket_options.ts";
import type { TlsServerOptions } from "../transport/tls/options.ts";

/**
 * A service: what happens in one session. When it returns, the session is closed gracefully. When it throws, its
 * session ends and all others go on.
 *
 * @param session The session.
 */
export type Handler = (session: Session) => unknown;

/** Options of {@linkcode serve}: where to listen, how many sessions, and how each of them behaves. */
export interface ServeOptions extends SessionOptions {
  /**
   * The address to listen on; `0.0.0.0` for all of IPv4, `::` for all of IPv6 and IPv4. A link-local address needs its
   * zone, such as `fe80::1%eth0`, which `addr` does not show.
   *
   * @default {"127.0.0.1"}
   */
  hostname?: string;
  /** The port to listen on: 0 to 65535, where 0 takes a free one. Needed unless a `path` or a `listener` is given. */
  port?: number;
  /**
   * The Unix socket to listen on, instead of `hostname` and `port`: the path of a file, at most 107 bytes (103 on
   * macOS), or, on Linux, `"\0name"` for an abstract name, which has no file and goes with the server.
   *
   * The file is made and, when the server has stopped, removed, unless it is somebody else's by then. One that a
   * killed server has left behind is replaced; one that a server listens on, or that is no socket, never is: that
   * is an `AddrInUse` error. Deno asks for `--allow-read` and `--allow-write` of the path, and for
   * `--allow-net=unix:/the/path` or `--allow-net`.
   */
  path?: string;
  /**
   * The permissions of the socket's file: 0 to 0o777. To connect takes the permission to write. The file has them from
   * the beginning, since the umask of the process is set for the moment in which it is made, which Deno asks for
   * `--allow-sys` for. By default, the umask decides as it is.
   */
  mode?: number;
  /**
   * A descriptor that listens already, instead of listening: 3 is the first that systemd hands over (socket
   * activation, `LISTEN_FDS`). Needs `transport: "node"`, and no permission of Deno's. The server closes it.
   */
  fd?: number;
  /**
   * What listens: `deno` is `Deno.listen`; `node` is `node:net`, which costs less with a thousand busy connections and
   * more, and is needed for some options.
   *
   * @default {"deno"}
   */
  transport?: TransportName;
  /** A listener to take connections from, instead of listening. The server closes it. */
  listener?: Listener;
  /**
   * How many connections the system may keep waiting to be accepted: 1 to 65535.
   *
   * @default {511}
   */
  tcpBacklog?: number;
  /**
   * Whether other processes and workers may listen on the same port and share its connections. Linux only. With
   * `transport: "deno"`, it needs Deno's `--unstable-net`, without which the process ends.
   *
   * @default {false}
   */
  reusePort?: boolean;
  /**
   * Whether output leaves at once, with Nagle's algorithm off.
   *
   * @default {true}
   */
  noDelay?: boolean;
  /**
   * Whether the system probes silent peers, at its own pace; or, with `transport: "node"`, after how many milliseconds
   * of silence: 1000 to 32767000, in whole seconds.
   *
   * @default {false}
   */
  keepAlive?: boolean | number;
  /**
   * The most sessions at a time, counted from the accept until the descriptor is free: 1 to 2^30.
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
   * The most connections at a time from one IP address, counted from the accept until the descriptor is free: 1 to
   * 2^30. Of IPv6, a whole network counts as one, see `ipv6PrefixLength`. What is over it is accepted and closed, also
   * where `overload` lets others wait. It is off by default, since many clients share an address behind a proxy or a
   * carrier's translation; with it off, one address can take all of `maxSessions`. What has no IP address, such as a
   * Unix socket, is not counted, and nor is a trusted proxy: its clients are, once its header has named them.
   *
   * @default {Infinity}
   */
  maxSessionsPerAddress?: number;
  /**
   * How many leading bits of an IPv6 address count as one address in `maxSessionsPerAddress`: 1 to 128. A host can
   * mostly take any address of its network, which is a /64 (RFC 4291 §2.5.4), as often as it likes; with 128 each of
   * them counts by itself. Providers give a site up to a /48 (RFC 6177). Link-local addresses are all of one /64.
   *
   * @default {64}
   */
  ipv6PrefixLength?: number;
  /**
   * Who may come in: IP addresses and CIDR blocks such as `10.0.0.0/8` and `2001:db8::/32`. Everybody else is closed
   * right after the accept, before anything is read or written. `::/0` is all of IPv6 and nothing of IPv4, also for a
   * server on `::`. What has no IP address, such as a Unix socket, is not judged. Of a trusted proxy, the address that
   * its header gives is; where that gives none (`LOCAL`, `UNKNOWN`), only `deny` is asked, for the proxy itself. By
   * default, everybody may.
   */
  allow?: readonly string[];
  /** Who may not come in, likewise, even if `allow` or `trusted` has it. */
  deny?: readonly string[];
  /**
   * Whether each connection begins with a PROXY protocol header (HAProxy's, version 1 or 2), which then gives the
   * addresses of the session; limits and lists judge them too. Whether there is one is never guessed (PROXY protocol
   * §2). Headers come before TLS. `session.proxy` has all that a header says. A client that it shows on a Unix socket
   * of the proxy's has no IP address, so that no list judges it and `maxSessionsPerAddress` does not count it: who may
   * connect there is up to the proxy, and `session.remoteAddr.transport` tells it.
   *
   * @default {"off"}
   */
  proxyProtocol?: "off" | "required";
  /**
   * The proxies: IP addresses and CIDR blocks. Needed for `proxyProtocol` on TCP, because whoever may send a header may
   * claim any address. What has no IP address, such as a Unix socket, is trusted.
   */
  trusted?: readonly string[];
  /**
   * What happens to peers that are not `trusted`: they are refused, or taken as clients that come directly, without a
   * header.
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
   * The most bytes that a PROXY header of version 2 may have: 16 to 65551, which is all that it can (PROXY protocol
   * §2.2). The default is enough for addresses, names and one certificate of a client of ordinary size (one to two
   * KiB); a chain, or one with a large key, needs more. A header that waits for its end holds up to twice as much
   * memory. Version 1 has a limit of its own, 107 bytes.
   *
   * @default {4096}
   */
  maxProxyHeader?: number;
  /** TLS: certificates, and what is asked of clients. Without it, sessions are not encrypted. */
  tls?: ServerTlsOptions;
  /**
   * How long a TLS handshake may take, in milliseconds.
   *
   * @default {5000}
   */
  handshakeTimeout?: number;
  /**
   * How long `shutdown()` lets sessions come to their end, in milliseconds.
   *
   * @default {15000}
   */
  shutdownTimeout?: number;
  /** Calls `shutdown()` when it aborts. */
  signal?: AbortSignal;
  /** Is told of sessions, refusals and errors. */
  observer?: ServerObserver;
  /** Logs what an observer is told: `console`, a LogTape logger, a `@std/log` logger. */
  logger?: Logger;
  /**
   * Is given what a handler or an observer throws, and what makes accepting fail. Where no `observer` and no `logger`
   * is told either, such errors are printed to standard error.
   *
   * @param error What was thrown.
   * @param session The session whose handler threw.
   */
  onError?(error: unknown, session?: Session): void;
}

/** TLS of a server, and when it begins. */
export interface ServerTlsOptions extends TlsServerOptions {
  /**
   * Whether sessions begin without TLS, and their handler begins it with `session.upgradeTls()` (STARTTLS).
   *
   * @default {false}
   */
  starttls?: boolean;
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
  /** Times that accepting failed. */
  acceptErrors: number;
  /** Handlers that threw something of their own. */
  handlerErrors: number;
  /** Bytes that came in all sessions. */
  bytesRead: number;
  /** Bytes that went out in all sessions. */
  bytesWritten: number;
}

/** A running server. */
export interface Server extends AsyncDisposable {
  /** The address that is listened on, with the port that was taken. */
  readonly addr: Address;
  /**
   * Resolves to the address once the server listens, which it mostly does already. Only where a Unix socket's file is
   * there has it first to be found out whether a server listens on it. If one does, this rejects with
   * `Deno.errors.AddrInUse`, and the server is closed; a rejection that nobody handles ends the process, as what
   * `serve()` throws does. If the server is stopped before it listens, this rejects too, but needs no handling.
   */
  readonly listening: Promise<Address>;
  /** Resolves when the server has stopped and its last session has ended. Never rejects. */
  readonly finished: Promise<void>;
  /** What the server does now. */
  readonly state: ServerState;
  /** The sessions that are open now: a set of its own for each call, for broadcasts and the like. */
  readonly sessions: ReadonlySet<Session>;
  /**
   * Counts.
   *
   * @returns The figures now.
   */
  stats(): ServerStats;
  /**
   * Puts handshakes from now on under new certificates and whatever else `tls` says but `starttls`; sessions that are
   * open go on as they are. If it throws, everything stays as it was.
   *
   * @param tls The new options, whole.
   * @throws {TypeError | RangeError} If an option is wrong, or the server was started without `tls`.
   */
  reloadTls(tls: TlsServerOptions): void;
  /** Takes no new sessions until `resume()`. Connections wait in the system's backlog. */
  suspend(): void;
  /** Takes new sessions again. */
  resume(): void;
  /**
   * Stops accepting and drains: loops that wait for the next message end, other sessions have `shutdownTimeout` to
   * come to their end, then they are aborted.
   *
   * @returns What {@linkcode finished} is.
   */
  shutdown(): Promise<void>;
  /**
   * Stops accepting and ends all sessions at once.
   *
   * @param reason Becomes the cause of their ends.
   */
  abort(reason?: unknown): void;
  /** Lets the server keep the process alive, which is so from the beginning. */
  ref(): void;
  /** Lets the process end although the server listens. */
  unref(): void;
}
