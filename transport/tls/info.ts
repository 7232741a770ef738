import type { PeerCertificate, TlsInfo } from "../connection.ts";

/** What a handshake has negotiated. */
export interface Negotiated {
  readonly protocol: string;
  readonly cipher: string;
  readonly alpn: string | undefined;
}

/** The parameters as users see them. */
export function tlsInfo(
  { protocol, cipher, alpn }: Negotiated,
  serverName: string,
  peerCertificate: PeerCertificate | undefined,
): TlsInfo {
  return {
    protocol,
    cipher,
    ...(alpn !== undefined && { alpn }),
    ...(serverName !== "" && { serverName }),
    ...(peerCertificate !== undefined && { peerCertificate }),
  };
}
