// The cryptography of a hostile peer: the key schedules and ciphers of TLS 1.2 and 1.3.

import { Buffer } from "node:buffer";
import crypto, { type KeyObject } from "node:crypto";
import { concat } from "../_internal/concat.ts";

/** Reads the messages of the other side, which these tests trust. */
export class Bytes {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  take(count: number): Uint8Array {
    return this.#bytes.subarray(this.#at, this.#at += count);
  }

  number(width: number): number {
    return this.take(width).reduce((number, byte) => number * 256 + byte, 0);
  }

  vector(width: number): Uint8Array {
    return this.take(this.number(width));
  }
}

export function extensionsOf(list: Uint8Array): Map<number, Uint8Array> {
  const found = new Map<number, Uint8Array>();
  const all = new Bytes(list);
  while (!all.isAtEnd) found.set(all.number(2), all.vector(2));
  return found;
}

export const bytes = (part: Iterable<number>): Uint8Array => Uint8Array.from(part);

export function vector(width: number, ...parts: Iterable<number>[]): Uint8Array {
  const content = concat(parts.map(bytes));
  const length = Array.from({ length: width }, (_, i) => content.length >>> (8 * (width - 1 - i)));
  return concat([bytes(length), content]);
}

export function extension(type: number, ...parts: Iterable<number>[]): Uint8Array {
  return concat([bytes([0, type]), vector(2, ...parts)]);
}

export function message(type: number, ...parts: Iterable<number>[]): Uint8Array {
  return concat([bytes([type]), vector(3, ...parts)]);
}

/** An unencrypted record. */
export function recordOf(type: number, content: Uint8Array): Uint8Array {
  return concat([bytes([type, 3, 3]), vector(2, content)]);
}

/** Encrypts a record of a type. */
export type Sealing = (type: number, content: Uint8Array) => Uint8Array;

export function hashOf(bytes: Uint8Array): Uint8Array {
  return crypto.createHash("sha256").update(bytes).digest();
}

/** The signature scheme of a key (RFC 8446 §4.2.3), and its signature of some bytes. */
export function signature(key: KeyObject, signed: Uint8Array): Uint8Array {
  const curve = key.asymmetricKeyDetails?.namedCurve ?? "";
  const [scheme, hash] = SCHEMES[curve] ?? SCHEMES[key.asymmetricKeyType!]!;
  const padding = key.asymmetricKeyType === "rsa"
    ? { padding: crypto.constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }
    : {};
  return concat([
    bytes([scheme >> 8, scheme & 255]),
    vector(2, crypto.sign(hash, signed, { key, ...padding })),
  ]);
}

const SCHEMES: Record<string, [scheme: number, hash: string | null]> = {
  "prime256v1": [0x0403, "sha256"],
  "secp384r1": [0x0503, "sha384"],
  "secp521r1": [0x0603, "sha512"],
  "rsa": [0x0804, "sha256"],
  "ed25519": [0x0807, null],
};

const X25519_SPKI = Uint8Array.fromHex("302a300506032b656e032100");

export function agreed(privateKey: KeyObject, theirs: Uint8Array): Uint8Array {
  const der = Buffer.from(concat([X25519_SPKI, theirs]));
  const publicKey = crypto.createPublicKey({ key: der, format: "der", type: "spki" });
  return crypto.diffieHellman({ privateKey, publicKey });
}

function hmac(key: Uint8Array, ...parts: Uint8Array[]): Uint8Array {
  return crypto.createHmac("sha256", key).update(concat(parts)).digest();
}

/** RFC 8446 §7.1. */
export function expandLabel(
  secret: Uint8Array,
  label: string,
  context: Iterable<number>,
  length = 32,
): Uint8Array {
  const name = vector(1, Buffer.from(`tls13 ${label}`));
  return hmac(secret, bytes([0, length]), name, vector(1, context), bytes([1])).subarray(0, length);
}

export function handshakeSecret(shared: Uint8Array): Uint8Array {
  const early = hmac(new Uint8Array(32), new Uint8Array(32));
  return hmac(expandLabel(early, "derived", hashOf(new Uint8Array())), shared);
}

export function finished13(traffic: Uint8Array, transcript: Uint8Array): Uint8Array {
  return hmac(expandLabel(traffic, "finished", []), hashOf(transcript));
}

function keys13(traffic: Uint8Array): { key: Uint8Array; nonce: () => Uint8Array } {
  const iv = expandLabel(traffic, "iv", [], 12);
  let count = 0;
  const nonce = (): Uint8Array => {
    const next = bytes(iv);
    next[11]! ^= count++;
    return next;
  };
  return { key: expandLabel(traffic, "key", [], 16), nonce };
}

/** RFC 8446 §5.2. */
export function sealing13(traffic: Uint8Array): Sealing {
  const { key, nonce } = keys13(traffic);
  return (type, content) => {
    const header = recordOf(23, new Uint8Array(content.length + 17)).subarray(0, 5);
    return concat([header, seal(key, nonce(), header, concat([content, bytes([type])]))]);
  };
}

export function opening13(traffic: Uint8Array): (record: Uint8Array) => Uint8Array {
  const { key, nonce } = keys13(traffic);
  return (record) => {
    const decipher = crypto.createDecipheriv("aes-128-gcm", key, nonce());
    decipher.setAAD(record.subarray(0, 5));
    decipher.setAuthTag(record.subarray(-16));
    const inner = concat([decipher.update(record.subarray(5, -16)), decipher.final()]);
    return inner.subarray(0, inner.findLastIndex((byte) => byte !== 0));
  };
}

interface Secrets12 {
  master: Uint8Array;
  clientKey: Uint8Array;
  serverKey: Uint8Array;
  clientIv: Uint8Array;
  serverIv: Uint8Array;
}

export function secrets12(shared: Uint8Array, client: Uint8Array, server: Uint8Array): Secrets12 {
  const master = prf(shared, "master secret", concat([client, server]), 48);
  const block = new Bytes(prf(master, "key expansion", concat([server, client]), 40));
  const [clientKey, serverKey] = [block.take(16), block.take(16)];
  return { master, clientKey, serverKey, clientIv: block.take(4), serverIv: block.take(4) };
}

/** RFC 5246 §5. */
function prf(secret: Uint8Array, label: string, seed: Uint8Array, length: number): Uint8Array {
  const labelled = concat([Buffer.from(label), seed]);
  const blocks: Uint8Array[] = [];
  for (let a = labelled; blocks.length * 32 < length;) {
    a = hmac(secret, a);
    blocks.push(hmac(secret, a, labelled));
  }
  return concat(blocks).subarray(0, length);
}

export function finished12(master: Uint8Array, role: string, transcript: Uint8Array): Uint8Array {
  return prf(master, `${role} finished`, hashOf(transcript), 12);
}

/** RFC 5288 §3. */
export function sealing12(key: Uint8Array, iv: Uint8Array): Sealing {
  let count = 0;
  return (type, content) => {
    const number = bytes([0, 0, 0, 0, 0, 0, 0, count++]);
    const header = concat([number, recordOf(type, content).subarray(0, 5)]);
    const sealed = seal(key, concat([iv, number]), header, content);
    return recordOf(type, concat([number, sealed]));
  };
}

/** The ciphertext with its authentication tag, which also covers the header. */
function seal(
  key: Uint8Array,
  nonce: Uint8Array,
  header: Uint8Array,
  content: Uint8Array,
): Uint8Array {
  const cipher = crypto.createCipheriv("aes-128-gcm", key, nonce);
  cipher.setAAD(header);
  return concat([cipher.update(content), cipher.final(), cipher.getAuthTag()]);
}
