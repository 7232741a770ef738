/**
 * What lies under a session: a connection, and a listener that accepts some.
 *
 * Both are small on purpose. A `Deno.Conn` is a {@linkcode Connection} and a `Deno.Listener` is a
 * {@linkcode Listener} as they are; other transports implement the same few methods.
 *
 * @module
 */

import type { Address } from "../_internal/address.ts";
import type { ProxyHeader } from "../proxy_protocol/header.ts";

export {
  type Address,
  formatAddress,
  type MemoryAddr,
  normalizeAddress,
} from "../_internal/address.ts";
export type { ProxyHeader, ProxyTls, ProxyTlv } from "../proxy_protocol/header.ts";

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
   * Does what `close()` does, in its place, but so that the peer can tell that it was cut off: without it, what has
   * arrived would look like all there was to be. In TCP that is a reset, which destroys what is still on its way.
   */
  reset?(): void;
  /**
   * Turns Nagle's algorithm off or on, where there is one.
   *
   * @param noDelay Whether it is off.
   */
  setNoDelay?(noDelay?: boolean): void;
  /**
   * Turns TCP keep-alive probes on or off, where there are some.
   *
   * @param keepAlive Whether they are on; or, where the transport can do that, after how many milliseconds of silence
   * they begin.
   */
  setKeepAlive?(keepAlive?: boolean | number): void;
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
