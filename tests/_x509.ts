// Certificates that are made byte by byte, because openssl would not make them.

import { Buffer } from "node:buffer";
import crypto, { type KeyObject } from "node:crypto";
import { concat } from "../_internal/concat.ts";

/** The kinds of keys that certificates are made with. */
export const KEY_KINDS = ["P-256", "P-384", "RSA", "Ed25519"] as const;
export type KeyKind = typeof KEY_KINDS[number];

export interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

export function makeKeys(kind: KeyKind | "secp256k1"): KeyPair {
  if (kind === "RSA") return crypto.generateKeyPairSync("rsa", { modulusLength: 2048 });
  if (kind === "Ed25519") return crypto.generateKeyPairSync("ed25519");
  return crypto.generateKeyPairSync("ec", { namedCurve: kind });
}

/** An element of DER. */
export function der(tag: number, ...content: (Uint8Array | number[])[]): Uint8Array {
  const bytes = concat(content.map((part) => Uint8Array.from(part)));
  const { length } = bytes;
  const header = length < 0x80
    ? [tag, length]
    : length < 0x100
    ? [tag, 0x81, length]
    : [tag, 0x82, length >> 8, length & 255];
  return concat([Uint8Array.from(header), bytes]);
}

export const sequence = (...content: Uint8Array[]): Uint8Array => der(0x30, ...content);
export const octets = (...content: Uint8Array[]): Uint8Array => der(0x04, ...content);
export const text = (tag: number, value: string): Uint8Array => der(tag, Buffer.from(value));
export const TRUE: Uint8Array = Uint8Array.of(0x01, 0x01, 0xff);

export function oid(dotted: string): Uint8Array {
  const [first, second, ...rest] = dotted.split(".").map(Number);
  const bytes = [first! * 40 + second!, ...rest].flatMap((number) => {
    const septets = [number & 0x7f];
    while ((number = Math.floor(number / 128)) > 0) septets.unshift(number & 0x7f | 0x80);
    return septets;
  });
  return der(0x06, bytes);
}

/** A Name of one common name. */
export function commonName(value: string, tag = 0x0c): Uint8Array {
  return sequence(der(0x31, sequence(oid("2.5.4.3"), text(tag, value))));
}

export function extension(id: string, value: Uint8Array, isCritical = false): Uint8Array {
  return sequence(oid(id), ...(isCritical ? [TRUE] : []), octets(value));
}

/** The extensions that most certificates have. */
export const forHost = (host: string): Uint8Array =>
  extension("2.5.29.17", sequence(text(0x82, host)));
export const ofLeaf: Uint8Array = extension("2.5.29.19", sequence(), true);
export const ofAuthority: Uint8Array = extension("2.5.29.19", sequence(TRUE), true);

/** A certificate before it is signed, field by field in DER. */
export interface Fields {
  version?: Uint8Array;
  serialNumber?: Uint8Array;
  algorithm?: Uint8Array;
  issuer: Uint8Array;
  validity?: Uint8Array;
  subject: Uint8Array;
  /** The key, or any bytes in its place. */
  publicKey: KeyObject | Uint8Array;
  /** The extensions, each as a complete element. */
  extensions?: Uint8Array[];
  /** The bytes between the key and the extensions. */
  uniqueIds?: Uint8Array;
}

/** Puts the fields together. */
export function toBeSigned(fields: Fields, key: KeyObject): Uint8Array {
  const {
    version = der(0xa0, der(0x02, [2])),
    serialNumber = der(0x02, crypto.randomBytes(8).map((byte, at) => at === 0 ? 1 : byte)),
    algorithm = algorithmOf(key),
    issuer,
    validity = validFor(),
    subject,
    publicKey,
    extensions = [],
    uniqueIds = new Uint8Array(),
  } = fields;
  const spki = publicKey instanceof Uint8Array
    ? publicKey
    : publicKey.export({ format: "der", type: "spki" });
  const all = extensions.length === 0 ? new Uint8Array() : der(0xa3, sequence(...extensions));
  return sequence(
    version,
    serialNumber,
    algorithm,
    issuer,
    validity,
    subject,
    spki,
    uniqueIds,
    all,
  );
}

const DAY = 86_400_000;

/** A validity from some days ago to some days from now. */
export function validFor(before = 1, after = 30): Uint8Array {
  const time = (days: number): Uint8Array => {
    const iso = new Date(Date.now() + days * DAY).toISOString();
    return text(0x17, `${iso.slice(2, 19).replaceAll(/\D/g, "")}Z`);
  };
  return sequence(time(-before), time(after));
}

/** Signs what is to be signed. */
export function signed(part: Uint8Array, key: KeyObject): Uint8Array {
  const signature = crypto.sign(hashOf(key), part, key);
  return sequence(part, algorithmOf(key), der(0x03, [0], signature));
}

/** A certificate of these fields. */
export function makeX509(fields: Fields, key: KeyObject): Uint8Array {
  return signed(toBeSigned(fields, key), key);
}

function hashOf(key: KeyObject): string | null {
  if (key.asymmetricKeyType === "ed25519") return null;
  return key.asymmetricKeyDetails?.namedCurve === "secp384r1" ? "sha384" : "sha256";
}

function algorithmOf(key: KeyObject): Uint8Array {
  if (key.asymmetricKeyType === "ed25519") return sequence(oid("1.3.101.112"));
  if (key.asymmetricKeyType === "rsa") {
    return sequence(oid("1.2.840.113549.1.1.11"), der(0x05));
  }
  return sequence(oid(`1.2.840.10045.4.3.${hashOf(key) === "sha384" ? 3 : 2}`));
}

/** The same in PEM. */
export function pemOf(...chain: Uint8Array[]): string {
  return chain.map((one) => {
    const lines = one.toBase64().match(/.{1,64}/g)!.join("\n");
    return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
  }).join("");
}
