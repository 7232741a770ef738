/**
 * Turns errors of the TLS layer into errors that say what they mean. The layer is that of Deno 2.9.6, OpenSSL (Node) or
 * BoringSSL (Bun).
 */

import { systemErrors } from "../../_internal/system_error_classes.ts";
import { isDeno } from "../../_internal/runtime.ts";
import { CertificateError, type TlsFailure, TlsHandshakeError } from "../../errors.ts";
import { type Address, formatAddress, normalizeAddress } from "../connection.ts";

/** What the alerts about certificates (RFC 8446 §6) mean, by the names that Deno has for them. */
const CERTIFICATE_ALERTS = new Map([
  ["BadCertificate", "the peer says that our certificate is corrupt"],
  ["UnsupportedCertificate", "the peer does not support our kind of certificate"],
  ["CertificateRevoked", "the peer says that our certificate is revoked"],
  ["CertificateExpired", "the peer says that our certificate has expired"],
  ["CertificateUnknown", "the peer does not accept our certificate"],
  ["UnknownCA", "the peer does not trust the authority that signed our certificate"],
  ["AccessDenied", "the peer denies access to the subject of our certificate"],
  ["CertificateRequired", "the peer requires a certificate"],
]);
/** Deno's code for several problems. As the error of a handshake, it means that the peer has not proved its key. */
const UNVERIFIED = "UNABLE_TO_VERIFY_LEAF_SIGNATURE";
/** What is wrong with a certificate, by Node's codes. */
const CERTIFICATE_PROBLEMS = new Map([
  ["CERT_HAS_EXPIRED", "has expired"],
  ["CERT_NOT_YET_VALID", "is not valid yet"],
  ["CERT_REVOKED", "is revoked"],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", "is self-signed and not trusted"],
  ["SELF_SIGNED_CERT_IN_CHAIN", "chains to a root that is not trusted"],
  ["INVALID_PURPOSE", "is for another purpose"],
  ["UNABLE_TO_GET_ISSUER_CERT", "does not chain to a trusted authority"],
  ["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "does not chain to a trusted authority"],
  [UNVERIFIED, "is not signed by a trusted authority"],
]);
/** Deno's messages for a peer that supports no common version of TLS contain one of these. */
const VERSION_PROBLEMS = [
  "Tls12NotOffered",
  "Tls13NotOffered",
  "ServerDoesNotSupportTls12Or13",
  "ServerTlsVersionIsDisabledByOurConfig",
  "SignatureAlgorithmsExtensionRequired",
  "SupportedVersionsExtensionRequired",
];
/** The codes of OpenSSL and BoringSSL for the same. */
const VERSION_CODES = [
  "ERR_SSL_UNSUPPORTED_PROTOCOL",
  "ERR_SSL_NO_PROTOCOLS_AVAILABLE",
  "ERR_SSL_NO_SUPPORTED_VERSIONS_ENABLED",
];
/** The codes of OpenSSL and BoringSSL for input that is not a record of TLS. */
const NOT_TLS = [
  "ERR_SSL_WRONG_VERSION_NUMBER",
  "ERR_SSL_HTTP_REQUEST",
  "ERR_SSL_PACKET_LENGTH_TOO_LONG",
];
const ALERT_FAILURES = new Map<string, TlsFailure>([
  ["ProtocolVersion", "version"],
  ["NoApplicationProtocol", "alpn"],
  ["UnrecognisedName", "server-name"],
]);
const PEERS = { client: "server", server: "client" };

/** What is wrong with a certificate, by Node's code. It completes a sentence about the certificate. */
export function certificateProblem(code: string): string {
  return CERTIFICATE_PROBLEMS.get(code) ?? `is not accepted (${code})`;
}

/**
 * Explains an error of the TLS layer after the handshake. A server's refusal of a client's certificate can be one: a
 * client may finish its handshake before the server has verified the certificate (RFC 8446 §4.4.3).
 */
export function explainLive(remoteAddr: Address, error: Error): Error {
  const explained = explain(formatAddress(normalizeAddress(remoteAddr)), "client", error);
  if (explained instanceof CertificateError) return explained;
  const alert = alertOf(error);
  return alert === undefined
    ? new systemErrors.InvalidData(`TLS has failed: ${error.message}`, { cause: error })
    : new systemErrors.ConnectionAborted(`the peer ended TLS with the alert ${alert}`, {
      cause: error,
    });
}

/** Explains an error of the TLS layer during the handshake. `role` is the role of this side. */
export function explain(
  remoteAddr: string,
  role: "client" | "server",
  error: Error & { code?: unknown },
): TlsHandshakeError {
  if (error instanceof TlsHandshakeError) return error;
  const failed = (code: TlsFailure, problem: string): TlsHandshakeError =>
    code === "certificate"
      ? new CertificateError(remoteAddr, problem, { cause: error })
      : new TlsHandshakeError(remoteAddr, code, problem, { cause: error });
  const { message } = error;
  const code = String(error.code);
  const reason = isDeno ? "" : code; // Deno's codes of OpenSSL are guesses

  const alert = alertOf(error);
  const refusal = CERTIFICATE_ALERTS.get(alert ?? "");
  if (refusal !== undefined) {
    return failed("certificate", `${refusal} (alert ${alert})`);
  }
  if (alert !== undefined) {
    const problem = `the peer ended the handshake with the alert ${alert}`;
    return failed(ALERT_FAILURES.get(alert) ?? "alert", problem);
  }
  if (code === UNVERIFIED || reason === "ERR_SSL_BAD_SIGNATURE") {
    return failed(
      "certificate",
      `the ${PEERS[role]} has not proved that it has the key of its certificate`,
    );
  }
  if (CERTIFICATE_PROBLEMS.has(code)) {
    return failed("certificate", `the ${PEERS[role]}'s certificate ${certificateProblem(code)}`);
  }
  if (code === "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE") {
    return failed("certificate", "the client sent no certificate");
  }
  if (code === "ERR_SSL_NO_APPLICATION_PROTOCOL") {
    return failed("alpn", "no application protocol (ALPN) in common");
  }
  if (
    message.includes("received corrupt message of type InvalidContentType") ||
    NOT_TLS.includes(reason)
  ) {
    return failed("not-tls", "the peer does not speak TLS");
  }
  if (
    VERSION_PROBLEMS.some((problem) => message.includes(problem)) || VERSION_CODES.includes(reason)
  ) {
    return failed("version", "no version of TLS in common");
  }
  return failed("protocol", message);
}

/** The alert that the peer has sent, as Deno names it. */
function alertOf({ message, code }: Error & { code?: unknown }): string | undefined {
  if (isDeno) return /received fatal alert: (\w+)/.exec(message)?.[1];
  const [, name] = OPENSSL_ALERT.exec(String(code)) ?? [];
  const words = name?.split("_").map((word) => word[0] + word.slice(1).toLowerCase());
  return words?.join("").replace(/Ca$/, "CA").replace("Unrecognized", "Unrecognised");
}

const OPENSSL_ALERT = /^ERR_SSL_(?:SSLV3|TLSV1|TLSV13|SSL\/TLS)_(?:ALERT_)?(\w+)$/;
