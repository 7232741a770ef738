/**
 * What an X.509 certificate says about whom it names (RFC 5280), read from its DER.
 *
 * `X509Certificate` of `node:crypto` gives names as one text, and in Deno 2.9.6 without escapes: a certificate for
 * the one name `a.example, DNS:b.example` looks as if it were for two. So names are read here, one by one.
 */

const encoder = new TextEncoder();
const latin1 = new TextDecoder("latin1");
const utf8 = new TextDecoder("utf-8", { fatal: true });
const utf16 = new TextDecoder("utf-16be");

/** The names in a certificate. */
export interface CertificateNames {
  /** The version of X.509: 1 to 3. */
  version: number;
  /** Who has signed it, such as `CN=ca,O=Garden`: in the certificate's order, escaped as in RFC 4514 §2.4. */
  issuer: string;
  /** Whom it names, written in the same way. */
  subject: string;
  /** Its subjectAltNames (§4.2.1.6), apart from the kinds that are of no use here. */
  altNames: AltName[];
}

/** One subjectAltName. */
export interface AltName {
  kind: "DNS" | "IP Address" | "email" | "URI";
  /** An IP address in its shortest form; text of the others, where anything that is not ASCII is Latin-1. */
  value: string;
}

/** Reads the names. Throws if the bytes are no certificate. */
export function readNames(der: Uint8Array): CertificateNames {
  const certificate = new Reader(new Reader(der).take(SEQUENCE));
  const fields = new Reader(certificate.take(SEQUENCE));
  const version = fields.takeIf(CONTEXT | CONSTRUCTED);
  fields.take(INTEGER); // its number
  fields.take(SEQUENCE); // the signature's algorithm
  const issuer = nameText(fields.take(SEQUENCE));
  fields.take(SEQUENCE); // its validity
  const subject = nameText(fields.take(SEQUENCE));
  const names: CertificateNames = {
    version: version === undefined ? 1 : (new Reader(version).take(INTEGER)[0] ?? 0) + 1,
    issuer,
    subject,
    altNames: [],
  };
  while (!fields.isAtEnd) {
    const [tag, content] = fields.next();
    if (tag === (CONTEXT | CONSTRUCTED | 3)) names.altNames = altNamesOf(content);
  }
  return names;
}

/** The subjectAltNames in a certificate's extensions. */
function altNamesOf(wrapped: Uint8Array): AltName[] {
  const extensions = new Reader(new Reader(wrapped).take(SEQUENCE));
  const altNames: AltName[] = [];
  while (!extensions.isAtEnd) {
    const extension = new Reader(extensions.take(SEQUENCE));
    const isAltName = oidText(extension.take(OBJECT_IDENTIFIER)) === "2.5.29.17";
    extension.takeIf(BOOLEAN); // whether it is critical
    const value = extension.take(OCTET_STRING);
    if (!isAltName) continue;
    const names = new Reader(new Reader(value).take(SEQUENCE));
    while (!names.isAtEnd) {
      const [tag, content] = names.next();
      const kind = ALT_NAME_KINDS.get(tag);
      if (kind === undefined) continue;
      altNames.push({
        kind,
        value: kind === "IP Address" ? ipText(content) : latin1.decode(content),
      });
    }
  }
  return altNames;
}

const BOOLEAN = 0x01;
const INTEGER = 0x02;
const OCTET_STRING = 0x04;
const OBJECT_IDENTIFIER = 0x06;
const BMP_STRING = 0x1e;
const CONSTRUCTED = 0x20;
const SEQUENCE = 0x10 | CONSTRUCTED;
const SET = 0x11 | CONSTRUCTED;
const CONTEXT = 0x80;

/** The strings of a name that are read as text: UTF8String, PrintableString, T61String, IA5String, BMPString. */
const TEXT_TAGS = new Set([0x0c, 0x13, 0x14, 0x16, BMP_STRING]);
const ALT_NAME_KINDS = new Map<number, AltName["kind"]>([
  [CONTEXT | 1, "email"],
  [CONTEXT | 2, "DNS"],
  [CONTEXT | 6, "URI"],
  [CONTEXT | 7, "IP Address"],
]);
/** The short names of RFC 4514 §3, and two more that are in wide use. */
const ATTRIBUTES = new Map([
  ["2.5.4.3", "CN"],
  ["2.5.4.5", "serialNumber"],
  ["2.5.4.6", "C"],
  ["2.5.4.7", "L"],
  ["2.5.4.8", "ST"],
  ["2.5.4.9", "STREET"],
  ["2.5.4.10", "O"],
  ["2.5.4.11", "OU"],
  ["0.9.2342.19200300.100.1.1", "UID"],
  ["0.9.2342.19200300.100.1.25", "DC"],
  ["1.2.840.113549.1.9.1", "emailAddress"],
]);

/** Goes through the elements of DER one after the other, as tag, length and content (X.690 §8.1). */
class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  next(): [tag: number, content: Uint8Array] {
    const tag = this.#byte();
    if ((tag & 0x1f) === 0x1f) throw new Error("a tag of more than one byte");
    let length = this.#byte();
    if (length >= 0x80) {
      let width = length & 0x7f;
      if (width === 0 || width > 4) throw new Error("a length of no use");
      length = 0;
      while (width-- > 0) length = length * 256 + this.#byte();
    }
    const start = this.#at;
    this.#at += length;
    if (this.#at > this.#bytes.length) throw new Error("an element is cut off");
    return [tag, this.#bytes.subarray(start, this.#at)];
  }

  /** The content of the next element, which has to have this tag. */
  take(wanted: number): Uint8Array {
    const [tag, content] = this.next();
    if (tag !== wanted) throw new Error(`tag ${tag} stands where ${wanted} should`);
    return content;
  }

  /** The same, or `undefined` where something else comes. */
  takeIf(wanted: number): Uint8Array | undefined {
    return this.#bytes[this.#at] === wanted ? this.take(wanted) : undefined;
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw new Error("an element is cut off");
    return byte;
  }
}

function nameText(content: Uint8Array): string {
  const sets = new Reader(content);
  const parts: string[] = [];
  while (!sets.isAtEnd) {
    const set = new Reader(sets.take(SET));
    const pairs: string[] = [];
    while (!set.isAtEnd) {
      const pair = new Reader(set.take(SEQUENCE));
      const oid = oidText(pair.take(OBJECT_IDENTIFIER));
      pairs.push(`${ATTRIBUTES.get(oid) ?? oid}=${attributeText(...pair.next())}`);
    }
    parts.push(pairs.join("+"));
  }
  return parts.join(",");
}

function attributeText(tag: number, content: Uint8Array): string {
  if (!TEXT_TAGS.has(tag)) return `#${hex(content)}`;
  const decoder = tag === 0x0c ? utf8 : tag === BMP_STRING ? utf16 : latin1;
  return decoder.decode(content)
    .replaceAll(/[,+"\\<>;]|^[ #]| $/g, "\\$&")
    .replaceAll(/\p{Cc}/gu, (char) => {
      return Array.from(encoder.encode(char), (byte) => `\\${hex([byte])}`).join("");
    });
}

function oidText(content: Uint8Array): string {
  const numbers: number[] = [];
  let number = 0;
  for (const byte of content) {
    number = number * 128 + (byte & 0x7f);
    if (byte >= 0x80) continue;
    if (numbers.length === 0) {
      const first = Math.min(2, Math.floor(number / 40));
      numbers.push(first, number - first * 40);
    } else numbers.push(number);
    number = 0;
  }
  return numbers.join(".");
}

function ipText(content: Uint8Array): string {
  if (content.length === 4) return content.join(".");
  if (content.length !== 16) return `#${hex(content)}`;
  const groups = Array.from({ length: 8 }, (_, i) => hex(content.subarray(i * 2, i * 2 + 2)));
  return shortIp(groups.join(":"));
}

/** The shortest form of an IP address (RFC 5952), so that two can be compared. */
export function shortIp(address: string): string {
  if (!address.includes(":")) return address;
  return new URL(`http://[${address.replace(/%.*/, "")}]`).hostname.slice(1, -1); // without a zone
}

function hex(bytes: ArrayLike<number>): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
