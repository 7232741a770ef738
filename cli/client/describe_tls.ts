import type { TlsInfo } from "../../mod.ts";

/** The TLS parameters and the peer's certificate, in lines for `--verbose`. */
export function describeTls(tls: TlsInfo): string[] {
  const { protocol, cipher, alpn, peerCertificate } = tls;
  const lines = [`${protocol}, cipher ${cipher}, ALPN ${alpn ?? "none"}`];
  if (peerCertificate === undefined) {
    lines.push("certificate: not verified");
    return lines;
  }
  const { subject, issuer, subjectAltNames, validFrom, validTo } = peerCertificate;
  lines.push(
    `certificate: ${subject || "no name"}, signed by ${issuer || "no name"}`,
    `certificate for: ${subjectAltNames.join(", ") || "no host at all"}`,
    `certificate valid: ${dateOf(validFrom)} to ${dateOf(validTo)}`,
  );
  return lines;
}

function dateOf(date: Date): string {
  return date.toISOString().replace(/\.\d+Z$/, "Z");
}
