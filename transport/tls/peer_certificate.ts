/** Verifies the certificate of the peer. */

import { lazy } from "../lazy.ts";
import { CertificateError } from "../../errors.ts";
import type { PeerCertificate } from "../connection.ts";
import { certificateProblem } from "./errors.ts";
import { isFor } from "./server_names.ts";
import { type Certificate, readCertificate } from "./x509/certificate.ts";
import { hex } from "./x509/der.ts";
import { readExtensions } from "./x509/extensions.ts";
import { type AltName, altNamesOf } from "./x509/names.ts";
import { checkPath, type PathOptions } from "./x509/path.ts";
import { CertificateProblem, UNKNOWN_CA } from "./x509/problem.ts";

/** The certificates of a peer, as {@linkcode TlsRecords} has them. */
export interface PeerChain {
  /** In DER, the peer's own first. */
  readonly peerCertificates: readonly Uint8Array[];
  /** Node's code for what the TLS layer found wrong with them; empty if nothing. */
  readonly verifyError: string;
}

/** What a peer's certificate must fulfil. */
export interface PeerOptions extends Omit<PathOptions, "now" | "maxSignatures"> {
  /** The address of the peer, as text. */
  readonly remoteAddr: string;
  /** The host that the certificate of a server has to be for, in canonical form. */
  readonly host?: string;
}

/** How many certificates a peer may send. Few peers send more than four. */
const MAX_CERTIFICATES = 20;
/** How many signatures are verified. Fewer if the TLS layer has refused already: then they only serve the message. */
const MAX_SIGNATURES = 10;
const MAX_SIGNATURES_OF_REFUSED = 3;
/** How many names of a certificate a message contains. */
const MAX_NAMES = 10;

/**
 * Verifies a peer's certificate and returns it; `undefined` for a client that sent none.
 *
 * Everything is verified here, each time. With a `ca`, Deno 2.9.6 accepts certificates that it cannot parse, without a
 * proof of their keys. A session that is resumed counts as verified at every server of the process, whatever was found
 * wrong with its certificate before. So the TLS layer's verdict counts only if it refuses. The proof of the key is left
 * to the TLS layer: it demands one for every certificate that can be read here.
 *
 * @throws {CertificateError} If the certificate is not accepted.
 */
export function verifyPeer(
  { peerCertificates, verifyError }: PeerChain,
  { remoteAddr, host, ...options }: PeerOptions,
): PeerCertificate | undefined {
  const { role, anchors } = options;
  if (peerCertificates.length === 0 && role === "client") return undefined;
  try {
    const chain = readAll(peerCertificates);
    const maxSignatures = verifyError === "" ? MAX_SIGNATURES : MAX_SIGNATURES_OF_REFUSED;
    checkPath(chain, { ...options, now: Date.now(), maxSignatures });
    const peer = chain[0];
    const altNames = altNamesOf(readExtensions(peer.extensions).altNames);
    if (host !== undefined) checkHost(altNames, host);
    if (verifyError !== "") {
      if (anchors === undefined) {
        throw new CertificateProblem(certificateProblem(verifyError), UNKNOWN_CA);
      }
      throw new Error(`is not accepted by the TLS layer (${verifyError})`);
    }
    return peerCertificate(peer, altNames);
  } catch (error) {
    const { message } = error as Error;
    throw new CertificateError(remoteAddr, `the ${role}'s certificate ${message}`, {
      cause: error,
    });
  }
}

type NotEmpty<Value> = [Value, ...Value[]];

function readAll(chain: readonly Uint8Array[]): NotEmpty<Certificate> {
  if (chain.length === 0) throw new Error("is missing");
  if (chain.length > MAX_CERTIFICATES) {
    throw new Error(`is one of ${chain.length} certificates, at most ${MAX_CERTIFICATES} allowed`);
  }
  return chain.map((der, at) => {
    try {
      return readCertificate(der);
    } catch (error) {
      const which = at === 0 ? "" : "comes with another certificate that ";
      throw new Error(`${which}cannot be read: ${(error as Error).message}`);
    }
  }) as NotEmpty<Certificate>;
}

/** Throws unless the certificate is for a host. */
function checkHost(altNames: readonly AltName[], host: string): void {
  if (isFor(altNames, host)) return;
  const names = altNames.slice(0, MAX_NAMES).map(({ kind, value }) => `${kind}:${value}`);
  if (altNames.length > MAX_NAMES) names.push("…");
  throw new Error(
    `is not for ${JSON.stringify(host)} but for ${names.join(", ") || "no host at all"}`,
  );
}

/** A certificate as users see it. */
export function peerCertificate(
  certificate: Certificate,
  altNames: readonly AltName[],
): PeerCertificate {
  const { der, subject, issuer, validFrom, validTo, serialNumber } = certificate;
  const digest = lazy.crypto.createHash("sha256").update(der).digest("hex").toUpperCase();
  return {
    subject: subject.text,
    issuer: issuer.text,
    subjectAltNames: altNames.map(({ kind, value }) => `${kind}:${value}`),
    validFrom: new Date(validFrom),
    validTo: new Date(validTo),
    serialNumber: hex(serialNumber).replace(/^00(?=.)/, "").toUpperCase(),
    fingerprint256: digest.replaceAll(/..(?=.)/g, "$&:"),
    raw: new Uint8Array(der),
  };
}
