/**
 * The transport under a session: connections, and listeners that accept them.
 *
 * Both interfaces are small on purpose. A `Deno.Conn` is a {@linkcode Connection} and a `Deno.Listener` is a
 * {@linkcode Listener}; other transports implement the same few methods.
 *
 * @module
 */

import type { Address } from "../_internal/address.ts";
import type { ProxyHeader } from "../proxy_protocol/header.ts";

export {
  type Address,
  formatAddress,
  type MemoryAddr,
  type NetAddr,
  normalizeAddress,
  type UnixAddr,
  type VsockAddr,
} from "../_internal/address.ts";
export type { ProxyHeader, ProxyTls, ProxyTlv } from "../proxy_protocol/header.ts";

/** The negotiated parameters of TLS, and the peer's certificate. */
export interface TlsInfo {
  /** The version of the protocol, such as `TLSv1.3`. */
  protocol: string;
  /** The cipher suite, by its standard name, such as `TLS_AES_256_GCM_SHA384`. */
  cipher: string;
  /** The application protocol (ALPN, RFC 7301), if one was negotiated. */
  alpn?: string;
  /** The server name that the client asked for (SNI, RFC 6066 §3), if it did. */
  serverName?: string;
  /** The peer's certificate, if it was asked for and is valid. */
  peerCertificate?: PeerCertificate;
}

/** The certificate of a peer. */
export interface PeerCertificate {
  /** The subject, such as `CN=rose,O=Garden`. */
  subject: string;
  /** The issuer, in the same form. */
  issuer: string;
  /** The names and addresses that it is valid for (subjectAltName, RFC 5280 §4.2.1.6), such as `DNS:example.org`. */
  subjectAltNames: string[];
  /** The beginning of its validity. */
  validFrom: Date;
  /** The end of its validity. */
  validTo: Date;
  /** The serial number, in hexadecimal. */
  serialNumber: string;
  /** The SHA-256 digest of the certificate, as `AB:CD:…`. */
  fingerprint256: string;
  /** The certificate in DER. */
  raw: Uint8Array;
}

/** The callbacks of {@linkcode Connection.readLent}. */
export interface InputBorrower {
  /**
   * Called with input.
   *
   * @param bytes The bytes, at least one.
   * @param isGiven Whether the memory belongs to the callee from now on. Otherwise, it is valid only during the call.
   */
  onInput(bytes: Uint8Array, isGiven?: boolean): void;
  /**
   * Called at the end of input, or when reading failed.
   *
   * @param error What `read()` would reject with; `undefined` at the end of input.
   */
  onEnd(error?: unknown): void;
}

/** An ordered stream of bytes in both directions. At most one read and one write wait at a time. */
export interface Connection {
  /** The address of the peer. */
  readonly remoteAddr: Address;
  /** The address of this side. */
  readonly localAddr: Address;
  /** The negotiated parameters of TLS, if the connection has TLS. */
  readonly tls?: TlsInfo;
  /** The PROXY header, if there was one. The addresses are those that it gave. */
  readonly proxy?: ProxyHeader;
  /**
   * How many bytes of memory the connection holds for data that is on its way, such as encrypted output that is not
   * written yet. The buffers that were given to `read()` and `write()` are not included.
   */
  readonly held?: number;
  /**
   * Reads input.
   *
   * @param buffer Receives the bytes. It is not empty.
   * @returns The number of bytes, or `null` at the end of input, also for later reads.
   */
  read(buffer: Uint8Array): Promise<number | null>;
  /**
   * Writes output.
   *
   * @param data The bytes, which do not change until the promise settles. Other connections may write the same memory,
   * so it must not be changed.
   * @returns The number of bytes that were written, at least 1.
   */
  write(data: Uint8Array): Promise<number>;
  /**
   * Reads as `read()` does, if the transport has a cheaper way: without a buffer of the reader's own and without a
   * promise. It calls back once, in a later turn, and counts as a waiting read.
   *
   * @param size The largest number of bytes to read.
   * @param borrower The callbacks.
   */
  readLent?(size: number, borrower: InputBorrower): void;
  /**
   * Writes as `write()` does, if the transport has a cheaper way: without a promise when the system takes the bytes at
   * once.
   *
   * @param data The bytes, as for `write()`.
   * @returns The number of bytes that were written, or what `write()` returns.
   */
  writeNow?(data: Uint8Array): number | Promise<number>;
  /** Half-closes: the peer sees the end of input. Reading goes on. */
  closeWrite(): Promise<void>;
  /** Closes at once and makes a waiting read or write reject. It is called once. */
  close(): void;
  /**
   * Closes the connection like `close()`, and is called instead of it, but lets the peer detect that it was cut off. In
   * TCP this is a reset, which discards data that is still in transit.
   */
  reset?(): void;
  /**
   * Disables or enables Nagle's algorithm, if there is one.
   *
   * @param noDelay Whether it is disabled.
   */
  setNoDelay?(noDelay?: boolean): void;
  /**
   * Enables or disables TCP keep-alive probes, if there are any.
   *
   * @param keepAlive Whether they are enabled or, if the transport supports it, after how many milliseconds of silence
   * they begin.
   */
  setKeepAlive?(keepAlive?: boolean | number): void;
}

/** Accepts connections. At most one accept waits at a time. */
export interface Listener {
  /** The address that is listened on. */
  readonly addr: Address;
  /**
   * Accepts the next connection.
   *
   * @returns The connection.
   * @throws {BadResource} Of {@linkcode systemErrors}, once the listener is closed.
   */
  accept(): Promise<Connection>;
  /** Stops listening and makes a waiting accept reject. */
  close(): void;
  /** Lets a waiting accept keep the process alive, as it does by default. */
  ref?(): void;
  /** Lets the process end although an accept waits. */
  unref?(): void;
}
