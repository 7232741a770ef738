import { checkBytes, checkInteger, shown } from "../_internal/checks.ts";
import { concat } from "../_internal/concat.ts";
import { crc32c } from "./crc32c.ts";
import { ProxyHeaderError } from "../errors.ts";
import { decodeText, type ProxyHeaderInit } from "./header.ts";
import type { ProxyHeader, ProxyTls } from "./header.ts";

/** The longest host name that HAProxy accepts. The specification has no limit; that of the DNS is lower. */
const MAX_AUTHORITY = 255;
/** §2.2.5 */
const MAX_UNIQUE_ID = 128;

const ALPN = 0x01;
const AUTHORITY = 0x02;
const CRC32C = 0x03;
const NOOP = 0x04;
const UNIQUE_ID = 0x05;
const SSL = 0x20;
const NETNS = 0x30;

/** The types that have a property of their own in a header. */
const NAMES: ReadonlyMap<number, string> = new Map([
  [ALPN, "PP2_TYPE_ALPN"],
  [AUTHORITY, "PP2_TYPE_AUTHORITY"],
  [CRC32C, "PP2_TYPE_CRC32C"],
  [UNIQUE_ID, "PP2_TYPE_UNIQUE_ID"],
  [SSL, "PP2_TYPE_SSL"],
  [NETNS, "PP2_TYPE_NETNS"],
]);

/**
 * The types that may occur several times: the last one counts, as in HAProxy and Envoy. TLS, which identifies a client,
 * must be unambiguous. The checksum is computed over a header with zeros in its place, so there can be only one.
 */
const LAST_COUNTS: ReadonlySet<number> = new Set([ALPN, AUTHORITY, UNIQUE_ID, NETNS]);

const SSL_CN = 0x22;
const SSL_CLIENT_CERT = 0x28;
/** The texts within `PP2_TYPE_SSL`. Those from 0x26 on were added for HAProxy 3.4. */
const TLS_TEXTS: readonly (readonly [type: number, name: string, field: TlsText])[] = [
  [0x21, "PP2_SUBTYPE_SSL_VERSION", "version"],
  [SSL_CN, "PP2_SUBTYPE_SSL_CN", "commonName"],
  [0x23, "PP2_SUBTYPE_SSL_CIPHER", "cipher"],
  [0x24, "PP2_SUBTYPE_SSL_SIG_ALG", "signatureAlgorithm"],
  [0x25, "PP2_SUBTYPE_SSL_KEY_ALG", "keyAlgorithm"],
  [0x26, "PP2_SUBTYPE_SSL_GROUP", "group"],
  [0x27, "PP2_SUBTYPE_SSL_SIG_SCHEME", "signatureScheme"],
];
const TLS_NAMES: ReadonlyMap<number, string> = new Map([
  ...TLS_TEXTS.map(([type, name]) => [type, name] as const),
  [SSL_CLIENT_CERT, "PP2_SUBTYPE_SSL_CLIENT_CERT"],
]);

const CLIENT_SSL = 1;
const CLIENT_CERT_CONN = 2;
const CLIENT_CERT_SESS = 4;

type TlsText = Exclude<keyof ProxyTls, "certificate" | ClientBit>;
type ClientBit = "secure" | "certificateOnConnection" | "certificateInSession" | "verified";
type Fields = Pick<ProxyHeader, "tlvs" | "alpn" | "authority" | "uniqueId" | "netns" | "tls">;

/** A field, and the position of its value. */
interface Tlv {
  readonly type: number;
  readonly name: string;
  readonly start: number;
  readonly end: number;
}

/** Decodes the fields of a complete header, from `start` on (§2.2.1 to 2.2.7). */
export function decodeTlvs(header: Uint8Array, start: number): Fields {
  const fields: Fields = { tlvs: [] };
  for (const tlv of split(header, start, header.length, NAMES)) decodeTlv(header, tlv, fields);
  return fields;
}

/** Whether the header consists of fields from `start` on: whether their lengths add up. */
export function areTlvs(header: Uint8Array, start: number): boolean {
  let at = start;
  while (header.length - at >= 3) at += 3 + (header[at + 1]! << 8 | header[at + 2]!);
  return at === header.length;
}

function decodeTlv(header: Uint8Array, tlv: Tlv, fields: Fields): void {
  switch (tlv.type) {
    case ALPN:
      fields.alpn = copy(header, tlv);
      break;
    case AUTHORITY:
      checkSize(tlv, MAX_AUTHORITY);
      fields.authority = decodeText(header, tlv.start, tlv.end, tlv.name);
      break;
    case CRC32C:
      checkCrc(header, tlv);
      break;
    case NOOP:
      break;
    case UNIQUE_ID:
      checkSize(tlv, MAX_UNIQUE_ID);
      fields.uniqueId = copy(header, tlv);
      break;
    case SSL:
      fields.tls = decodeTls(header, tlv);
      break;
    case NETNS:
      fields.netns = decodeAscii(header, tlv);
      break;
    default:
      fields.tlvs.push({ type: tlv.type, value: copy(header, tlv) });
  }
}

/** Splits the bytes between two positions into fields. */
function split(
  header: Uint8Array,
  start: number,
  end: number,
  names: ReadonlyMap<number, string>,
): Tlv[] {
  const tlvs: Tlv[] = [];
  const seen = new Set<number>();
  for (let at = start; at < end; at = tlvs.at(-1)!.end) {
    const tlv = tlvAt(header, at, end, names);
    if (seen.has(tlv.type)) throw new ProxyHeaderError(`${tlv.name} must not occur twice`, at);
    if (names.has(tlv.type) && !LAST_COUNTS.has(tlv.type)) seen.add(tlv.type);
    tlvs.push(tlv);
  }
  return tlvs;
}

function tlvAt(
  header: Uint8Array,
  at: number,
  end: number,
  names: ReadonlyMap<number, string>,
): Tlv {
  if (end - at < 3) {
    throw new ProxyHeaderError(`a field has 3 bytes or more, but ${end - at} are left`, at);
  }
  const type = header[at]!;
  const name = names.get(type) ?? `a field of type ${type}`;
  const length = header[at + 1]! << 8 | header[at + 2]!;
  const left = end - at - 3;
  if (length > left) {
    throw new ProxyHeaderError(`${name} claims ${length} bytes, but ${left} are left`, at + 1);
  }
  return { type, name, start: at + 3, end: at + 3 + length };
}

function copy(header: Uint8Array, { start, end }: Tlv): Uint8Array {
  return new Uint8Array(header.subarray(start, end));
}

function checkSize({ name, start, end }: Tlv, limit: number): void {
  if (end - start <= limit) return;
  throw new ProxyHeaderError(`${name} must have at most ${limit} bytes, got ${end - start}`, start);
}

function decodeAscii(header: Uint8Array, { name, start, end }: Tlv): string {
  const at = header.subarray(start, end).findIndex((byte) => byte >= 0x80);
  if (at !== -1) throw new ProxyHeaderError(`${name} must be ASCII`, start + at);
  return decodeText(header, start, end, name);
}

/** Checks the checksum, which is that of the whole header with zeros in its place (§2.2.3). */
function checkCrc(header: Uint8Array, { name, start, end }: Tlv): void {
  if (end - start !== 4) {
    throw new ProxyHeaderError(`${name} must have 4 bytes, got ${end - start}`, start);
  }
  const got = new DataView(header.buffer, header.byteOffset).getUint32(start);
  const before = crc32c(new Uint8Array(4), crc32c(header.subarray(0, start)));
  const computed = crc32c(header.subarray(end), before);
  if (got === computed) return;
  const values = [got, computed].map((value) => value.toString(16).padStart(8, "0"));
  throw new ProxyHeaderError(`${name} is ${values[0]}, but the checksum is ${values[1]}`, start);
}

function decodeTls(header: Uint8Array, { name, start, end }: Tlv): ProxyTls {
  if (end - start < 5) {
    throw new ProxyHeaderError(`${name} must have 5 bytes or more, got ${end - start}`, start);
  }
  const client = header[start]!;
  const hasCertificate = (client & (CLIENT_CERT_CONN | CLIENT_CERT_SESS)) !== 0;
  const tls: ProxyTls = {
    secure: (client & CLIENT_SSL) !== 0,
    certificateOnConnection: (client & CLIENT_CERT_CONN) !== 0,
    certificateInSession: (client & CLIENT_CERT_SESS) !== 0,
    // HAProxy reports success (0) also if there is no certificate.
    verified: hasCertificate && header.subarray(start + 1, start + 5).every((byte) => byte === 0),
  };
  for (const tlv of split(header, start + 5, end, TLS_NAMES)) {
    const field = TLS_TEXTS.find(([type]) => type === tlv.type)?.[2];
    if (tlv.type === SSL_CN) tls.commonName = decodeText(header, tlv.start, tlv.end, tlv.name);
    else if (tlv.type === SSL_CLIENT_CERT) tls.certificate = copy(header, tlv);
    else if (field !== undefined) tls[field] = decodeAscii(header, tlv);
  }
  return tls;
}

/** Encodes the fields: those with a property in the order of their types, then `tlvs`. */
export function encodeTlvs(init: ProxyHeaderInit): Uint8Array[] {
  const { alpn, authority, uniqueId, netns, tls, tlvs = [] } = init;
  const parts: Uint8Array[] = [];
  if (alpn !== undefined) parts.push(tlv("alpn", ALPN, alpn));
  if (authority !== undefined) {
    parts.push(tlv("authority", AUTHORITY, utf8("authority", authority), MAX_AUTHORITY));
  }
  if (uniqueId !== undefined) parts.push(tlv("uniqueId", UNIQUE_ID, uniqueId, MAX_UNIQUE_ID));
  if (tls !== undefined) parts.push(tlv("tls", SSL, encodeTls(tls)));
  if (netns !== undefined) parts.push(tlv("netns", NETNS, ascii("netns", netns)));
  for (const [index, { type, value }] of tlvs.entries()) {
    checkInteger(`tlvs[${index}].type`, type, 0, 255);
    if (NAMES.has(type)) {
      throw new TypeError(`tlvs[${index}] is ${NAMES.get(type)}, which has a property of its own`);
    }
    parts.push(tlv(`tlvs[${index}].value`, type, value));
  }
  return parts;
}

/** The field for a checksum, without its value. It must be the last one. */
export const CRC_PLACEHOLDER: Uint8Array = Uint8Array.of(CRC32C, 0, 4, 0, 0, 0, 0);

/** Writes the checksum of a header that ends with the placeholder. */
export function seal(header: Uint8Array): void {
  new DataView(header.buffer, header.byteOffset).setUint32(header.length - 4, crc32c(header));
}

function encodeTls(tls: ProxyTls): Uint8Array {
  const { secure, certificateOnConnection, certificateInSession, verified, certificate } = tls;
  if (verified && !certificateOnConnection && !certificateInSession) {
    throw new TypeError("tls.verified needs certificateOnConnection or certificateInSession");
  }
  const client = (secure ? CLIENT_SSL : 0) | (certificateOnConnection ? CLIENT_CERT_CONN : 0) |
    (certificateInSession ? CLIENT_CERT_SESS : 0);
  const parts: Uint8Array[] = [Uint8Array.of(client, 0, 0, 0, verified ? 0 : 1)];
  for (const [type, , field] of TLS_TEXTS) {
    const value = tls[field];
    if (value === undefined) continue;
    const encode = type === SSL_CN ? utf8 : ascii;
    parts.push(tlv(`tls.${field}`, type, encode(`tls.${field}`, value)));
  }
  if (certificate !== undefined) parts.push(tlv("tls.certificate", SSL_CLIENT_CERT, certificate));
  return concat(parts);
}

function tlv(name: string, type: number, value: Uint8Array, limit: number = 0xffff): Uint8Array {
  const { length } = checkBytes(name, value);
  if (length > limit) {
    throw new RangeError(`${name} must have at most ${limit} bytes, got ${length}`);
  }
  return concat([Uint8Array.of(type, length >> 8, length & 0xff), value]);
}

function utf8(name: string, value: string): Uint8Array {
  if (typeof value !== "string") {
    throw new TypeError(`${name} must be a string, got ${shown(value)}`);
  }
  if (!value.isWellFormed()) throw new TypeError(`${name} contains a lone surrogate`);
  return new TextEncoder().encode(value);
}

function ascii(name: string, value: string): Uint8Array {
  const bytes = utf8(name, value);
  if (bytes.length === value.length) return bytes;
  throw new TypeError(`${name} must be ASCII, got ${JSON.stringify(value)}`);
}
