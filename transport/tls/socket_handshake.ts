/** TLS by the sockets of `node:tls`: the handshake on Node and Bun. */

import type { Duplex } from "node:stream";
import { setImmediate } from "node:timers";
import type {
  ConnectionOptions,
  DetailedPeerCertificate,
  SecureContext,
  SecureContextOptions,
  Server,
  TlsOptions,
  TLSSocket,
  TLSSocketOptions,
} from "node:tls";
import { lazy } from "../lazy.ts";
import { isBun, isBunFrom, runtimeName } from "../../_internal/runtime.ts";
import { closeQuietly } from "../../_internal/close_quietly.ts";
import { PeerLeft } from "../../_internal/peer_left.ts";
import { CertificateError, TlsHandshakeError } from "../../errors.ts";
import { type Connection, formatAddress, normalizeAddress, type TlsInfo } from "../connection.ts";
import { ConnectionStream } from "./connection_stream.ts";
import { certificateProblem, explain } from "./errors.ts";
import { type CheckedCertificate, unusableKey } from "./options.ts";
import { keyKind } from "./x509/signature.ts";
import type { Negotiated } from "./info.ts";
import type { PeerChain } from "./peer_certificate.ts";
import { SocketTlsConnection } from "./socket_tls_connection.ts";
import { fatalAlert, isByUs, UNRECOGNIZED_NAME } from "./handshake.ts";

/** The most certificates of a peer that are passed on: one more than are accepted. */
const MAX_CHAIN = 21;

/** The suites of TLS 1.2 with forward secrecy and authenticated encryption, and those of TLS 1.3. */
const CIPHERS = [
  "TLS_AES_256_GCM_SHA384",
  "TLS_AES_128_GCM_SHA256",
  "TLS_CHACHA20_POLY1305_SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-RSA-CHACHA20-POLY1305",
].join(":");

/** The options of the TLS layer that both sides share. */
const SOCKET_CONTEXT: SecureContextOptions & { allowPartialTrustChain: boolean } = {
  ciphers: CIPHERS,
  // A certificate in `ca` is trusted itself, even if it is not self-signed.
  allowPartialTrustChain: true,
};

/** Makes the context of a side, with its own certificate if it has one. `where` goes before the name of an option. */
export function socketContext(
  options: SecureContextOptions,
  own: CheckedCertificate | undefined,
  where: string,
): SecureContext {
  // It is not known how an older one reports a record that is wrong.
  if (isBun && !isBunFrom("1.4")) {
    throw new Error(`TLS needs Bun 1.4, and this is ${runtimeName()}`);
  }
  try {
    if (own !== undefined) keyKind(own.publicKey);
    return lazy.tls.createSecureContext({ ...SOCKET_CONTEXT, ...options });
  } catch (cause) {
    if (own === undefined) throw cause;
    throw unusableKey(where, cause);
  }
}

/** This side of a handshake. */
export interface SocketSide {
  readonly role: "client" | "server";
  /** Starts the handshake over a stream. */
  begin(stream: Duplex, events: HandshakeEvents): void;
  /** Verifies the peer and returns what was negotiated. Throws if the peer is not accepted. */
  finish(socket: TLSSocket): TlsInfo;
}

/** What is called once the handshake is done or has failed. */
export interface HandshakeEvents {
  onSecure(socket: TLSSocket): void;
  onError(error: Error, socket: TLSSocket): void;
}

/** A client asks for a server name that is not served. */
export class UnknownServerName extends Error {
  constructor(name: string) {
    super(`the client asks for the server name ${JSON.stringify(name)}, which is not served`);
  }
}

/**
 * Performs a handshake.
 *
 * @param connection The raw connection. If the handshake fails, it is closed and its descriptor is free.
 * @param begin Makes this side. It may throw.
 * @param signal Aborts the handshake, which then rejects with the signal's reason.
 * @returns The connection over TLS.
 * @throws {TlsHandshakeError} If the handshake fails.
 */
export async function socketHandshake(
  connection: Connection,
  begin: (remoteAddr: string) => SocketSide,
  signal: AbortSignal,
): Promise<Connection> {
  const remoteAddr = formatAddress(normalizeAddress(connection.remoteAddr));
  const { promise, resolve, reject } = Promise.withResolvers<Connection>();
  let isClosed = false;
  const close = (): void => {
    if (!isClosed) closeQuietly(connection);
    isClosed = true;
  };
  const onAbort = (): void => {
    close();
    reject(signal.reason);
  };
  signal.addEventListener("abort", onAbort);
  let socket: TLSSocket | undefined;
  let stream: ConnectionStream | undefined;
  try {
    signal.throwIfAborted();
    const side = begin(remoteAddr);
    const under = stream = streamFor(connection, remoteAddr, side, reject);
    side.begin(under.duplex, {
      onSecure(secured): void {
        socket = secured;
        try {
          const tls = side.finish(secured);
          resolve(new SocketTlsConnection(connection, under, secured, tls));
        } catch (error) {
          reject(error);
        }
      },
      onError(error, failed): void {
        socket = failed;
        failureOf(remoteAddr, side, under, { error, socket: failed }).then(reject, reject);
      },
    });
    const made = await promise;
    signal.throwIfAborted();
    return made;
  } catch (error) {
    isClosed ||= isByUs((error as { cause?: unknown }).cause);
    close();
    socket?.on("error", () => {}); // later errors do not matter
    socket?.destroy();
    stream?.duplex.destroy(); // and with it a socket that was not reported yet
    throw signal.aborted ? signal.reason : error;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** The stream for the handshake, which fails if the connection is lost. */
function streamFor(
  connection: Connection,
  remoteAddr: string,
  { role }: SocketSide,
  reject: (error: unknown) => void,
): ConnectionStream {
  const gone = (problem: string, cause?: unknown): void => {
    const isSilent = role === "server" && !stream.hasReceived && !isByUs(cause);
    const options = { cause: isSilent ? new PeerLeft({ cause }) : cause };
    reject(new TlsHandshakeError(remoteAddr, "closed", problem, options));
  };
  const lost = (error: unknown): void =>
    gone("the connection was lost before the handshake was done", error);
  const stream = new ConnectionStream(connection, {
    // In a later turn: the TLS layer reports an alert that came before the end by then.
    onInputEnd: (error) =>
      setImmediate(() => {
        if (error !== undefined) lost(error);
        else gone("the peer closed the connection before the handshake was done");
      }),
    onWriteError: lost,
    onWritten: () => {},
    onHalfClosed: () => {},
  });
  return stream;
}

/** Waits until the alert is sent, and returns the error of the handshake. */
async function failureOf(
  remoteAddr: string,
  { role }: SocketSide,
  stream: ConnectionStream,
  { error, socket }: { error: Error; socket: TLSSocket },
): Promise<unknown> {
  await stream.written(); // an alert
  if (error instanceof UnknownServerName) {
    await stream.writeRaw(fatalAlert(UNRECOGNIZED_NAME));
    return new TlsHandshakeError(remoteAddr, "server-name", error.message);
  }
  const refusal = socket.authorizationError as unknown;
  if (role === "server" && refusal) {
    const problem = `the client's certificate ${certificateProblem(String(refusal))}`;
    return new CertificateError(remoteAddr, problem, { cause: error });
  }
  return explain(remoteAddr, role, error);
}

/** The certificates that the peer has sent, and the result of the TLS layer's verification. */
export function chainOf(socket: TLSSocket): PeerChain {
  const verifyError = socket.authorized ? "" : String(socket.authorizationError || "UNVERIFIED");
  const peerCertificates: Uint8Array[] = [];
  const seen = new Set<string>();
  let next: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  // A self-signed certificate is its own issuer.
  while (next?.raw !== undefined && peerCertificates.length < MAX_CHAIN) {
    if (seen.has(next.fingerprint512)) break;
    seen.add(next.fingerprint512);
    peerCertificates.push(next.raw);
    next = next.issuerCertificate;
  }
  return { peerCertificates, verifyError };
}

/** What the handshake has negotiated. */
export function negotiatedBy(socket: TLSSocket): Negotiated {
  return {
    protocol: socket.getProtocol() ?? "unknown",
    cipher: socket.getCipher().standardName ?? "unknown",
    alpn: socket.alpnProtocol || undefined,
  };
}

/** Starts the handshake of a client. */
export function beginClient(
  options: ConnectionOptions,
  stream: Duplex,
  { onSecure, onError }: HandshakeEvents,
): void {
  const socket = lazy.tls.connect({
    ...options,
    socket: stream,
    // verifyPeer() verifies the certificate after the handshake. It also checks the result of the layer's verification.
    rejectUnauthorized: false,
    checkServerIdentity: () => undefined,
  });
  const fail = (error: Error): void => onError(error, socket);
  socket.on("error", fail);
  socket.once("secureConnect", () => {
    socket.off("error", fail);
    socket.disableRenegotiation();
    onSecure(socket);
  });
}

/** Starts the handshake of a server over a stream. */
export type StartServer = (stream: Duplex, events: HandshakeEvents) => void;

/** Returns the function that starts the handshakes of a server. */
export function socketServer(options: TlsOptions): StartServer {
  if (!isBun) {
    const server = lazy.tls.createServer({ ...SOCKET_CONTEXT, ...options });
    return (stream, events) => startServer(server, stream, events);
  }
  // On Bun, a tls.Server cannot tell which stream a socket is for. But a single TLSSocket knows whether it is authorized.
  const secureContext = lazy.tls.createSecureContext({ ...SOCKET_CONTEXT, ...options });
  return (stream, events) =>
    startSocket({ ...options, secureContext, isServer: true }, stream, events);
}

/**
 * The events of a `tls.Server` have a socket that does not tell for which stream it was made. So each stream gets an object
 * of its own that inherits from the server and replaces its `emit()`.
 */
function startServer(
  server: Server,
  stream: Duplex,
  { onSecure, onError }: HandshakeEvents,
): void {
  const view: Server = Object.create(server, {
    emit: {
      value(event: string, first: unknown, second: TLSSocket): boolean {
        if (event === "tlsClientError") onError(first as Error, second);
        if (event !== "secureConnection") return true;
        const socket = first as TLSSocket;
        socket.disableRenegotiation();
        onSecure(socket);
        return true;
      },
    },
  });
  Reflect.apply(server.emit, view, ["connection", stream]);
}

function startSocket(
  options: TLSSocketOptions,
  stream: Duplex,
  { onSecure, onError }: HandshakeEvents,
): void {
  const socket = new lazy.tls.TLSSocket(stream, options);
  const fail = (error: Error): void => onError(error, socket);
  socket.on("error", fail);
  socket.once("secure", () => {
    socket.off("error", fail);
    onSecure(socket);
  });
}
