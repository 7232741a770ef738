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

/** What TLS has agreed on, and who the peer has shown to be. */
export interface TlsInfo {
  /** The version of the protocol, such as `TLSv1.3`. */
  protocol: string;
  /** The cipher suite, by its standard name, such as `TLS_AES_256_GCM_SHA384`. */
  cipher: string;
  /** The application protocol (ALPN, RFC 7301), where both sides named one. */
  alpn?: string;
  /** The server name that the client asked for (SNI, RFC 6066 §3), where it named one. */
  serverName?: string;
  /** The certificate that the peer has shown, where it was asked for one and has shown one that is valid. */
  peerCertificate?: PeerCertificate;
}

/** The certificate of a peer. */
export interface PeerCertificate {
  /** Whom it names, such as `CN=rose,O=Garden`. */
  subject: string;
  /** Who has signed it. */
  issuer: string;
  /** The names and addresses that it is valid for (subjectAltName, RFC 5280 §4.2.1.6), such as `DNS:example.org`. */
  subjectAltNames: string[];
  /** From when on it is valid. */
  validFrom: Date;
  /** Until when it is valid. */
  validTo: Date;
  /** Its number with its issuer, in hexadecimal. */
  serialNumber: string;
  /** The SHA-256 digest of the whole, as `AB:CD:…`. */
  fingerprint256: string;
  /** The whole, in DER. */
  raw: Uint8Array;
}

/** What a PROXY protocol header said: who is behind the proxy. */
export interface ProxyHeader {
  /** The version of the protocol that it came in. */
  version: 1 | 2;
  /** `LOCAL` if the proxy speaks for itself, for example to check the server's health. */
  command: "PROXY" | "LOCAL";
  /**
   * Who has connected to the proxy; not there for `LOCAL` and where the proxy does not know (`UNKNOWN`). Its transport
   * is `udp` or `unixpacket` for a client that talks to the proxy in datagrams, as QUIC does.
   */
  source?: Deno.NetAddr | Deno.UnixAddr;
  /** Where the proxy was reached; there whenever `source` is. */
  destination?: Deno.NetAddr | Deno.UnixAddr;
  /** What version 2 said that has no field here, in its order (type-length-value, PROXY protocol §2.2). */
  tlvs: ProxyTlv[];
  /** The application protocol that was agreed on with the client (`PP2_TYPE_ALPN`). */
  alpn?: Uint8Array;
  /** The host name that the client asked for (`PP2_TYPE_AUTHORITY`), mostly by SNI: at most 255 bytes of UTF-8. */
  authority?: string;
  /** The proxy's name of the connection (`PP2_TYPE_UNIQUE_ID`): at most 128 bytes. */
  uniqueId?: Uint8Array;
  /** The name of the network namespace (`PP2_TYPE_NETNS`), in ASCII. */
  netns?: string;
  /** What the proxy knows of the client's TLS (`PP2_TYPE_SSL`). */
  tls?: ProxyTls;
}

/** One further field of a PROXY header. */
export interface ProxyTlv {
  /** Its type: 0 to 255. */
  type: number;
  /** Its value, uninterpreted. */
  value: Uint8Array;
}

/** What a proxy knows of its client's TLS (PROXY protocol §2.2.6). What is text is ASCII, but for the common name. */
export interface ProxyTls {
  /** Whether the client has connected over TLS. */
  secure: boolean;
  /** Whether it has shown a certificate on this connection. */
  certificateOnConnection: boolean;
  /** Whether it has shown one in this TLS session. */
  certificateInSession: boolean;
  /** Whether it has shown a certificate, here or in this TLS session, that the proxy has found valid. */
  verified: boolean;
  /** The version, such as `TLSv1.3`. */
  version?: string;
  /** The common name of the client's certificate. */
  commonName?: string;
  /** The cipher. */
  cipher?: string;
  /** The signature algorithm of the proxy's certificate. */
  signatureAlgorithm?: string;
  /** The key algorithm of the proxy's certificate. */
  keyAlgorithm?: string;
  /** The group of the key exchange, such as `X25519`. */
  group?: string;
  /** The scheme of the proxy's signature in the handshake, such as `rsa_pss_rsae_sha256`. */
  signatureScheme?: string;
  /** The client's certificate, in DER. */
  certificate?: Uint8Array;
}

/** An ordered stream of bytes both ways. At most one read and one write wait at a time. */
export interface Connection {
  /** The address of the peer. */
  readonly remoteAddr: Address;
  /** The address of this side. */
  readonly localAddr: Address;
  /** What TLS has agreed on, where there is TLS. */
  readonly tls?: TlsInfo;
  /** What a PROXY header has told, where there was one; the addresses are those that it gave. */
  readonly proxy?: ProxyHeader;
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
   * @param data What to write; stays the same until the promise settles. Other connections may be writing it too, so
   * it must not be changed here.
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
 * @returns For example `127.0.0.1:1234`, `[::1]:1234`, `/run/greet.sock`, or `@greet` for the abstract name `"\0greet"`.
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
      // An abstract name is shown as `ss` and `netstat` do. A peer may name its own socket as it likes.
      return addr.path?.replace(/^\0/, "@").replace(/\p{Cc}/gu, "?") || "unix socket";
    case "memory":
      return addr.name;
    default:
      return `vsock ${addr.cid}:${addr.port}`;
  }
}

/**
 * An address as it is shown: IPv4 that came in over an IPv6 socket (`::ffff:192.0.2.1`, RFC 4291 §2.5.5.2) as IPv4,
 * and a Unix socket without a name, as most clients have, with the path `""`.
 *
 * @param addr The address.
 * @returns The same address, or its other form.
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
  // Deno has `null` there, whatever its types say.
  if (addr.transport === "unix" && addr.path === null) return { transport: "unix", path: "" };
  if (
    addr.transport !== "tcp" || !addr.hostname.startsWith("::ffff:") || !addr.hostname.includes(".")
  ) return addr;
  return { transport: "tcp", hostname: addr.hostname.slice("::ffff:".length), port: addr.port };
}
