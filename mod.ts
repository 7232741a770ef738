/**
 * A TCP server and client that share one {@linkcode Session}: read as an async iterator, written with `send()`, with
 * framing, back-pressure, deadlines, limits and draining on by default.
 *
 * @example A server and a client
 * ```ts
 * import { connect, type NetAddr, serve } from "@parley/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = serve({ port: 0 }, async (session) => {
 *   await session.send("welcome!");
 *   for await (const name of session) {
 *     if (name === "exit") break;
 *     await session.send(`hello, ${name}!`);
 *   }
 * });
 *
 * const { port } = server.addr as NetAddr;
 * await using session = await connect({ port });
 * const replies = session.text();
 * assertEquals((await replies.next()).value, "welcome!");
 * await session.send("rose");
 * assertEquals((await replies.next()).value, "hello, rose!");
 * ```
 *
 * @module
 */

export { connect, type ConnectOptions } from "./connect/connect.ts";
export {
  CertificateError,
  ConnectError,
  ConnectionRefusedError,
  ConnectTimeoutError,
  describeEnd,
  type EndReason,
  FrameTooLargeError,
  MalformedFrameError,
  MemoryLimitError,
  OutputLimitError,
  PoolExhaustedError,
  ProxyHeaderError,
  QueueOverflowError,
  RateLimitError,
  ReplyLimitError,
  RequestLimitError,
  RequestTimeoutError,
  type SessionEnd,
  SessionEndedError,
  type TlsFailure,
  TlsHandshakeError,
  TruncatedFrameError,
  UnknownHostError,
  UnreachableError,
} from "./errors.ts";
export {
  type LogFields,
  type Logger,
  logObserver,
  type MemoryPressure,
  type MemoryPressureEvent,
  printable,
  type Refusal,
  type RefusalReason,
  type ServerObserver,
  type ServerState,
} from "./serve/observer.ts";
export {
  type SessionLease,
  type SessionLeaseOptions,
  type SessionPool,
  sessionPool,
  type SessionPoolOptions,
  type SessionPoolStats,
} from "./connect/pool.ts";
export type { ProxyHeaderInit } from "./proxy_protocol/mod.ts";
export {
  type DurationRange,
  type Durations,
  type Handler,
  type MemoryStats,
  type RateStats,
  serve,
  type ServeOptions,
  type Server,
  type ServerStats,
  type ServerTlsOptions,
  type SessionRate,
  type ShutdownOptions,
} from "./serve/serve.ts";
export {
  type MultiFrameOptions,
  type RequestId,
  type RequestOptions,
  type Requests,
  requests,
  type RequestsOptions,
  type StreamOptions,
} from "./requests/requests.ts";
export {
  type ConnectAddress,
  reconnect,
  type ReconnectingClient,
  type ReconnectObserver,
  type ReconnectOptions,
} from "./connect/reconnect.ts";
export {
  type Address,
  type ByteRate,
  type BytesOptions,
  type Codec,
  type Connection,
  type Decoder,
  type DecoderInput,
  type Frames,
  type FrameWriter,
  type Goodbye,
  type HeartbeatOptions,
  type LinesOptions,
  type MemoryAddr,
  MessageQueue,
  type MessageQueueOptions,
  MORE,
  type NetAddr,
  type OverflowPolicy,
  type PeerCertificate,
  type PrefixedOptions,
  type PrefixWidth,
  prepare,
  type PreparedMessage,
  type ProxyHeader,
  type ProxyTls,
  type ProxyTlv,
  type ReadExactlyOptions,
  type Reading,
  type ReadOptions,
  Session,
  type SessionOptions,
  type TextOptions,
  type TlsInfo,
  type UnixAddr,
  type UpgradeTlsOptions,
  type VsockAddr,
} from "./session.ts";
export {
  type SystemErrorClass,
  type SystemErrors,
  systemErrors,
} from "./_internal/system_error_classes.ts";
export { formatAddress, type Listener } from "./transport/connection.ts";
export type { TransportName } from "./transport/socket_options.ts";
export { listenFd, type ListenFdOptions } from "./transport/systemd/listen_fd.ts";
export {
  type ServiceNotifier,
  serviceNotifier,
  type ServiceNotifierOptions,
} from "./transport/systemd/notifier.ts";
export type {
  NamedCertificate,
  TlsCertificate,
  TlsClientOptions,
  TlsOptions,
  TlsServerOptions,
  TlsVersion,
} from "./transport/tls/options.ts";
