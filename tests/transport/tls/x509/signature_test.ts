import { assertEquals, assertThrows } from "@std/assert";
import type crypto from "node:crypto";
import { readCertificate } from "../../../../transport/tls/x509/certificate.ts";
import { Signatures } from "../../../../transport/tls/x509/signature.ts";
import { commonName, der, KEY_KINDS, makeKeys, makeX509, oid, sequence } from "../../../_x509.ts";

const pure = { permissions: "none" } as const;
const subject = commonName("x");

for (const kind of KEY_KINDS) {
  Deno.test(`Signatures.check() accepts a good signature, repeatedly (${kind})`, pure, () => {
    const [keys, others] = [makeKeys(kind), makeKeys(kind)];
    const fields = { issuer: subject, subject };
    const by = (publicKey: crypto.KeyObject, privateKey: crypto.KeyObject) =>
      readCertificate(makeX509({ ...fields, publicKey }, privateKey));
    const issuer = by(keys.publicKey, keys.privateKey);
    const good = by(others.publicKey, keys.privateKey);
    const bad = by(others.publicKey, others.privateKey);
    const signatures = new Signatures();
    for (let round = 0; round < 2; round++) {
      signatures.check(good, issuer);
      assertThrows(() => signatures.check(bad, issuer), Error, "has a bad signature");
      assertThrows(() => signatures.check(good, bad), Error, "has a bad signature");
    }
  });
}

Deno.test("Signatures.check() refuses an ECDSA signature in another encoding", pure, () => {
  const { publicKey, privateKey } = makeKeys("P-256");
  const whole = makeX509({ issuer: subject, subject, publicKey }, privateKey);
  const issuer = readCertificate(whole);
  const { signed, algorithm, signature } = issuer;
  new Signatures().check(issuer, issuer);
  const numbers = signature.subarray(2);
  const padded = Uint8Array.of(0x02, numbers[1]! + 1, 0, ...numbers.subarray(2));
  for (
    const other of [
      der(0x30, numbers, [0x05, 0x00]),
      Uint8Array.of(0x30, 0x81, numbers.length, ...numbers),
      der(0x30, padded),
      Uint8Array.of(...signature, 0),
    ]
  ) {
    const certificate = readCertificate(sequence(signed, algorithm, der(0x03, [0], other)));
    assertThrows(() => new Signatures().check(certificate, issuer), Error, "has a bad signature");
  }
});

/** An RSA key, in DER, of as many bits and with an exponent of as many bits. */
function rsaKey(bits: number, exponentBits: number): Uint8Array {
  const number = (bits: number): Uint8Array => {
    const bytes = new Uint8Array(Math.floor(bits / 8) + 1).fill(0xff);
    bytes[0] = 2 ** (bits % 8) - 1;
    return der(0x02, bytes);
  };
  const key = sequence(number(bits), number(exponentBits));
  return sequence(sequence(oid("1.2.840.113549.1.1.1"), der(0x05)), der(0x03, [0], key));
}

Deno.test("Signatures.check() uses no key that would keep it busy", pure, () => {
  const { publicKey, privateKey } = makeKeys("RSA");
  const certificate = readCertificate(
    makeX509({ issuer: subject, subject, publicKey }, privateKey),
  );
  const problems = [[2047, 17], [8193, 17], [2048, 34], [2048, 1], [2048, 33], [8192, 17]]
    .map(([bits, exponentBits]) => {
      const publicKey = rsaKey(bits!, exponentBits!);
      const issuer = readCertificate(makeX509({ issuer: subject, subject, publicKey }, privateKey));
      try {
        new Signatures().check(certificate, issuer);
      } catch (error) {
        return (error as Error).message;
      }
    });
  assertEquals(problems, [
    "has an RSA key of 2047 bits, must be 2048 to 8192",
    "has an RSA key of 8193 bits, must be 2048 to 8192",
    "has an RSA key with an exponent of 34 bits, must be 2 to 33",
    "has an RSA key with an exponent of 1 bits, must be 2 to 33",
    "has a bad signature",
    "has a bad signature",
  ]);
});
