import { checkObject } from "../_internal/checks.ts";
import { closeQuietly } from "../_internal/close_quietly.ts";
import { PeerLeft } from "../_internal/peer_left.ts";
import { PrefixedConnection } from "./prefixed.ts";
import { ProxyHeaderError } from "../errors.ts";
import {
  decodeProxyHeader,
  encodeProxyHeader,
  type ProxyHeaderInit,
} from "../proxy_protocol/mod.ts";
import type { Address, Connection, ProxyHeader } from "./connection.ts";

/** The size of the first read: larger than almost all headers. Bytes after the header are kept. */
const FIRST_READ = 512;

/** Options of {@linkcode readProxyHeader}. */
interface ReadProxyHeaderOptions {
  /** How long the header may take, in milliseconds. */
  timeout: number;
  /** The maximum length of a header of version 2, in bytes. */
  maxLength: number;
}

/**
 * Reads the PROXY header at the beginning of a connection.
 *
 * @param connection The connection. It is closed if the time is over; after other errors, the caller closes it.
 * @param options The limits.
 * @returns The connection with the addresses in the header, or with its own addresses if the header has none.
 * @throws {ProxyHeaderError} If no valid header comes in time.
 */
export async function readProxyHeader(
  connection: Connection,
  { timeout, maxLength }: ReadProxyHeaderOptions,
): Promise<Connection> {
  let isLate = false;
  const onTimeout = (): void => {
    isLate = true;
    closeQuietly(connection);
  };
  const timer = timeout < Infinity ? setTimeout(onTimeout, timeout) : undefined;
  let bytes = new Uint8Array(FIRST_READ);
  let length = 0;
  try {
    for (;;) {
      const count = await connection.read(bytes.subarray(length));
      if (count === null) throw cutOff(length);
      length += count;
      const decoded = decodeProxyHeader(bytes.subarray(0, length), { maxLength });
      if (decoded !== undefined) {
        return new ProxiedConnection(
          connection,
          decoded.header,
          bytes.subarray(decoded.length, length),
        );
      }
      if (length === bytes.length) { // the decoder has a limit
        const longer = new Uint8Array(length * 2);
        longer.set(bytes);
        bytes = longer;
      }
    }
  } catch (cause) {
    if (!isLate) throw cause instanceof ProxyHeaderError ? cause : cutOff(length, cause);
    const problem = `not received within ${timeout} ms (proxyHeaderTimeout)`;
    throw new ProxyHeaderError(problem, length, { cause });
  } finally {
    clearTimeout(timer);
  }
}

/** The error for a connection that ended after `length` bytes. `cause` is the reason, if it was lost. */
function cutOff(length: number, cause?: unknown): ProxyHeaderError {
  const options = cause === undefined ? {} : { cause };
  return length === 0
    ? new ProxyHeaderError("nothing received", 0, { cause: new PeerLeft(options) })
    : new ProxyHeaderError("the input ended within the header", length, options);
}

/** Throws if a header is invalid for a connection to `target`. */
export function checkProxyHeader(init: ProxyHeaderInit, target: Address): void {
  checkObject("proxyHeader", init);
  const addr: Address = target.transport === "tcp"
    ? { transport: "tcp", hostname: "127.0.0.1", port: 0 } // any address will do: families may differ
    : target;
  encodeProxyHeader(completed(init, addr, addr));
}

/** Sends a PROXY header. If it cannot be sent before `signal` aborts, the connection is closed. */
export async function sendProxyHeader(
  connection: Connection,
  init: ProxyHeaderInit,
  signal: AbortSignal,
): Promise<void> {
  const { localAddr, remoteAddr } = connection;
  const onAbort = () => closeQuietly(connection);
  signal.addEventListener("abort", onAbort);
  try {
    signal.throwIfAborted();
    let rest = encodeProxyHeader(completed(init, localAddr, remoteAddr));
    while (rest.length > 0) rest = rest.subarray(await connection.write(rest));
  } catch (error) {
    closeQuietly(connection);
    throw error;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** The header with the connection's own addresses in place of those that are left out. */
function completed(init: ProxyHeaderInit, source: Address, destination: Address): ProxyHeaderInit {
  if (init.command === "LOCAL") return init;
  const { source: from = source, destination: to = destination } = init;
  return { ...init, source: from, destination: to };
}

/** A connection behind a proxy. */
class ProxiedConnection extends PrefixedConnection {
  override readonly remoteAddr: Address;
  override readonly localAddr: Address;
  override readonly proxy: ProxyHeader;

  constructor(inner: Connection, proxy: ProxyHeader, rest: Uint8Array) {
    super(inner, rest.length > 0 ? rest : undefined);
    this.remoteAddr = proxy.source ?? inner.remoteAddr;
    this.localAddr = proxy.destination ?? inner.localAddr;
    this.proxy = proxy;
  }
}
