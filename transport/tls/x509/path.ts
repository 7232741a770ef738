/** Verifies that a peer's certificates chain to a trusted authority (RFC 5280 §6, as OpenSSL does). */

import type { Certificate } from "./certificate.ts";
import { areEqual } from "./der.ts";
import {
  DIGITAL_SIGNATURE,
  type Extensions,
  KEY_CERT_SIGN,
  KEY_ENCIPHERMENT,
  readExtensions,
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

/** What a path must fulfil. */
export interface PathOptions {
  /** The trusted certificates. `undefined` if another layer decides about trust: only the peer's own is checked then. */
  anchors: readonly Certificate[] | undefined;
  /** The role of the peer. */
  role: "server" | "client";
  /** When the certificates must be valid, in milliseconds since 1970. */
  now: number;
  signatures: Signatures;
  /** How many signatures are verified before the search ends. Without a limit, the peer would decide how many. */
  maxSignatures: number;
}

const MAX_LENGTH = 10;
/** How many characters of a name a message contains. */
const MAX_NAME_LENGTH = 100;

/** The purpose of each role: in the extended key usage, and in Netscape's certificate type. */
const PURPOSES = {
  server: { oid: "2b06010505070301", bit: 1 },
  client: { oid: "2b06010505070302", bit: 0 },
};

/** A certificate that can be used, and its parsed extensions. */
interface Link {
  readonly certificate: Certificate;
  readonly extensions: Extensions;
}

/** From the peer's own certificate upwards. */
type Path = readonly [Link, ...Link[]];

/**
 * Throws unless the first certificate may be used for its role and chains to one of the `anchors`: to one that is
 * self-signed, or whose issuer is not among them. The order of the other certificates does not matter. The error's
 * message completes a sentence about the first certificate.
 */
export function checkPath(
  [leaf, ...others]: readonly [Certificate, ...Certificate[]],
  options: PathOptions,
): void {
  const link = usable(leaf, options.now);
  checkLeaf(link, options);
  if (options.anchors !== undefined) new PathSearch(options.anchors, others, options).run([link]);
}

/** A depth-first search for a path to an anchor. */
class PathSearch {
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

  /** Throws unless the path can be extended to an anchor. The error is that of the first candidate. */
  run(path: Path): void {
    const top = path.at(-1)!;
    const isSelfSigned = isSelfIssued(top.certificate) && matchesKeyId(top, top);
    const issuersIn = (all: readonly Certificate[]): Certificate[] =>
      isSelfSigned ? [] : all.filter((one) => isNamedAsIssuer(one, top.certificate));
    const issuers = issuersIn(this.#anchors);
    if (issuers.length === 0 && isAmong(top.certificate, this.#anchors)) {
      return checkConstraints(path);
    }
    let problem: unknown;
    for (const issuer of [...issuers, ...issuersIn(this.#others)]) {
      if (path.some(({ certificate }) => areSame(certificate, issuer))) continue;
      try {
        return this.run([...path, this.#linkTo(issuer, path)]);
      } catch (error) {
        problem ??= error;
      }
    }
    throw problem ?? new CertificateProblem(untrustedProblem(path, isSelfSigned), UNKNOWN_CA);
  }

  /** The issuer as the next link of a path. Throws if it may not issue the last one, or has not signed it. */
  #linkTo(issuer: Certificate, path: Path): Link {
    const top = path.at(-1)!;
    if (path.length === MAX_LENGTH) {
      throw new Error(`does not chain to a trusted authority within ${MAX_LENGTH} certificates`);
    }
    const link = inChain(issuer, path, () => usable(issuer, this.#options.now));
    inChain(issuer, path, () => checkAuthority(link, path, this.#options.role));
    inChain(top.certificate, path, () => {
      if (!matchesKeyId(top, link)) {
        const problem = `is not signed with the key of ${
          nameOf(issuer)
        } (authority key identifier)`;
        throw new CertificateProblem(problem, UNKNOWN_CA);
      }
      const { signatures, maxSignatures } = this.#options;
      if (this.#signatures++ >= maxSignatures) {
        throw new Error(`does not chain to a trusted authority within ${maxSignatures} signatures`);
      }
      signatures.check(top.certificate, issuer);
    });
    return link;
  }
}

/** Throws unless a certificate can be used at all. */
function usable(certificate: Certificate, now: number): Link {
  const { version, validFrom, validTo, publicKey } = certificate;
  if (version !== 3) throw new Error(`is of X.509 version ${version}, must be of version 3`);
  const invalid = now < validFrom
    ? `is not valid yet: it is valid from ${dateOf(validFrom)}`
    : now >= validTo
    ? `has expired: it was valid until ${dateOf(validTo)}`
    : undefined;
  if (invalid !== undefined) throw new CertificateProblem(invalid, CERTIFICATE_EXPIRED);
  keyKind(publicKey);
  return { certificate, extensions: readExtensions(certificate.extensions) };
}

function dateOf(time: number): string {
  return new Date(time).toISOString().replace(".000", "");
}

/** Throws unless the peer's own certificate may be used for its role. */
function checkLeaf({ certificate, extensions }: Link, { role, anchors }: PathOptions): void {
  const { keyUsage, certificateType, isAuthority } = extensions;
  checkPurpose(extensions, role);
  if (certificateType?.(PURPOSES[role].bit) === false) {
    throw new CertificateProblem(`is not for a ${role}`, UNSUPPORTED_CERTIFICATE);
  }
  // For RSA key exchange, which is out of use. OpenSSL still accepts such a certificate of a server.
  const isForSigning = keyUsage === undefined || keyUsage(DIGITAL_SIGNATURE) ||
    role === "server" && keyUsage(KEY_ENCIPHERMENT) && keyKind(certificate.publicKey) === "RSA";
  if (!isForSigning) throw new Error("has a key that is not for TLS (key usage)");
  if (isAuthority && anchors !== undefined && !isAmong(certificate, anchors)) {
    throw new Error(`is a CA certificate, not one of a ${role}`);
  }
}

function checkPurpose({ extendedKeyUsage }: Extensions, role: "server" | "client"): void {
  if (extendedKeyUsage?.has(PURPOSES[role].oid) === false) {
    const problem = `is not for a ${role} (extended key usage)`;
    throw new CertificateProblem(problem, UNSUPPORTED_CERTIFICATE);
  }
}

/** Throws unless the certificate may issue the last one of a path. */
function checkAuthority(
  { extensions }: Link,
  [, ...between]: Path,
  role: "server" | "client",
): void {
  const { isAuthority, maxAuthorities, keyUsage } = extensions;
  if (!isAuthority) throw new Error("is not a CA certificate (basic constraints)");
  if (keyUsage?.(KEY_CERT_SIGN) === false) {
    throw new Error("has a key that is not for signing certificates (key usage)");
  }
  checkPurpose(extensions, role);
  const count = between.filter(({ certificate }) => !isSelfIssued(certificate)).length;
  if (count > maxAuthorities) {
    throw new Error(
      `allows ${maxAuthorities} CA certificates below it, found ${count} (path length)`,
    );
  }
}

/** Throws if a certificate has a name that an authority above it does not permit. */
function checkConstraints(path: Path): void {
  path.forEach(({ extensions: { nameConstraints } }, at) => {
    if (nameConstraints === undefined) return;
    path.slice(0, at).forEach(({ certificate, extensions }, below) => {
      if (below > 0 && isSelfIssued(certificate)) return;
      inChain(certificate, path, () => {
        checkNames(certificate, extensions.altNames, nameConstraints, below === 0);
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

/** Whether the authority key identifier of a certificate (§4.2.1.1), if it has one, matches an issuer. */
function matchesKeyId(
  { extensions: { authorityKeyId } }: Link,
  { certificate, extensions }: Link,
): boolean {
  const { keyId, issuer, serialNumber } = authorityKeyId ?? {};
  const name = issuer?.find(({ tag }) => tag === DIRECTORY_NAME)?.content;
  const pairs = [
    [keyId, extensions.subjectKeyId],
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

function untrustedProblem({ length }: Path, isSelfSigned: boolean): string {
  if (isSelfSigned) {
    return length === 1 ? "is self-signed and not trusted" : "chains to a root that is not trusted";
  }
  return length === 1
    ? "is not signed by a trusted authority"
    : "does not chain to a trusted authority";
}

/** Runs a check of a certificate of a path. If it throws, the message becomes one about the path's first certificate. */
function inChain<Value>(
  certificate: Certificate,
  [{ certificate: leaf }]: Path,
  check: () => Value,
): Value {
  try {
    return check();
  } catch (error) {
    const { message } = error as Error;
    if (certificate === leaf) throw error;
    const problem = `chains to ${nameOf(certificate)}, whose certificate ${message}`;
    throw new CertificateProblem(problem, alertFor(error));
  }
}

function nameOf({ subject }: Certificate): string {
  const { text } = subject;
  return `"${text.length > MAX_NAME_LENGTH ? `${text.slice(0, MAX_NAME_LENGTH)}…` : text}"`;
}
