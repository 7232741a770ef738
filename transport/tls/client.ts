import { isIP } from "node:net";
import { createSecureContext } from "node:tls";
import { checkBoolean } from "../../_internal/checks.ts";
import { type Connection, normalizeAddress, type PeerCertificate } from "../connection.ts";
import { shakeHands, type Side } from "./handshake.ts";
import { tlsInfo } from "./info.ts";
import {
  checkCertificate,
  checkServerName,
  checkTlsOptions,
  type TlsCertificate,
  type TlsClientOptions,
} from "./options.ts";
import { verifyPeer } from "./peer_certificate.ts";
import { TlsRecords } from "./records.ts";

/** Throws what is wrong with the options of a client, of which `serverName` may be missing. */
export function checkTlsClientOptions(options: TlsClientOptions): void {
  const { serverName, unsafelyIgnoreCertificateErrors: isUnsafe = false } = options;
  if (serverName !== undefined) checkServerName(serverName);
  checkTlsOptions(options);
  checkBoolean("unsafelyIgnoreCertificateErrors", isUnsafe);
  ownCertificate(options);
}

/** What this side shows, if anything. */
function ownCertificate({ cert, key }: TlsClientOptions): TlsCertificate | undefined {
  if (cert === undefined && key === undefined) return undefined;
  const checked = checkCertificate({ cert: cert!, key: key! });
  return { cert: checked.cert, key: checked.key };
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
  checkTlsClientOptions(options);
  const { unsafelyIgnoreCertificateErrors: isUnsafe = false } = options;
  const { alpn, anchors, ...common } = checkTlsOptions(options);
  const serverName = isIP(host) === 0 ? host : "";
  const { context } = createSecureContext({ ...common, ...ownCertificate(options) });
  const asking = { requestCert: true, rejectUnauthorized: false };
  const records = TlsRecords.client({ context: { ...context, ...asking }, alpn }, serverName);
  const verify = (): PeerCertificate | undefined => {
    try {
      return verifyPeer(records, { remoteAddr, role: "server", anchors, host });
    } catch (error) {
      if (!isUnsafe) throw error;
    }
  };
  return { role: "client", records, agree: () => tlsInfo(records, serverName, verify()) };
}
