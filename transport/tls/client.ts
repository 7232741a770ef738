import { isIP } from "node:net";
import { createSecureContext } from "node:tls";
import { type Connection, normalizeAddress, type PeerCertificate } from "../connection.ts";
import { shakeHands, type Side } from "./handshake.ts";
import { tlsInfo } from "./info.ts";
import {
  checkCertificate,
  type CheckedTlsOptions,
  checkServerName,
  checkTlsOptions,
  type TlsCertificate,
  type TlsClientOptions,
} from "./options.ts";
import { verifyPeer } from "./peer_certificate.ts";
import { TlsRecords } from "./records.ts";
import { Signatures } from "./x509/signature.ts";

/** Throws what is wrong with the options of a client, of which `serverName` may be missing. */
export function checkTlsClientOptions(options: TlsClientOptions): void {
  if (options.serverName !== undefined) checkServerName(options.serverName);
  resolveOptions(options);
}

interface ClientSettings extends CheckedTlsOptions {
  /** What this side shows, if anything. */
  own: TlsCertificate | undefined;
  isUnsafe: boolean;
}

/** Checks what does not depend on the host. */
function resolveOptions(options: TlsClientOptions): ClientSettings {
  const { cert, key, unsafelyIgnoreCertificateErrors: isUnsafe = false } = options;
  const common = checkTlsOptions(options);
  const hasOwn = cert !== undefined || key !== undefined;
  const own = hasOwn ? checkCertificate({ cert: cert!, key: key! }) : undefined;
  return { ...common, own, isUnsafe };
}

/**
 * Shakes hands with a server.
 *
 * @param connection The raw connection. It is closed where there is no TLS.
 * @param options What is asked of the server. Without a `serverName`, its certificate has to be for the IP address
 * that the connection leads to.
 * @param signal Gives up: rejects with its reason.
 * @returns The connection under TLS.
 * @throws {CertificateError} If the server's certificate is not accepted.
 * @throws {TlsHandshakeError} If there is no TLS for another reason.
 */
export function dialTls(
  connection: Connection,
  options: TlsClientOptions,
  signal: AbortSignal,
): Promise<Connection> {
  const begin = (remoteAddr: string): Side =>
    clientSide(remoteAddr, options, hostOf(connection, options));
  return shakeHands(connection, begin, signal);
}

function hostOf(connection: Connection, { serverName }: TlsClientOptions): string {
  const remoteAddr = normalizeAddress(connection.remoteAddr);
  return checkServerName(
    serverName ?? ("hostname" in remoteAddr ? remoteAddr.hostname : undefined),
  );
}

function clientSide(remoteAddr: string, options: TlsClientOptions, host: string): Side {
  const { own, isUnsafe, anchors, alpn, ...common } = resolveOptions(options);
  const serverName = isIP(host) === 0 ? host : "";
  const { context } = createSecureContext({
    ...common,
    ...(own && { cert: own.cert, key: own.key }),
  });
  const asking = { requestCert: true, rejectUnauthorized: false };
  const records = TlsRecords.client({ context: { ...context, ...asking }, alpn }, serverName);
  const signatures = new Signatures();
  const verify = (): PeerCertificate | undefined => {
    try {
      return verifyPeer(records, { remoteAddr, role: "server", anchors, host, signatures });
    } catch (error) {
      if (!isUnsafe) throw error;
    }
  };
  return { role: "client", records, agree: () => tlsInfo(records, serverName, verify()) };
}
