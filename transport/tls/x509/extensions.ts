/** Parses the extensions of certificates that are understood here (RFC 5280 §4.2). */

import {
  BOOLEAN,
  CONTEXT,
  CONTEXT_CONSTRUCTED,
  DerReader,
  INTEGER,
  OCTET_STRING,
  oidText,
  readWhole,
  SEQUENCE,
} from "./der.ts";
import type { Extension } from "./certificate.ts";
import { type GeneralName, readGeneralName, readGeneralNames } from "./names.ts";

/** The parsed extensions of a certificate. One that the certificate does not have is `undefined`. */
export interface Extensions {
  /** Whether the subject may issue certificates (basic constraints). */
  readonly isAuthority: boolean;
  /** How many authorities may stand between this one and the peer's certificate (path length); `Infinity` for any. */
  readonly maxAuthorities: number;
  /** What the key may be used for, by bit. */
  readonly keyUsage: Bits | undefined;
  /** What the key may be used for, by object identifier in hexadecimal digits. */
  readonly extendedKeyUsage: ReadonlySet<string> | undefined;
  /** What the key may be used for, as Netscape defined it. */
  readonly certificateType: Bits | undefined;
  /** Further names of the subject (subjectAltName). */
  readonly altNames: readonly GeneralName[];
  /** The names that certificates below this one may have. */
  readonly nameConstraints: NameConstraints | undefined;
  /** Tells keys of the same name apart. */
  readonly subjectKeyId: Uint8Array | undefined;
  readonly authorityKeyId: AuthorityKeyId | undefined;
}

/** Whether a bit is set. */
type Bits = (bit: number) => boolean;

/** Subtrees of names (§4.2.1.10). */
export interface NameConstraints {
  readonly permitted: readonly GeneralName[];
  readonly excluded: readonly GeneralName[];
}

/** Identifies the issuer's key (§4.2.1.1): by its key identifier, or by the issuer and number of its certificate. */
export interface AuthorityKeyId {
  readonly keyId: Uint8Array | undefined;
  readonly issuer: readonly GeneralName[] | undefined;
  readonly serialNumber: Uint8Array | undefined;
}

/** The bits of `keyUsage` (§4.2.1.3). */
export const DIGITAL_SIGNATURE = 0;
export const KEY_ENCIPHERMENT = 2;
export const KEY_CERT_SIGN = 5;

const BASIC_CONSTRAINTS = "551d13";
const KEY_USAGE = "551d0f";
const EXTENDED_KEY_USAGE = "551d25";
const SUBJECT_ALT_NAME = "551d11";
const NAME_CONSTRAINTS = "551d1e";
/** Known, but the lists are not fetched. */
const CRL_DISTRIBUTION_POINTS = "551d1f";
const MAY_BE_CRITICAL = new Set([
  BASIC_CONSTRAINTS,
  KEY_USAGE,
  EXTENDED_KEY_USAGE,
  SUBJECT_ALT_NAME,
  NAME_CONSTRAINTS,
  CRL_DISTRIBUTION_POINTS,
]);
const SUBJECT_KEY_ID = "551d0e";
const AUTHORITY_KEY_ID = "551d23";
const CERTIFICATE_TYPE = "6086480186f8420101";
/** Marks a certificate that its subject has issued in its own name (RFC 3820). It must be critical. */
const PROXY_CERTIFICATE = "2b0601050507010e";

/** Parses extensions. Throws if one of them cannot be read, or is critical and unknown. */
export function readExtensions(extensions: ReadonlyMap<string, Extension>): Extensions {
  for (const [oid, { isCritical }] of extensions) {
    if (isCritical && !MAY_BE_CRITICAL.has(oid) || oid === PROXY_CERTIFICATE) {
      throw new Error(`has an unknown critical extension ${oidText(oid)}`);
    }
  }
  function read<Value>(oid: string, parse: (reader: DerReader) => Value): Value | undefined {
    const extension = extensions.get(oid);
    if (extension === undefined) return undefined;
    try {
      return readWhole(extension.value, parse);
    } catch (error) {
      const { message } = error as Error;
      throw new Error(`has an extension ${oidText(oid)} that cannot be read: ${message}`);
    }
  }
  return {
    isAuthority: false,
    maxAuthorities: Infinity,
    ...read(BASIC_CONSTRAINTS, readBasicConstraints),
    keyUsage: read(KEY_USAGE, (reader) => reader.namedBits()),
    extendedKeyUsage: read(EXTENDED_KEY_USAGE, readExtendedKeyUsage),
    certificateType: read(CERTIFICATE_TYPE, (reader) => reader.namedBits()),
    altNames: read(SUBJECT_ALT_NAME, (reader) => readGeneralNames(reader.inner(SEQUENCE))) ?? [],
    nameConstraints: read(NAME_CONSTRAINTS, readNameConstraints),
    subjectKeyId: read(SUBJECT_KEY_ID, (reader) => reader.take(OCTET_STRING)),
    authorityKeyId: read(AUTHORITY_KEY_ID, readAuthorityKeyId),
  };
}

function readBasicConstraints(
  reader: DerReader,
): Pick<Extensions, "isAuthority" | "maxAuthorities"> {
  const fields = reader.inner(SEQUENCE);
  const isAuthority = fields.tag === BOOLEAN && fields.boolean();
  const maxAuthorities = fields.tag === INTEGER ? fields.smallInteger() : Infinity;
  fields.end();
  if (!isAuthority && maxAuthorities < Infinity && maxAuthorities > 0) {
    throw new Error("a path length is set, but it is not a CA certificate");
  }
  return { isAuthority, maxAuthorities };
}

function readExtendedKeyUsage(reader: DerReader): Set<string> {
  const list = reader.inner(SEQUENCE);
  const usages = new Set<string>();
  do usages.add(list.oid()); while (!list.isAtEnd);
  return usages;
}

function readNameConstraints(reader: DerReader): NameConstraints {
  const fields = reader.inner(SEQUENCE);
  const permitted = readSubtrees(fields.takeIf(CONTEXT_CONSTRUCTED));
  const excluded = readSubtrees(fields.takeIf(CONTEXT_CONSTRUCTED | 1));
  fields.end();
  return { permitted, excluded };
}

function readSubtrees(list: Uint8Array | undefined): GeneralName[] {
  if (list === undefined) return [];
  const subtrees = new DerReader(list);
  const bases: GeneralName[] = [];
  do {
    const subtree = subtrees.inner(SEQUENCE);
    bases.push(readGeneralName(subtree));
    subtree.end(); // minimum and maximum must not be used (§4.2.1.10)
  } while (!subtrees.isAtEnd);
  return bases;
}

function readAuthorityKeyId(reader: DerReader): AuthorityKeyId {
  const fields = reader.inner(SEQUENCE);
  const keyId = fields.takeIf(CONTEXT);
  const issuer = fields.takeIf(CONTEXT_CONSTRUCTED | 1);
  const serialNumber = fields.takeIf(CONTEXT | 2);
  fields.end();
  return {
    keyId,
    issuer: issuer && readGeneralNames(new DerReader(issuer)),
    serialNumber,
  };
}
