/** What the errors of the TLS layer of Deno 2.9.6 mean, in plain words. */

import { CertificateError, type TlsFailure, TlsHandshakeError } from "../../errors.ts";
import { type Address, formatAddress, normalizeAddress } from "../connection.ts";

/** The alerts (RFC 8446 §6) by which a peer refuses a certificate, as Deno names them. */
const CERTIFICATE_ALERTS = new Map([
  ["BadCertificate", "it cannot make sense of it"],
  ["UnsupportedCertificate", "it does not support its kind"],
  ["CertificateRevoked", "it is revoked"],
  ["CertificateExpired", "it has expired"],
  ["CertificateUnknown", "it does not accept it"],
  ["UnknownCA", "it does not know who has signed it"],
  ["AccessDenied", "it gives no access to whom it names"],
  ["CertificateRequired", "it wants one"],
]);
/** Among others, Deno's code for a peer that has not proved its key, and then it tells of it during the handshake. */
const UNVERIFIED = "UNABLE_TO_VERIFY_LEAF_SIGNATURE";
/** What is found wrong with a certificate, by the codes of Node. */
const CERTIFICATE_PROBLEMS = new Map([
  ["CERT_HAS_EXPIRED", "has expired"],
  ["CERT_NOT_YET_VALID", "is not valid yet"],
  ["CERT_REVOKED", "is revoked"],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", "is signed by itself, and not trusted"],
  ["SELF_SIGNED_CERT_IN_CHAIN", "leads to a root that is not trusted"],
  ["INVALID_PURPOSE", "is for another purpose"],
  ["UNABLE_TO_GET_ISSUER_CERT", "leads to nobody who is trusted"],
  ["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "leads to nobody who is trusted"],
  [UNVERIFIED, "is signed by nobody who is trusted"],
]);
/** By what Deno tells that the peer is of an older or newer version. */
const VERSION_PROBLEMS = [
  "Tls12NotOffered",
  "Tls13NotOffered",
  "ServerDoesNotSupportTls12Or13",
  "ServerTlsVersionIsDisabledByOurConfig",
  "SignatureAlgorithmsExtensionRequired",
  "SupportedVersionsExtensionRequired",
];
const ALERT_FAILURES = new Map<string, TlsFailure>([
  ["ProtocolVersion", "version"],
  ["NoApplicationProtocol", "alpn"],
  ["UnrecognisedName", "server-name"],
]);
const PEERS = { client: "server", server: "client" };

/** What is wrong with a certificate, by the code that Node has for it. */
export function certificateProblem(code: string): string {
  return CERTIFICATE_PROBLEMS.get(code) ?? `is not accepted (${code})`;
}

/**
 * The error for one that the TLS layer told of once TLS was agreed on. That a server refuses a client's certificate
 * comes then, since a client may be done before the server has looked at it (RFC 8446 §4.4.3).
 */
export function explainLive(remoteAddr: Address, error: Error): Error {
  const explained = explain(formatAddress(normalizeAddress(remoteAddr)), "client", error);
  if (explained instanceof CertificateError) return explained;
  const alert = alertOf(error);
  return alert === undefined
    ? new Deno.errors.InvalidData(`TLS has failed: ${error.message}`, { cause: error })
    : new Deno.errors.ConnectionAborted(`the peer gave up (alert ${alert})`, { cause: error });
}

/** The error of a handshake for one of the TLS layer, on the side that `role` names. */
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

  const alert = alertOf(error);
  const refusal = CERTIFICATE_ALERTS.get(alert ?? "");
  if (refusal !== undefined) {
    return failed("certificate", `the peer refuses our certificate: ${refusal} (alert ${alert})`);
  }
  if (alert !== undefined) {
    return failed(ALERT_FAILURES.get(alert) ?? "alert", `the peer gave up (alert ${alert})`);
  }
  if (code === UNVERIFIED) {
    return failed(
      "certificate",
      `the ${PEERS[role]} has not proved that its certificate is its own`,
    );
  }
  if (CERTIFICATE_PROBLEMS.has(code)) {
    return failed("certificate", `the ${PEERS[role]}'s certificate ${certificateProblem(code)}`);
  }
  if (code === "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE") {
    return failed("certificate", "the client has shown no certificate");
  }
  if (code === "ERR_SSL_NO_APPLICATION_PROTOCOL") {
    return failed("alpn", "the client speaks none of our application protocols");
  }
  if (message.includes("received corrupt message of type InvalidContentType")) {
    return failed("not-tls", "the peer does not speak TLS");
  }
  if (VERSION_PROBLEMS.some((problem) => message.includes(problem))) {
    return failed("version", "no version of TLS in common");
  }
  return failed("protocol", message);
}

/** The alert that the peer has sent, as Deno names it. */
function alertOf({ message }: Error): string | undefined {
  return /received fatal alert: (\w+)/.exec(message)?.[1];
}
