import { lazy } from "../lazy.ts";
import { isDeno } from "../../_internal/runtime.ts";
import {
  type Connection,
  normalizeAddress,
  type PeerCertificate,
  type TlsInfo,
} from "../connection.ts";
import { handshake, type Side } from "./handshake.ts";
import { tlsInfo } from "./info.ts";
import {
  checkCertificate,
  type CheckedCertificate,
  type CheckedTlsOptions,
  checkServerName,
  checkTlsOptions,
  type TlsCertificate,
  type TlsClientOptions,
} from "./options.ts";
import { type PeerChain, type PeerOptions, verifyPeer } from "./peer_certificate.ts";
import { TlsRecords } from "./records.ts";
import {
  beginClient,
  chainOf,
  negotiatedBy,
  socketContext,
  socketHandshake,
  type SocketSide,
} from "./socket_handshake.ts";
import { Signatures } from "./x509/signature.ts";

/** Checks the options of a client. `serverName` may be missing. */
export function checkTlsClientOptions(options: TlsClientOptions): void {
  if (options.serverName !== undefined) checkServerName(options.serverName);
  resolveOptions(options);
}

interface ClientSettings extends CheckedTlsOptions {
  /** The client's own certificate. */
  own: CheckedCertificate | undefined;
  isUnsafe: boolean;
}

/** Checks the options that do not depend on the host. */
function resolveOptions(options: TlsClientOptions): ClientSettings {
  const { cert, key, unsafelyIgnoreCertificateErrors: isUnsafe = false } = options;
  const common = checkTlsOptions(options);
  const hasOwn = cert !== undefined || key !== undefined;
  const own = hasOwn ? checkCertificate({ cert: cert!, key: key! }) : undefined;
  return { ...common, own, isUnsafe };
}

function pemOf(own: CheckedCertificate | undefined): Partial<TlsCertificate> {
  return own === undefined ? {} : { cert: own.cert, key: own.key };
}

/**
 * Performs the TLS handshake with a server.
 *
 * @param connection The raw connection. It is closed if the handshake fails.
 * @param options Without a `serverName`, the server's certificate must be valid for the remote IP address.
 * @param signal Aborts the handshake, which then rejects with the signal's reason.
 * @returns The connection over TLS.
 * @throws {CertificateError} If the server's certificate is not accepted.
 * @throws {TlsHandshakeError} If the handshake fails for another reason.
 */
export function dialTls(
  connection: Connection,
  options: TlsClientOptions,
  signal: AbortSignal,
): Promise<Connection> {
  if (isDeno) {
    const begin = (remoteAddr: string): Side =>
      clientSide(remoteAddr, options, hostOf(connection, options));
    return handshake(connection, begin, signal);
  }
  const begin = (remoteAddr: string): SocketSide =>
    socketSide(remoteAddr, options, hostOf(connection, options));
  return socketHandshake(connection, begin, signal);
}

function hostOf(connection: Connection, { serverName }: TlsClientOptions): string {
  const remoteAddr = normalizeAddress(connection.remoteAddr);
  return checkServerName(
    serverName ?? ("hostname" in remoteAddr ? remoteAddr.hostname : undefined),
  );
}

function clientSide(remoteAddr: string, options: TlsClientOptions, host: string): Side {
  const { own, isUnsafe, anchors, alpn, ...common } = resolveOptions(options);
  const serverName = lazy.net.isIP(host) === 0 ? host : "";
  const { context } = lazy.tls.createSecureContext({ ...common, ...pemOf(own) });
  const policy = { requestCert: true, rejectUnauthorized: false };
  const records = TlsRecords.client({ context: { ...context, ...policy }, alpn }, serverName);
  const finish = (): TlsInfo => {
    const peer = verify(records, { remoteAddr, anchors, host }, isUnsafe);
    return tlsInfo(records.negotiated, serverName, peer);
  };
  return { role: "client", records, finish };
}

function socketSide(remoteAddr: string, options: TlsClientOptions, host: string): SocketSide {
  const { own, isUnsafe, anchors, alpn, ...common } = resolveOptions(options);
  const serverName = lazy.net.isIP(host) === 0 ? host : "";
  const connecting = {
    secureContext: socketContext({ ...common, ...pemOf(own) }, own, ""),
    host,
    ...(serverName !== "" && { servername: serverName }),
    ...(alpn && { ALPNProtocols: alpn }),
  };
  return {
    role: "client",
    begin: (stream, events) => beginClient(connecting, stream, events),
    finish: (socket) => {
      const peer = verify(chainOf(socket), { remoteAddr, anchors, host }, isUnsafe);
      return tlsInfo(negotiatedBy(socket), serverName, peer);
    },
  };
}

function verify(
  chain: PeerChain,
  options: Pick<PeerOptions, "remoteAddr" | "anchors"> & { host: string },
  isUnsafe: boolean,
): PeerCertificate | undefined {
  try {
    return verifyPeer(chain, { ...options, role: "server", signatures: new Signatures() });
  } catch (error) {
    if (!isUnsafe) throw error;
  }
}
