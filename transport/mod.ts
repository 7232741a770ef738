/**
 * What a session runs over.
 *
 * {@linkcode Connection} and {@linkcode Listener} are the small interfaces that a transport implements; `Deno.Conn`
 * and `Deno.Listener` do as they are. {@linkcode memoryPair} and {@linkcode memoryListener} stay within the process
 * and need no permission.
 *
 * @module
 */

export {
  type Address,
  type Connection,
  formatAddress,
  type Listener,
  type MemoryAddr,
  normalizeAddress,
  type PeerCertificate,
  type ProxyHeader,
  type ProxyTls,
  type ProxyTlv,
  type TlsInfo,
} from "./connection.ts";
export {
  type MemoryListener,
  memoryListener,
  memoryPair,
  type MemoryPairOptions,
} from "./memory.ts";
export type { TransportName } from "./socket_options.ts";
export type {
  NamedCertificate,
  TlsCertificate,
  TlsClientOptions,
  TlsOptions,
  TlsServerOptions,
  TlsVersion,
} from "./tls/options.ts";
