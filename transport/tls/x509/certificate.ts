/**
 * Parses X.509 certificates (RFC 5280) in DER.
 *
 * Every decision about a certificate is based on what is parsed here. Deno 2.9.6 accepts unsigned certificates if it
 * cannot parse them, and gives their names as one text without escapes: a certificate for the one name
 * `a.example, DNS:b.example` looks as if it were for two.
 */

import {
  areEqual,
  BIT_STRING,
  BOOLEAN,
  CONTEXT_CONSTRUCTED,
  DerReader,
  GENERALIZED_TIME,
  OCTET_STRING,
  oidText,
  readWhole,
  SEQUENCE,
  UTC_TIME,
} from "./der.ts";
import { type Name, readName } from "./names.ts";

/** A parsed certificate. */
export interface Certificate {
  /** The whole certificate, as received. */
  readonly der: Uint8Array;
  /** The signed part, as received. */
  readonly signed: Uint8Array;
  /** The version of X.509: 1 to 3. */
  readonly version: number;
  /** The serial number as two's complement. */
  readonly serialNumber: Uint8Array;
  readonly issuer: Name;
  readonly subject: Name;
  /** The first moment at which it is valid, and the first at which it is not any more, in milliseconds since 1970. */
  readonly validFrom: number;
  readonly validTo: number;
  /** The subject's key: a SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array;
  /** By object identifier, in hexadecimal digits. */
  readonly extensions: ReadonlyMap<string, Extension>;
  /** The signature algorithm: an AlgorithmIdentifier. */
  readonly algorithm: Uint8Array;
  readonly signature: Uint8Array;
}

/** One extension of a certificate. */
export interface Extension {
  /** Whether the certificate must be rejected by software that does not know the extension. */
  readonly isCritical: boolean;
  readonly value: Uint8Array;
}

/** Parses a certificate. Throws unless the bytes are one certificate in DER and nothing else. */
export function readCertificate(der: Uint8Array): Certificate {
  const certificate = readWhole(der, (reader) => reader.inner(SEQUENCE));
  const signed = certificate.takeWhole(SEQUENCE);
  const algorithm = certificate.takeWhole(SEQUENCE);
  const signature = certificate.bytesOfBits();
  certificate.end();

  const fields = new DerReader(signed).inner(SEQUENCE);
  const version = readVersion(fields.takeIf(CONTEXT_CONSTRUCTED));
  const serialNumber = fields.integer();
  if (!areEqual(fields.takeWhole(SEQUENCE), algorithm)) {
    throw new Error("its two signature algorithms differ");
  }
  const issuer = readName(fields.takeWhole(SEQUENCE));
  const validity = fields.inner(SEQUENCE);
  const validFrom = readTime(validity);
  const validTo = readTime(validity);
  validity.end();
  const subject = readName(fields.takeWhole(SEQUENCE));
  const publicKey = fields.takeWhole(SEQUENCE);
  readWhole(publicKey, (reader) => {
    const key = reader.inner(SEQUENCE);
    key.take(SEQUENCE);
    key.take(BIT_STRING);
    key.end();
  });
  const extensions = readExtensions(fields.takeIf(CONTEXT_CONSTRUCTED | 3));
  fields.end(); // unique identifiers (§4.1.2.8) are not in use
  return {
    der,
    signed,
    version,
    serialNumber,
    issuer,
    subject,
    validFrom,
    validTo,
    publicKey,
    extensions,
    algorithm,
    signature,
  };
}

function readVersion(field: Uint8Array | undefined): number {
  if (field === undefined) return 1;
  const version = readWhole(field, (reader) => reader.smallInteger()) + 1;
  if (version === 2 || version === 3) return version;
  throw new Error(`X.509 has no version ${version}`);
}

/** §4.1.2.5. */
function readTime(validity: DerReader): number {
  const isShort = validity.tag === UTC_TIME;
  const text = String.fromCharCode(...validity.take(isShort ? UTC_TIME : GENERALIZED_TIME));
  const century = !isShort ? "" : Number(text.slice(0, 2)) < 50 ? "20" : "19";
  const iso = `${century}${text}`
    .replace(/^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/, "$1-$2-$3T$4:$5:$6.000Z");
  const time = Date.parse(iso);
  // Date.parse() turns a date that does not exist, such as the 30th of February, into another one.
  if (iso.length === 24 && !isNaN(time) && new Date(time).toISOString() === iso) return time;
  throw new Error("invalid time");
}

function readExtensions(field: Uint8Array | undefined): Map<string, Extension> {
  const extensions = new Map<string, Extension>();
  if (field === undefined) return extensions;
  const list = readWhole(field, (reader) => reader.inner(SEQUENCE));
  do {
    const extension = list.inner(SEQUENCE);
    const oid = extension.oid();
    // DER omits a default of `false`, but many authorities write it.
    const isCritical = extension.tag === BOOLEAN && extension.boolean();
    const value = extension.take(OCTET_STRING);
    extension.end();
    if (extensions.has(oid)) throw new Error(`the extension ${oidText(oid)} occurs twice`);
    extensions.set(oid, { isCritical, value });
  } while (!list.isAtEnd);
  return extensions;
}
