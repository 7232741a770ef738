/**
 * Transports: what a session runs over.
 *
 * {@linkcode Connection} and {@linkcode Listener} are the interfaces that a transport implements. `Deno.Conn` and
 * `Deno.Listener` implement them already. {@linkcode memoryPair} and {@linkcode memoryListener} stay within the process
 * and need no permission.
 *
 * @module
 */

export {
  type SystemErrorClass,
  type SystemErrors,
  systemErrors,
} from "../_internal/system_error_classes.ts";
export {
  type Address,
  type Connection,
  formatAddress,
  type InputBorrower,
  type Listener,
  type MemoryAddr,
  type NetAddr,
  normalizeAddress,
  type PeerCertificate,
  type ProxyHeader,
  type ProxyTls,
  type ProxyTlv,
  type TlsInfo,
  type UnixAddr,
  type VsockAddr,
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
