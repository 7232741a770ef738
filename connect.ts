import { checkDuration } from "./_internal/checks.ts";
import {
  ConnectError,
  ConnectionRefusedError,
  ConnectTimeoutError,
  UnknownHostError,
  UnreachableError,
} from "./errors.ts";
import { Session } from "./session.ts";
import { resolveSessionOptions, type SessionOptions } from "./session_options.ts";
import { type Address, type Connection, formatAddress } from "./transport/connection.ts";
import { dialTcp, tcpAddress } from "./transport/tcp.ts";
import { dialUnix, unixPath } from "./transport/unix.ts";

/** Options of {@linkcode connect}: where to, how long to wait, and how the session behaves. */
export interface ConnectOptions extends SessionOptions {
  /**
   * A host name or an IP address. Of a name with several addresses, all are tried (RFC 8305). A link-local address
   * needs its zone, such as `fe80::1%eth0`.
   *
   * @default {"127.0.0.1"}
   */
  hostname?: string;
  /** The port: 1 to 65535. Needed unless a `path` is given. */
  port?: number;
  /**
   * The Unix socket to connect to, instead of `hostname` and `port`: the path of a file, or, on Linux, `"\0name"` for
   * an abstract name. Deno asks for the same permissions as for listening on it.
   */
  path?: string;
  /** Gives up when it aborts: `connect()` rejects with its reason. Of no effect once there is a session. */
  signal?: AbortSignal;
  /**
   * How long to wait for the connection, name look-up included, in milliseconds; `Infinity` for as long as the
   * system does. A Unix socket whose backlog is full is waited for as well.
   *
   * @default {10000}
   */
  connectTimeout?: number;
  /**
   * Whether output leaves at once, with Nagle's algorithm off.
   *
   * @default {true}
   */
  noDelay?: boolean;
  /**
   * Whether the system probes a silent peer, at its own pace.
   *
   * @default {false}
   */
  keepAlive?: boolean;
}

/**
 * Connects to a server.
 *
 * @param options Where to, how long to wait, and how the session behaves.
 * @returns The session.
 * @throws {TypeError | RangeError} If an option is wrong.
 * @throws {ConnectionRefusedError} If nobody listens there.
 * @throws {UnknownHostError} If the host name has no address.
 * @throws {UnreachableError} If there is no way to the address.
 * @throws {ConnectTimeoutError} If it takes longer than `connectTimeout`, or than the system waits.
 * @throws {ConnectError} For any other reason that the system gives, as its `cause`.
 *
 * @example
 * ```ts
 * import { connect, serve } from "@parley/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = serve({ port: 0 }, (session) => session.send("welcome!"));
 * const { port } = server.addr as Deno.NetAddr;
 *
 * await using session = await connect({ port, connectTimeout: 2_000 });
 * for await (const text of session) assertEquals(text, "welcome!");
 * ```
 */
export async function connect(options: ConnectOptions): Promise<Session> {
  const { signal, noDelay = true, keepAlive = false } = options;
  const [target, run] = targetOf(options);
  const connectTimeout = checkDuration("connectTimeout", options.connectTimeout ?? 10_000);
  resolveSessionOptions(options);
  signal?.throwIfAborted();

  const connection = await dial(formatAddress(target), connectTimeout, signal, run);
  try {
    if (noDelay) connection.setNoDelay?.(true);
    if (keepAlive) connection.setKeepAlive?.(true);
  } catch { /* reset already: the session will see it */ }
  return new Session(connection, options);
}

/** Where to, and how it is dialled. */
function targetOf(
  options: ConnectOptions,
): [target: Address, run: (giveUp: AbortSignal) => Promise<Connection>] {
  const path = unixPath(options);
  if (path !== undefined) {
    return [{ transport: "unix", path }, (giveUp) => dialUnix({ path }, giveUp)];
  }
  const target = tcpAddress(options, 1);
  return [{ transport: "tcp", ...target }, (giveUp) => dialTcp(target, giveUp)];
}

/** Runs a dial under a time limit and a signal. Whatever it comes to, nothing of it is left over. */
async function dial(
  address: string,
  connectTimeout: number,
  signal: AbortSignal | undefined,
  run: (giveUp: AbortSignal) => Promise<Connection>,
): Promise<Connection> {
  const attempt = new AbortController();
  const onAbort = () => attempt.abort(signal!.reason);
  const onTimeout = () => {
    const problem = `no connection within ${connectTimeout} ms (connectTimeout)`;
    const cause = new DOMException(problem, "TimeoutError");
    attempt.abort(new ConnectTimeoutError(address, problem, { cause }));
  };
  const timer = connectTimeout < Infinity ? setTimeout(onTimeout, connectTimeout) : undefined;
  signal?.addEventListener("abort", onAbort);
  try {
    const connection = await run(attempt.signal);
    if (!attempt.signal.aborted) return connection;
    connection.close(); // it was made in the very turn in which it was given up
    throw attempt.signal.reason;
  } catch (error) {
    throw attempt.signal.aborted ? attempt.signal.reason : named(error, address);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}

/** The error that a user can catch by name, for what the system says. */
function named(error: unknown, address: string): unknown {
  if (error instanceof Deno.errors.NotCapable) return error; // nothing was dialled
  const options = { cause: error };
  const { code, message } = error as { code?: string; message?: string };
  if (error instanceof Deno.errors.ConnectionRefused) {
    return new ConnectionRefusedError(address, "nobody listens there", options);
  }
  if (error instanceof Deno.errors.NotFound) {
    return new ConnectError(address, "there is no such file", options);
  }
  // A name that cannot be looked up has neither a class nor a code of its own.
  if (error instanceof URIError || message?.includes("failed to lookup address")) {
    return new UnknownHostError(address, "the host name has no address", options);
  }
  if (error instanceof Deno.errors.TimedOut || code === "ETIMEDOUT") {
    return new ConnectTimeoutError(address, "no answer", options);
  }
  if (code === "ENETUNREACH" || code === "EHOSTUNREACH") {
    return new UnreachableError(address, "there is no way to it", options);
  }
  return new ConnectError(address, message ?? String(error), options);
}
