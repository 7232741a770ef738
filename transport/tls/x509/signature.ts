/** Verifies signatures of certificates (RFC 5280 §4.1.1.2), with the algorithms that TLS libraries accept today. */

import { lazy } from "../../lazy.ts";
import { Buffer } from "node:buffer";
import { hex, readWhole, SEQUENCE } from "./der.ts";
import type { Certificate } from "./certificate.ts";

type Kind = "RSA" | "EC" | "Ed25519";

interface Algorithm {
  readonly kind: Kind;
  readonly hash: string | null;
  /** For RSA-PSS, in bytes. */
  readonly saltLength?: number;
}

/** By AlgorithmIdentifier: RFC 4055 §5 and §3.1, RFC 5758 §3.2, RFC 8410 §3. None with SHA-1 or older hashes. */
const ALGORITHMS = new Map<string, Algorithm>([
  ["300d06092a864886f70d01010b0500", { kind: "RSA", hash: "sha256" }],
  ["300d06092a864886f70d01010c0500", { kind: "RSA", hash: "sha384" }],
  ["300d06092a864886f70d01010d0500", { kind: "RSA", hash: "sha512" }],
  [pss("01", "20"), { kind: "RSA", hash: "sha256", saltLength: 32 }],
  [pss("02", "30"), { kind: "RSA", hash: "sha384", saltLength: 48 }],
  [pss("03", "40"), { kind: "RSA", hash: "sha512", saltLength: 64 }],
  ["300a06082a8648ce3d040302", { kind: "EC", hash: "sha256" }],
  ["300a06082a8648ce3d040303", { kind: "EC", hash: "sha384" }],
  ["300a06082a8648ce3d040304", { kind: "EC", hash: "sha512" }],
  ["300506032b6570", { kind: "Ed25519", hash: null }],
]);

/** RSA-PSS with the same hash for MGF1 and a salt of the length of the hash. The arguments are hexadecimal digits. */
function pss(hash: string, saltLength: string): string {
  const hashed = `300d06096086480165030402${hash}0500`;
  return `304106092a864886f70d01010a3034a00f${hashed}a11c301a06092a864886f70d010108${hashed}a20302` +
    `01${saltLength}`;
}

/** By the AlgorithmIdentifier in the SubjectPublicKeyInfo: RFC 3279 §2.3.1, RFC 5480 §2.1.1, RFC 8410 §3. */
const KEYS = new Map<string, { kind: Kind; length?: number }>([
  ["300d06092a864886f70d0101010500", { kind: "RSA" }],
  ["301306072a8648ce3d020106082a8648ce3d030107", { kind: "EC", length: 1 + 2 * 32 }],
  ["301006072a8648ce3d020106052b81040022", { kind: "EC", length: 1 + 2 * 48 }],
  ["301006072a8648ce3d020106052b81040023", { kind: "EC", length: 1 + 2 * 66 }],
  ["300506032b6570", { kind: "Ed25519", length: 32 }],
]);

const MIN_RSA_BITS = 2048;
/** A peer could keep this side busy with larger keys and exponents. */
const MAX_RSA_BITS = 8192;
const MAX_RSA_EXPONENT_BITS = 33;
const UNCOMPRESSED = 4;

/** The kind of a key. Throws unless the key is accepted. */
export function keyKind(publicKey: Uint8Array): Kind {
  const fields = readWhole(publicKey, (reader) => reader.inner(SEQUENCE));
  const known = KEYS.get(hex(fields.takeWhole(SEQUENCE)));
  if (known === undefined) throw new Error("has a key of a kind that is not accepted");
  const key = fields.bytesOfBits();
  if (known.kind === "RSA") checkRsa(key);
  else if (key.length !== known.length || known.kind === "EC" && key[0] !== UNCOMPRESSED) {
    throw new Error("has a malformed key");
  }
  return known.kind;
}

function checkRsa(key: Uint8Array): void {
  const fields = readWhole(key, (reader) => reader.inner(SEQUENCE));
  const bits = bitsOf(fields.integer());
  const exponentBits = bitsOf(fields.integer());
  fields.end();
  if (bits < MIN_RSA_BITS || bits > MAX_RSA_BITS) {
    throw new Error(`has an RSA key of ${bits} bits, must be ${MIN_RSA_BITS} to ${MAX_RSA_BITS}`);
  }
  if (exponentBits < 2 || exponentBits > MAX_RSA_EXPONENT_BITS) {
    throw new Error(
      `has an RSA key with an exponent of ${exponentBits} bits, must be 2 to ${MAX_RSA_EXPONENT_BITS}`,
    );
  }
}

/** A non-negative number without its leading zero. Throws if it is negative. */
function unsigned(integer: Uint8Array): Uint8Array {
  if (integer[0]! >= 0x80) throw new Error("a number is negative");
  return integer[0] === 0 ? integer.subarray(1) : integer;
}

function bitsOf(integer: Uint8Array): number {
  const bytes = unsigned(integer);
  return bytes.length === 0 ? 0 : bytes.length * 8 - Math.clz32(bytes[0]!) + 24;
}

/** How many good signatures are remembered. */
const MAX_KNOWN = 10_000;

/** Verifies signatures, and remembers the good ones: to verify one takes up to 2 ms. */
export class Signatures {
  readonly #known: Set<string> = new Set();

  /** Throws unless the bytes of the certificate, exactly as received, are signed with the issuer's key. */
  check(certificate: Certificate, issuer: Certificate): void {
    const { publicKey } = issuer; // contains its own length, so the concatenation is unambiguous
    const digest = lazy.crypto.createHash("sha256").update(publicKey).update(certificate.der)
      .digest("base64");
    if (!this.#known.delete(digest)) checkSignature(certificate, issuer);
    if (this.#known.size === MAX_KNOWN) this.#known.delete(this.#known.values().next().value!);
    this.#known.add(digest);
  }
}

function checkSignature(certificate: Certificate, issuer: Certificate): void {
  const algorithm = ALGORITHMS.get(hex(certificate.algorithm));
  if (algorithm === undefined) throw new Error("has a signature algorithm that is not accepted");
  if (keyKind(issuer.publicKey) === algorithm.kind && isSigned(certificate, issuer, algorithm)) {
    return;
  }
  throw new Error("has a bad signature");
}

function isSigned(
  { signed, signature }: Certificate,
  { publicKey }: Certificate,
  { kind, hash, saltLength }: Algorithm,
): boolean {
  try {
    if (kind === "EC") checkEcdsa(signature);
    const key = lazy.crypto.createPublicKey({
      key: Buffer.from(publicKey),
      format: "der",
      type: "spki",
    });
    const padding = saltLength === undefined
      ? {}
      : { padding: lazy.crypto.constants.RSA_PKCS1_PSS_PADDING, saltLength };
    return lazy.crypto.verify(hash, signed, { key, ...padding }, signature);
  } catch {
    return false;
  }
}

/** Throws unless the signature is two numbers in DER (RFC 5480 §A). */
function checkEcdsa(signature: Uint8Array): void {
  const numbers = readWhole(signature, (reader) => reader.inner(SEQUENCE));
  unsigned(numbers.integer());
  unsigned(numbers.integer());
  numbers.end();
}
