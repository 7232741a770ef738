/** The names in certificates (RFC 5280 §4.1.2.4, §4.2.1.6). */

import {
  BIT_STRING,
  CONTEXT,
  CONTEXT_CONSTRUCTED,
  type DerReader,
  hex,
  oidText,
  readWhole,
  SEQUENCE,
  SET,
} from "./der.ts";

/** A distinguished name. */
export interface Name {
  /** The encoded name, for comparisons. */
  readonly der: Uint8Array;
  /** Such as `CN=ca,O=Garden`: in the certificate's order, escaped as in RFC 4514 §2.4. */
  readonly text: string;
  readonly attributes: readonly Attribute[];
}

interface Attribute {
  /** The object identifier in hexadecimal digits. */
  readonly oid: string;
  /** `undefined` if the value is a BIT STRING. */
  readonly text: string | undefined;
}

/** A name of any kind: of a host, a mailbox, a resource. */
export interface GeneralName {
  /** The kind of name: {@linkcode DNS_NAME} and the like. */
  readonly tag: number;
  readonly content: Uint8Array;
}

export const EMAIL: number = CONTEXT | 1;
export const DNS_NAME: number = CONTEXT | 2;
export const DIRECTORY_NAME: number = CONTEXT_CONSTRUCTED | 4;
export const URI: number = CONTEXT | 6;
export const IP_ADDRESS: number = CONTEXT | 7;
/** otherName, x400Address, ediPartyName, registeredID. */
const OTHER_NAMES = [
  CONTEXT_CONSTRUCTED,
  CONTEXT_CONSTRUCTED | 3,
  CONTEXT_CONSTRUCTED | 5,
  CONTEXT | 8,
];
const GENERAL_NAMES = new Set([EMAIL, DNS_NAME, DIRECTORY_NAME, URI, IP_ADDRESS, ...OTHER_NAMES]);

export const COMMON_NAME = "550403";
export const EMAIL_ADDRESS = "2a864886f70d010901";
/** The short names of RFC 4514 §3, and two others in wide use. */
const SHORT_NAMES = new Map([
  [COMMON_NAME, "CN"],
  ["550405", "serialNumber"],
  ["550406", "C"],
  ["550407", "L"],
  ["550408", "ST"],
  ["550409", "STREET"],
  ["55040a", "O"],
  ["55040b", "OU"],
  ["0992268993f22c640101", "UID"],
  ["0992268993f22c640119", "DC"],
  [EMAIL_ADDRESS, "emailAddress"],
]);

/** Parses a Name. */
export function readName(der: Uint8Array): Name {
  const attributes: Attribute[] = [];
  const parts: string[] = [];
  const sets = readWhole(der, (reader) => reader.inner(SEQUENCE));
  while (!sets.isAtEnd) {
    const set = sets.inner(SET);
    const pairs: string[] = [];
    do {
      const pair = set.inner(SEQUENCE);
      const oid = pair.oid();
      const [tag, content, whole] = pair.next();
      pair.end();
      const text = readText(tag, content);
      attributes.push({ oid, text });
      const shown = text === undefined ? `#${hex(whole)}` : escaped(text);
      pairs.push(`${SHORT_NAMES.get(oid) ?? oidText(oid)}=${shown}`);
    } while (!set.isAtEnd);
    parts.push(pairs.join("+"));
  }
  return { der, text: parts.join(","), attributes };
}

/** Reads a list of GeneralNames, at least one. */
export function readGeneralNames(list: DerReader): GeneralName[] {
  const names: GeneralName[] = [];
  do names.push(readGeneralName(list)); while (!list.isAtEnd);
  return names;
}

/** Reads the next GeneralName. */
export function readGeneralName(reader: DerReader): GeneralName {
  const [tag, content] = reader.next();
  if (!GENERAL_NAMES.has(tag)) throw new Error(`expected a name, found tag ${tag}`);
  return { tag, content };
}

/** One subjectAltName. */
export interface AltName {
  kind: "DNS" | "IP Address" | "email" | "URI";
  /** An IP address is in its shortest form. Bytes of other names that are not ASCII are read as Latin-1. */
  value: string;
}

const ALT_NAME_KINDS = new Map<number, AltName["kind"]>([
  [EMAIL, "email"],
  [DNS_NAME, "DNS"],
  [URI, "URI"],
  [IP_ADDRESS, "IP Address"],
]);

/** The names of the kinds that are used here. */
export function altNamesOf(names: readonly GeneralName[]): AltName[] {
  return names.flatMap(({ tag, content }) => {
    const kind = ALT_NAME_KINDS.get(tag);
    if (kind === undefined) return [];
    return { kind, value: tag === IP_ADDRESS ? ipText(content) : latin1(content) };
  });
}

function ipText(content: Uint8Array): string {
  if (content.length === 4) return content.join(".");
  if (content.length !== 16) return `#${hex(content)}`;
  const groups = Array.from({ length: 8 }, (_, i) => hex(content.subarray(i * 2, i * 2 + 2)));
  return shortIp(groups.join(":"));
}

/** The shortest form of an IP address (RFC 5952), for comparisons. */
export function shortIp(address: string): string {
  if (!address.includes(":")) return address;
  return new URL(`http://[${address.replace(/%.*/, "")}]`).hostname.slice(1, -1); // without a zone
}

/** Decodes Latin-1, which includes ASCII. A `TextDecoder` for "latin1" would decode windows-1252. */
export function latin1(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

// With `ignoreBOM`, a BOM is kept as a character.
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const utf16 = new TextDecoder("utf-16be", { fatal: true, ignoreBOM: true });

/** The text of an attribute; `undefined` for a BIT STRING. Throws at any other tag. */
function readText(tag: number, content: Uint8Array): string | undefined {
  switch (tag) {
    case BIT_STRING:
      return undefined;
    case 0x0c: // UTF8String
      return utf8.decode(content);
    case 0x12: // NumericString
    case 0x13: // PrintableString
    case 0x14: // T61String: in practice, Latin-1
    case 0x16: // IA5String
      return latin1(content);
    case 0x1e: // BMPString
      return utf16.decode(content);
  }
  throw new Error(`expected a text, found tag ${tag}`);
}

const encoder = new TextEncoder();

/** Escapes special characters. Invisible characters, and those that change the direction of text, become bytes. */
function escaped(text: string): string {
  return text
    .replaceAll(/[,+"\\<>;]|^[ #]| $/g, "\\$&")
    .replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (char) => {
      return Array.from(encoder.encode(char), (byte) => `\\${hex([byte])}`).join("");
    });
}
