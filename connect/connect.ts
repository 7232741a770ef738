/** Clients: dialling once, reconnecting, and pools of sessions. This module: `connect()`. */

import { systemErrors } from "../_internal/system_error_classes.ts";
import { checkBoolean, checkDuration, checkSignal } from "../_internal/checks.ts";
import { checkOptions, elsewhere, type Known, within } from "../_internal/options.ts";
import { SessionGroup } from "../session/group.ts";
import { withinLimit } from "../_internal/time_limit.ts";
import {
  ConnectError,
  ConnectionRefusedError,
  ConnectTimeoutError,
  TlsHandshakeError,
  UnknownHostError,
  UnreachableError,
} from "../errors.ts";
import { PROXY_HEADER_INIT, type ProxyHeaderInit } from "../proxy_protocol/header.ts";
import { Session } from "../session.ts";
import {
  resolveSessionOptions,
  SESSION_OPTIONS,
  type SessionOptions,
  type SessionSettings,
} from "../session/options.ts";
import { hostOf } from "../session/upgrade_tls.ts";
import { type Address, type Connection, formatAddress } from "../transport/connection.ts";
import { checkProxyHeader, sendProxyHeader } from "../transport/proxied.ts";
import { checkDialOptions, dial } from "../transport/dial.ts";
import { setSocketOptions, type TransportName } from "../transport/socket_options.ts";
import { isUnknownHost, tcpAddress } from "../transport/tcp_address.ts";
import { checkTlsClientOptions, dialTls } from "../transport/tls/client.ts";
import { TLS_CLIENT_OPTIONS, type TlsClientOptions } from "../transport/tls/options.ts";
import { unixPath } from "../transport/unix.ts";

/** Options of {@linkcode connect}: where to, how long to wait, and how the session behaves. */
export interface ConnectOptions extends SessionOptions {
  /**
   * A host name or an IP address. If a name has several addresses, all are tried (RFC 8305). A link-local address
   * needs its zone, such as `fe80::1%eth0`.
   *
   * @default {"127.0.0.1"}
   */
  hostname?: string;
  /** The port: 1 to 65535. Needed unless a `path` is given. */
  port?: number;
  /**
   * The Unix socket to connect to, instead of `hostname` and `port`: the path of a file, or, on Linux, `"\0name"` for
   * an abstract name. Deno requires the same permissions as for listening on it.
   */
  path?: string;
  /** TLS: trusted authorities and the client's certificate. `{}` uses the defaults. Without it, nothing is encrypted. */
  tls?: TlsClientOptions;
  /**
   * A PROXY protocol header to send first, before TLS. It says for which client this side connects. Addresses that are
   * left out are those of the connection. A receiver may limit its size, as `maxProxyHeader` of `serve()` does to 4096
   * bytes, which a `tls.certificate` may exceed.
   */
  proxyHeader?: ProxyHeaderInit;
  /** Cancels dialling: `connect()` rejects with its reason. It has no effect on an open session. */
  signal?: AbortSignal;
  /**
   * How long dialling may take, from the name lookup to the TLS handshake, in milliseconds. With `Infinity`, only the
   * system's own timeouts apply. It includes the wait for a Unix socket whose backlog is full.
   *
   * @default {10000}
   */
  connectTimeout?: number;
  /**
   * Whether output is sent at once, without Nagle's algorithm.
   *
   * @default {true}
   */
  noDelay?: boolean;
  /**
   * Whether the system sends keep-alive probes to a silent peer, at its default interval. With `transport: "node"`, a
   * number sets after how many milliseconds of silence: 1000 to 32767000, in whole seconds.
   *
   * @default {false}
   */
  keepAlive?: boolean | number;
  /**
   * What the client dials with: `deno` is `Deno.connect`. `node` is `node:net`, which costs less from about a thousand
   * busy connections on and is required by some options.
   *
   * @default {"deno" from Deno 2.9.5 on, where alone it exists; otherwise "node"}
   */
  transport?: TransportName;
  /** The local IP address to connect from. TCP only; requires `transport: "node"`. */
  localAddress?: string;
}

export const CONNECT_OPTIONS: Known<ConnectOptions> = {
  ...SESSION_OPTIONS,
  hostname: elsewhere,
  port: elsewhere,
  path: elsewhere,
  tls: within(TLS_CLIENT_OPTIONS),
  proxyHeader: within(PROXY_HEADER_INIT),
  signal: checkSignal,
  connectTimeout: elsewhere,
  noDelay: checkBoolean,
  keepAlive: elsewhere,
  transport: elsewhere,
  localAddress: elsewhere,
};

/**
 * Connects to a server.
 *
 * @param options Where to, how long to wait, and how the session behaves.
 * @returns The session.
 * @throws {TypeError | RangeError} If an option is invalid.
 * @throws {ConnectionRefusedError} If nothing listens at the address.
 * @throws {UnknownHostError} If the host name has no address.
 * @throws {UnreachableError} If there is no route to the address.
 * @throws {CertificateError} If TLS does not accept the server's certificate, or the server asks for one.
 * @throws {TlsHandshakeError} If the TLS handshake fails for another reason.
 * @throws {ConnectTimeoutError} If `connectTimeout` or the system's own timeout is over.
 * @throws {ConnectError} For any other reason that the system gives, as its `cause`.
 *
 * @example
 * ```ts
 * import { connect, type NetAddr, serve } from "@parley/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = serve({ port: 0 }, (session) => session.send("welcome!"));
 * const { port } = server.addr as NetAddr;
 *
 * await using session = await connect({ port, connectTimeout: 2_000 });
 * for await (const text of session) assertEquals(text, "welcome!");
 * ```
 */
export function connect(options: ConnectOptions): Promise<Session> {
  return connectWithin(new SessionGroup(), options);
}

/** The same as `connect()`, for a session that belongs to a group. */
export async function connectWithin(
  group: SessionGroup<Session>,
  options: ConnectOptions,
): Promise<Session> {
  const { target, address, connectTimeout, session } = resolveConnectOptions(options);
  const { signal } = options;
  signal?.throwIfAborted();
  const onTimeout = (): Error => {
    const problem = `no connection within ${connectTimeout} ms (connectTimeout)`;
    const cause = new DOMException(problem, "TimeoutError");
    return new ConnectTimeoutError(address, problem, { cause });
  };
  try {
    const run = (giveUp: AbortSignal): Promise<Connection> => open(target, options, giveUp);
    const connection = await withinLimit(run, { timeout: connectTimeout, signal, onTimeout });
    group.serverName = hostOf(target);
    group.settings = session;
    return new Session(connection, options, group);
  } catch (error) {
    throw signal?.aborted ? error : explained(error, address);
  }
}

/** The resolved options of `connect()`. */
interface ConnectSettings {
  target: Address;
  /** The address as text, for messages. */
  address: string;
  connectTimeout: number;
  session: SessionSettings;
}

/** Checks the options of `connect()`. Throws a `TypeError` or `RangeError` for an invalid one. */
export function resolveConnectOptions(options: ConnectOptions): ConnectSettings {
  checkOptions(options, CONNECT_OPTIONS);
  const path = unixPath(options);
  const target: Address = path === undefined
    ? { transport: "tcp", ...tcpAddress(options, 1) }
    : { transport: "unix", path };
  const connectTimeout = checkDuration("connectTimeout", options.connectTimeout ?? 10_000);
  checkDialOptions(options, target);
  const session = resolveSessionOptions(options);
  if (options.tls !== undefined) checkTlsClientOptions(tlsOf(target, options.tls));
  if (options.proxyHeader !== undefined) checkProxyHeader(options.proxyHeader, target);
  return { target, address: formatAddress(target), connectTimeout, session };
}

/** Dials, sends the PROXY header and begins TLS. */
async function open(
  target: Address,
  options: ConnectOptions,
  signal: AbortSignal,
): Promise<Connection> {
  const { proxyHeader, tls } = options;
  const connection = await dial(target, options, signal);
  setSocketOptions(connection, options);
  if (proxyHeader !== undefined) await sendProxyHeader(connection, proxyHeader, signal);
  return tls === undefined ? connection : await dialTls(connection, tlsOf(target, tls), signal);
}

/** By default, the certificate must be valid for the dialled host. */
function tlsOf(target: Address, tls: TlsClientOptions): TlsClientOptions {
  const serverName = hostOf(target);
  return { ...(serverName !== undefined && { serverName }), ...tls };
}

/** Turns an error of the system into one of the classes that `connect()` documents. */
function explained(error: unknown, address: string): unknown {
  if (error instanceof ConnectError || error instanceof TlsHandshakeError) return error;
  if (error instanceof systemErrors.NotCapable) return error; // nothing was dialled
  const options = { cause: error };
  const { code, message } = error as { code?: string; message?: string };
  if (error instanceof systemErrors.ConnectionRefused) {
    return new ConnectionRefusedError(address, "nothing listens there", options);
  }
  if (error instanceof systemErrors.NotFound) {
    return new ConnectError(address, "no such file", options);
  }
  if (isUnknownHost(error)) {
    return new UnknownHostError(address, "the host name has no address", options);
  }
  if (error instanceof systemErrors.TimedOut || code === "ETIMEDOUT") {
    return new ConnectTimeoutError(address, "no answer", options);
  }
  if (code === "ENETUNREACH" || code === "EHOSTUNREACH") {
    return new UnreachableError(address, "no route to the host", options);
  }
  return new ConnectError(address, message ?? String(error), options);
}
