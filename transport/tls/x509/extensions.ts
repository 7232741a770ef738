/** The extensions of certificates that are understood here (RFC 5280 §4.2). */

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

/** What the extensions of a certificate say. What there is not is `undefined`. */
export interface Says {
  /** Whether the subject may sign other certificates, and how many of such may come between; `Infinity` for any. */
  readonly isAuthority: boolean;
  readonly maxAuthorities: number;
  /** What the key is for. */
  readonly keyUsage: Bits | undefined;
  /** The same by object identifiers, in hexadecimal digits. */
  readonly extendedKeyUsage: ReadonlySet<string> | undefined;
  /** The same in Netscape's way. */
  readonly certificateType: Bits | undefined;
  /** Further names of the subject (subjectAltName). */
  readonly altNames: readonly GeneralName[];
  /** The names that certificates below this one may have. */
  readonly nameConstraints: NameConstraints | undefined;
  /** How to find a key among those of one name. */
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

/** The issuer's key (§4.2.1.1), by an identifier, and by the certificate that it has from somebody. */
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
/** Whose lists are not looked up. */
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
/** By which somebody makes a certificate for another in his own name (RFC 3820). It has to be critical. */
const PROXY_CERTIFICATE = "2b0601050507010e";

/** Reads extensions. Throws at what cannot be read, and at what must be understood and is not. */
export function readExtensions(extensions: ReadonlyMap<string, Extension>): Says {
  for (const [oid, { isCritical }] of extensions) {
    if (isCritical && !MAY_BE_CRITICAL.has(oid) || oid === PROXY_CERTIFICATE) {
      throw new Error(`has an extension ${oidText(oid)}, which is not understood`);
    }
  }
  function read<Value>(oid: string, reading: (reader: DerReader) => Value): Value | undefined {
    const extension = extensions.get(oid);
    if (extension === undefined) return undefined;
    try {
      return readWhole(extension.value, reading);
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

function readBasicConstraints(reader: DerReader): Pick<Says, "isAuthority" | "maxAuthorities"> {
  const fields = reader.inner(SEQUENCE);
  const isAuthority = fields.tag === BOOLEAN && fields.boolean();
  const maxAuthorities = fields.tag === INTEGER ? fields.smallInteger() : Infinity;
  fields.end();
  if (!isAuthority && maxAuthorities < Infinity && maxAuthorities > 0) {
    throw new Error("what is no authority has authorities below it");
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
    subtree.end(); // no minimum and no maximum, which nobody may use
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
