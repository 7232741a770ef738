import { X509Certificate } from "node:crypto";
import { CertificateError } from "../../errors.ts";
import type { PeerCertificate, TlsInfo } from "../connection.ts";
import type { TlsRecords } from "./records.ts";
import { readNames } from "./x509.ts";

/** What the certificate of a `peer`, the client or the server, says. */
export function readCertificate(
  remoteAddr: string,
  peer: "client" | "server",
  der: Uint8Array<ArrayBuffer>,
): PeerCertificate {
  try {
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
  } catch (cause) {
    throw new CertificateError(remoteAddr, `the ${peer}'s certificate cannot be read`, { cause });
  }
}

/** What was agreed on. */
export function tlsInfo(
  records: TlsRecords,
  serverName: string,
  peerCertificate: PeerCertificate | undefined,
): TlsInfo {
  const { protocol, cipher, alpn } = records.agreed;
  return {
    protocol,
    cipher,
    ...(alpn !== undefined && { alpn }),
    ...(serverName !== "" && { serverName }),
    ...(peerCertificate !== undefined && { peerCertificate }),
  };
}
