/** Whether the certificates that a peer has shown lead to somebody who is trusted (RFC 5280 §6, as OpenSSL has it). */

import type { Certificate } from "./certificate.ts";
import { areEqual } from "./der.ts";
import {
  DIGITAL_SIGNATURE,
  KEY_CERT_SIGN,
  KEY_ENCIPHERMENT,
  readExtensions,
  type Says,
} from "./extensions.ts";
import { checkNames } from "./name_constraints.ts";
import { DIRECTORY_NAME } from "./names.ts";
import {
  alertFor,
  CERTIFICATE_EXPIRED,
  CertificateProblem,
  UNKNOWN_CA,
  UNSUPPORTED_CERTIFICATE,
} from "./problem.ts";
import { keyKind, type Signatures } from "./signature.ts";

/** What a path has to be like. */
export interface PathOptions {
  /** Who is trusted; `undefined` where somebody else knows, and the first certificate is only looked at by itself. */
  anchors: readonly Certificate[] | undefined;
  /** What the first certificate is shown as. */
  role: "server" | "client";
  /** When it has to be valid, in milliseconds since 1970. */
  now: number;
  signatures: Signatures;
  /** How many signatures are looked at before it is given up. The peer chooses who might have signed what. */
  maxSignatures: number;
}

const MAX_LENGTH = 10;
/** So much of a name is told in a message. */
const MAX_TOLD = 100;

/** What a certificate of each role is for, where it says so: extended key usage, and Netscape's type. */
const PURPOSES = {
  server: { oid: "2b06010505070301", bit: 1 },
  client: { oid: "2b06010505070302", bit: 0 },
};

/** A certificate that can be used, and what its extensions say. */
interface Link {
  readonly certificate: Certificate;
  readonly says: Says;
}

/** From the peer's own certificate upwards. */
type Path = readonly [Link, ...Link[]];

/**
 * Throws unless the first of the certificates may be taken for what it is shown as, and leads to somebody who is
 * trusted: to one of the `anchors` that is signed by itself, or by nobody among them. The order of the others does not
 * matter. The error's message completes a sentence about the first certificate.
 */
export function checkPath(
  [leaf, ...others]: readonly [Certificate, ...Certificate[]],
  options: PathOptions,
): void {
  const link = checked(leaf, options.now);
  checkLeaf(link, options);
  if (options.anchors !== undefined) new Search(options.anchors, others, options).climb([link]);
}

/** Looks for a path. */
class Search {
  readonly #anchors: readonly Certificate[];
  readonly #others: readonly Certificate[];
  readonly #options: PathOptions;
  #signatures = 0;

  constructor(
    anchors: readonly Certificate[],
    others: readonly Certificate[],
    options: PathOptions,
  ) {
    this.#anchors = anchors;
    this.#others = others;
    this.#options = options;
  }

  /** Throws unless a path leads on to an anchor: what stands in the way of the first that might. */
  climb(path: Path): void {
    const top = path.at(-1)!;
    const isOwn = isSelfIssued(top.certificate) && hasIssuersKey(top, top);
    const issuersIn = (all: readonly Certificate[]): Certificate[] =>
      isOwn ? [] : all.filter((one) => isNamedAsIssuer(one, top.certificate));
    const issuers = issuersIn(this.#anchors);
    if (issuers.length === 0 && isAmong(top.certificate, this.#anchors)) {
      return checkConstraints(path);
    }
    let problem: unknown;
    for (const issuer of [...issuers, ...issuersIn(this.#others)]) {
      if (path.some(({ certificate }) => areSame(certificate, issuer))) continue;
      try {
        return this.climb([...path, this.#linkTo(issuer, path)]);
      } catch (error) {
        problem ??= error;
      }
    }
    throw problem ?? new CertificateProblem(strangerProblem(path, isOwn), UNKNOWN_CA);
  }

  /** The next link of a path. Throws if it cannot be the issuer of the last, or has not signed it. */
  #linkTo(issuer: Certificate, path: Path): Link {
    const top = path.at(-1)!;
    if (path.length === MAX_LENGTH) {
      throw new Error(`leads to nobody who is trusted within ${MAX_LENGTH} certificates`);
    }
    const link = about(issuer, path, () => checked(issuer, this.#options.now));
    about(issuer, path, () => checkAuthority(link, path, this.#options.role));
    about(top.certificate, path, () => {
      if (!hasIssuersKey(top, link)) {
        const problem = `is signed with another key than that of ${told(issuer)}`;
        throw new CertificateProblem(problem, UNKNOWN_CA);
      }
      const { signatures, maxSignatures } = this.#options;
      if (this.#signatures++ >= maxSignatures) {
        throw new Error(`leads to nobody who is trusted by ${maxSignatures} signatures`);
      }
      signatures.check(top.certificate, issuer);
    });
    return link;
  }
}

/** Throws unless a certificate can be used at all. */
function checked(certificate: Certificate, now: number): Link {
  const { version, validFrom, validTo, publicKey, extensions } = certificate;
  if (version !== 3) throw new Error(`is of X.509 version ${version}, and has to be of version 3`);
  const invalid = now < validFrom
    ? `is not valid yet, but from ${dateOf(validFrom)} on`
    : now >= validTo
    ? `has expired: it was valid until ${dateOf(validTo)}`
    : undefined;
  if (invalid !== undefined) throw new CertificateProblem(invalid, CERTIFICATE_EXPIRED);
  keyKind(publicKey);
  return { certificate, says: readExtensions(extensions) };
}

function dateOf(time: number): string {
  return new Date(time).toISOString().replace(".000", "");
}

/** Throws unless the peer's own certificate is for what it is shown as. */
function checkLeaf({ certificate, says }: Link, { role, anchors }: PathOptions): void {
  const { keyUsage, certificateType, isAuthority } = says;
  checkPurpose(says, role);
  if (certificateType?.(PURPOSES[role].bit) === false) {
    throw new CertificateProblem(`is not for a ${role}`, UNSUPPORTED_CERTIFICATE);
  }
  // RSA has been used in another way, and OpenSSL still takes a server's certificate for that.
  const isForSigning = keyUsage === undefined || keyUsage(DIGITAL_SIGNATURE) ||
    role === "server" && keyUsage(KEY_ENCIPHERMENT) && keyKind(certificate.publicKey) === "RSA";
  if (!isForSigning) throw new Error("has a key that is not for TLS (key usage)");
  if (isAuthority && anchors !== undefined && !isAmong(certificate, anchors)) {
    throw new Error(`is that of an authority, and not of a ${role}`);
  }
}

function checkPurpose({ extendedKeyUsage }: Says, role: "server" | "client"): void {
  if (extendedKeyUsage?.has(PURPOSES[role].oid) === false) {
    const problem = `is not for a ${role} (extended key usage)`;
    throw new CertificateProblem(problem, UNSUPPORTED_CERTIFICATE);
  }
}

/** Throws unless the certificate may stand above a path. */
function checkAuthority({ says }: Link, [, ...between]: Path, role: "server" | "client"): void {
  const { isAuthority, maxAuthorities, keyUsage } = says;
  if (!isAuthority) throw new Error("is not that of an authority");
  if (keyUsage?.(KEY_CERT_SIGN) === false) {
    throw new Error("has a key that is not for signing certificates (key usage)");
  }
  checkPurpose(says, role);
  const count = between.filter(({ certificate }) => !isSelfIssued(certificate)).length;
  if (count > maxAuthorities) {
    throw new Error(`allows ${maxAuthorities} authorities below it, of which there are ${count}`);
  }
}

/** Throws if a certificate has a name that one above it does not allow. */
function checkConstraints(path: Path): void {
  path.forEach(({ says: { nameConstraints } }, at) => {
    if (nameConstraints === undefined) return;
    path.slice(0, at).forEach(({ certificate, says }, below) => {
      if (below > 0 && isSelfIssued(certificate)) return;
      about(certificate, path, () => {
        checkNames(certificate, says.altNames, nameConstraints, below === 0);
      });
    });
  });
}

function isSelfIssued(certificate: Certificate): boolean {
  return isNamedAsIssuer(certificate, certificate);
}

function isNamedAsIssuer({ subject }: Certificate, { issuer }: Certificate): boolean {
  return areEqual(subject.der, issuer.der);
}

/** Whether the key by which a certificate says that it is signed (§4.2.1.1) may be that of an issuer. */
function hasIssuersKey({ says: { authorityKeyId } }: Link, { certificate, says }: Link): boolean {
  const { keyId, issuer, serialNumber } = authorityKeyId ?? {};
  const name = issuer?.find(({ tag }) => tag === DIRECTORY_NAME)?.content;
  const pairs = [
    [keyId, says.subjectKeyId],
    [serialNumber, certificate.serialNumber],
    [name, certificate.issuer.der],
  ];
  return pairs.every(([a, b]) => a === undefined || b === undefined || areEqual(a, b));
}

function isAmong(certificate: Certificate, all: readonly Certificate[]): boolean {
  return all.some((one) => areSame(one, certificate));
}

function areSame(a: Certificate, b: Certificate): boolean {
  return areEqual(a.der, b.der);
}

function strangerProblem({ length }: Path, isOwn: boolean): string {
  if (!isOwn) return `${length === 1 ? "is signed by" : "leads to"} nobody who is trusted`;
  return length === 1
    ? "is signed by itself, and not trusted"
    : "leads to a root that is not trusted";
}

/** Does what throws what is wrong with a certificate, and throws what that means for the first of its path. */
function about<Value>(
  certificate: Certificate,
  [{ certificate: leaf }]: Path,
  run: () => Value,
): Value {
  try {
    return run();
  } catch (error) {
    const { message } = error as Error;
    if (certificate === leaf) throw error;
    const problem = `leads to ${told(certificate)}, whose certificate ${message}`;
    throw new CertificateProblem(problem, alertFor(error));
  }
}

function told({ subject }: Certificate): string {
  const { text } = subject;
  return `"${text.length > MAX_TOLD ? `${text.slice(0, MAX_TOLD)}…` : text}"`;
}
