import { X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import type { PeerCertificate, TlsInfo } from "../connection.ts";
import { readNames } from "./x509.ts";

/** The certificate that the peer has shown, in DER. Never throws: what it holds is the peer's. */
export function peerDer(socket: TLSSocket): Uint8Array<ArrayBuffer> | undefined {
  try {
    const { raw } = socket.getPeerCertificate(false);
    return raw === undefined ? undefined : new Uint8Array(raw);
  } catch {
    return undefined;
  }
}

/** What a certificate says. Throws if it cannot be read. */
export function readCertificate(der: Uint8Array<ArrayBuffer>): PeerCertificate {
  const certificate = new X509Certificate(der);
  const { issuer, subject, altNames } = readNames(der);
  return {
    subject,
    issuer,
    subjectAltNames: altNames.map(({ kind, value }) => `${kind}:${value}`),
    validFrom: new Date(certificate.validFrom),
    validTo: new Date(certificate.validTo),
    serialNumber: certificate.serialNumber,
    fingerprint256: certificate.fingerprint256,
    raw: der,
  };
}

/** What was agreed on. */
export function tlsInfo(
  socket: TLSSocket,
  serverName: string | undefined,
  peerCertificate: PeerCertificate | undefined,
): TlsInfo {
  const { alpnProtocol } = socket;
  return {
    protocol: socket.getProtocol() ?? "unknown",
    cipher: socket.getCipher().standardName,
    ...(alpnProtocol && { alpn: alpnProtocol }),
    ...(serverName && { serverName }),
    ...(peerCertificate !== undefined && { peerCertificate }),
  };
}
