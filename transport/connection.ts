/**
 * What lies under a session: a connection, and a listener that accepts some.
 *
 * Both are small on purpose. A `Deno.Conn` is a {@linkcode Connection} and a `Deno.Listener` is a
 * {@linkcode Listener} as they are; other transports implement the same few methods.
 *
 * @module
 */

/** The address of one end of an in-memory connection. */
export interface MemoryAddr {
  /** Always `memory`. */
  transport: "memory";
  /** A name for people. */
  name: string;
}

/** The address of one end of a connection. */
export type Address = Deno.Addr | MemoryAddr;

/** An ordered stream of bytes both ways. At most one read and one write wait at a time. */
export interface Connection {
  /** The address of the peer. */
  readonly remoteAddr: Address;
  /** The address of this side. */
  readonly localAddr: Address;
  /**
   * Waits for input.
   *
   * @param buffer Where to put it; not empty.
   * @returns How many bytes came, or `null` at the end of input, again and again.
   */
  read(buffer: Uint8Array): Promise<number | null>;
  /**
   * Waits until some output was taken.
   *
   * @param data What to write; must not change until the promise settles.
   * @returns How many of the bytes were taken, at least 1.
   */
  write(data: Uint8Array): Promise<number>;
  /** Half-closes: tells the peer that no more output comes. Input goes on. */
  closeWrite(): Promise<void>;
  /** Frees everything at once and makes a waiting read or write reject. Called once. */
  close(): void;
  /**
   * Turns Nagle's algorithm off or on, where there is one.
   *
   * @param noDelay Whether it is off.
   */
  setNoDelay?(noDelay?: boolean): void;
  /**
   * Turns TCP keep-alive probes on or off, where there are some.
   *
   * @param keepAlive Whether they are on.
   */
  setKeepAlive?(keepAlive?: boolean): void;
}

/** Where connections come from. At most one accept waits at a time. */
export interface Listener {
  /** The address that is listened on. */
  readonly addr: Address;
  /**
   * Waits for the next connection.
   *
   * @returns The connection.
   * @throws {Deno.errors.BadResource} Once the listener is closed.
   */
  accept(): Promise<Connection>;
  /** Stops listening and makes a waiting accept reject. */
  close(): void;
  /** Lets a waiting accept keep the process alive, which is so from the beginning. */
  ref?(): void;
  /** Lets the process end although an accept waits. */
  unref?(): void;
}

/**
 * An address as people write it.
 *
 * @param addr The address.
 * @returns For example `127.0.0.1:1234`, `[::1]:1234` or `/run/greet.sock`.
 *
 * @example
 * ```ts
 * import { formatAddress } from "@parley/tcp/transport";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(formatAddress({ transport: "tcp", hostname: "::1", port: 80 }), "[::1]:80");
 * ```
 */
export function formatAddress(addr: Address): string {
  switch (addr.transport) {
    case "tcp":
    case "udp": {
      return addr.hostname.includes(":")
        ? `[${addr.hostname}]:${addr.port}`
        : `${addr.hostname}:${addr.port}`;
    }
    case "unix":
    case "unixpacket":
      return addr.path || "unix socket";
    case "memory":
      return addr.name;
    default:
      return `vsock ${addr.cid}:${addr.port}`;
  }
}

/**
 * An address as it is shown: IPv4 that came in over an IPv6 socket (`::ffff:192.0.2.1`, RFC 4291 §2.5.5.2) as IPv4.
 *
 * @param addr The address.
 * @returns The same address, or its IPv4 form.
 *
 * @example
 * ```ts
 * import { normalizeAddress } from "@parley/tcp/transport";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(
 *   normalizeAddress({ transport: "tcp", hostname: "::ffff:192.0.2.1", port: 80 }),
 *   { transport: "tcp", hostname: "192.0.2.1", port: 80 },
 * );
 * ```
 */
export function normalizeAddress(addr: Address): Address {
  if (
    addr.transport !== "tcp" || !addr.hostname.startsWith("::ffff:") || !addr.hostname.includes(".")
  ) return addr;
  return { transport: "tcp", hostname: addr.hostname.slice("::ffff:".length), port: addr.port };
}
