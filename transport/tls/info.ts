import type { PeerCertificate, TlsInfo } from "../connection.ts";
import type { TlsRecords } from "./records.ts";

/** What the handshake has negotiated. */
export function tlsInfo(
  records: TlsRecords,
  serverName: string,
  peerCertificate: PeerCertificate | undefined,
): TlsInfo {
  const { protocol, cipher, alpn } = records.negotiated;
  return {
    protocol,
    cipher,
    ...(alpn !== undefined && { alpn }),
    ...(serverName !== "" && { serverName }),
    ...(peerCertificate !== undefined && { peerCertificate }),
  };
}
