/** The certificate of the peer, and its verification. */

import { createHash } from "node:crypto";
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

/** What a peer has shown: what {@linkcode TlsRecords} tells of it. */
export interface Shown {
  /** Its certificates in DER, its own first. */
  readonly peerCertificates: readonly Uint8Array[];
  /** What the TLS layer says against them; empty if nothing. */
  readonly verifyError: string;
}

/** What is asked of a peer. */
export interface PeerOptions extends Omit<PathOptions, "now" | "maxSignatures"> {
  /** The address of the peer, as text. */
  readonly remoteAddr: string;
  /** The host that the certificate of a server has to be for, in canonical form. */
  readonly host?: string;
}

/** So many certificates are looked at. Hardly a peer has more than four. */
const MAX_SHOWN = 20;
/** So many signatures are looked at, and fewer to tell what is wrong where the TLS layer says that something is. */
const MAX_SIGNATURES = 10;
const MAX_SIGNATURES_OF_REFUSED = 3;
/** So many names of a certificate are told in a message. */
const MAX_NAMES = 10;

/**
 * The certificate of a peer, or `undefined` if it is a client that has shown none.
 *
 * Where there is a `ca`, Deno 2.9.6 takes certificates that it cannot parse for valid, and does not ask for a proof of
 * their keys; and a session that is resumed counts as verified at every server of the process, whatever was said of
 * its certificate before. So everything is verified here, each time, and what the TLS layer says counts only if it
 * refuses. The proof of the key is the TLS layer's alone: it gives it for whatever can be read here.
 *
 * @throws {CertificateError} Unless it may be trusted.
 */
export function verifyPeer(
  { peerCertificates, verifyError }: Shown,
  { remoteAddr, host, ...options }: PeerOptions,
): PeerCertificate | undefined {
  const { role, anchors } = options;
  if (peerCertificates.length === 0 && role === "client") return undefined;
  try {
    const shown = readAll(peerCertificates);
    const maxSignatures = verifyError === "" ? MAX_SIGNATURES : MAX_SIGNATURES_OF_REFUSED;
    checkPath(shown, { ...options, now: Date.now(), maxSignatures });
    const peer = shown[0];
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
  if (chain.length > MAX_SHOWN) {
    throw new Error(`is one of ${chain.length}, of which there must be at most ${MAX_SHOWN}`);
  }
  return chain.map((der, at) => {
    try {
      return readCertificate(der);
    } catch (error) {
      const which = at === 0 ? "" : "comes with another that ";
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

function peerCertificate(certificate: Certificate, altNames: readonly AltName[]): PeerCertificate {
  const { der, subject, issuer, validFrom, validTo, serialNumber } = certificate;
  const digest = createHash("sha256").update(der).digest("hex").toUpperCase();
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
