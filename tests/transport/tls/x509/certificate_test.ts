import { assertEquals, assertThrows } from "@std/assert";
import { readCertificate } from "../../../../transport/tls/x509/certificate.ts";
import { readExtensions } from "../../../../transport/tls/x509/extensions.ts";
import { altNamesOf } from "../../../../transport/tls/x509/names.ts";
import { der, makeKeys, makeX509, sequence } from "../../../_x509.ts";

/** A certificate that openssl has made, with all that names may hold. */
const DER = Uint8Array.fromBase64(`
MIICRTCCAeqgAwIBAgIBBzAKBggqhkjOPQQDAjANMQswCQYDVQQDDAJjYTAgFw0yNjExMjMyMzAyNDJaGA8yMTI2MTAzMDIz
MDI0MlowezEVMBMGA1UEAwwMUsO2c2UsICJBK0IiMREwDwYDVQQKDAggR2FyZGVuIDEiMA4GA1UECwwHI3NlY29uZDAQBgoJ
kiaJk/IsZAEBDAJ1MTEXMBUGCgmSJomT8ixkARkWB2V4YW1wbGUxEjAQBgkqhkiG9w0BCQEWA2FAYjBZMBMGByqGSM49AgEG
CCqGSM49AwEHA0IABOO0fRhPAzZijU4C/htwPKOHf4csShnSTJDBUKdeXQqJZTFhtSn+9mMqR2G6n8MJwlE5b/oB+tHcZQ6W
P+dtC5WjgcowgccwdQYDVR0RBG4wbIIYeC5leGFtcGxlLCBETlM6bG9jYWxob3N0gg0qLmV4YW1wbGUub3JnhhBodHRwczov
L2EvLEROUzpigQNyQHiHEAAAAAAAAAAAAAAAAAAAAAGHBMAAAgGgDgYDKgMEoAcMBWhlbGxviAIqAzAOBgNVHQ8BAf8EBAMC
B4AwHQYDVR0OBBYEFD5wMFHNGMg3AW5ofV75ZetmZxKcMB8GA1UdIwQYMBaAFAj6lCGmgskmh4ZtNRndH001BDSrMAoGCCqG
SM49BAMCA0kAMEYCIQDXrY7lnsECxRYkikQ67PAt9wj4jnzyGYpzevARKOSYjAIhAMUS3jUs/cpl9jPwbxg6E3iWGhI9oBEe
8ZQ8UzmS50hH
`);

Deno.test("readCertificate() reads what a certificate says", { permissions: "none" }, () => {
  const { version, issuer, subject, serialNumber, validFrom, validTo, extensions } =
    readCertificate(DER);
  assertEquals(version, 3);
  assertEquals(issuer.text, "CN=ca");
  assertEquals(
    subject.text,
    'CN=Röse\\, \\"A\\+B\\",O=\\ Garden\\ ,OU=\\#second+UID=u1,DC=example,emailAddress=a@b',
  );
  assertEquals(serialNumber, Uint8Array.of(7));
  assertEquals(new Date(validFrom).toISOString(), "2026-11-23T23:02:42.000Z");
  assertEquals(new Date(validTo).toISOString(), "2126-10-30T23:02:42.000Z");
  const { altNames, keyUsage, isAuthority } = readExtensions(extensions);
  assertEquals([0, 1, 8].map((bit) => keyUsage!(bit)), [true, false, false]);
  assertEquals(isAuthority, false);
  assertEquals(altNamesOf(altNames), [
    { kind: "DNS", value: "x.example, DNS:localhost" },
    { kind: "DNS", value: "*.example.org" },
    { kind: "URI", value: "https://a/,DNS:b" },
    { kind: "email", value: "r@x" },
    { kind: "IP Address", value: "::1" },
    { kind: "IP Address", value: "192.0.2.1" },
  ]);
});

/** What stands in the certificate, or what is put there instead. */
function changed(was: number[], now: number[]): Uint8Array {
  const der = DER.slice();
  const at = der.findIndex((_, i) => was.every((byte, j) => der[i + j] === byte));
  der.set(now, at);
  return der;
}

Deno.test("readCertificate() shows what is no plain text for what it is", {
  permissions: "none",
}, () => {
  const textOf = (...now: number[]): string => {
    const { subject } = readCertificate(changed([0x0c, 12, 0x52, 0xc3, 0xb6, 0x73], now)); // "Rös"
    return subject.text.slice(0, subject.text.indexOf(","));
  };
  assertEquals(textOf(0x0c, 12, 10), "CN=\\0aöse\\");
  assertEquals(textOf(0x03, 12, 0), "CN=#030c00c3b673652c2022412b4222"); // bits instead of text
  assertEquals(textOf(0x0c, 12, 0xef, 0xbb, 0xbf), "CN=\\ef\\bb\\bfse\\"); // a BOM
  assertEquals(textOf(0x14, 12, 0x80, 0x93), "CN=\\c2\\80\\c2\\93¶se\\"); // Latin-1, no windows-1252
});

Deno.test("readCertificate() shows long identifiers, and none that are too long", {
  permissions: "none",
}, () => {
  const { publicKey, privateKey } = makeKeys("Ed25519");
  const read = (length: number): string => {
    const identifier = der(0x06, new Uint8Array(length).fill(0xff).with(length - 1, 0x7f));
    const name = sequence(der(0x31, sequence(identifier, der(0x0c, [0x41]))));
    const fields = { issuer: name, subject: name, publicKey };
    return readCertificate(makeX509(fields, privateKey)).subject.text;
  };
  assertEquals(read(5), "2.34359738287=A");
  assertEquals(read(128), `2.${2n ** 896n - 81n}=A`);
  for (const length of [129, 30_000]) {
    assertThrows(() => read(length), Error, "an OBJECT IDENTIFIER is too long");
  }
});

Deno.test("readCertificate() throws at what is cut off, and at what comes behind", {
  permissions: "none",
}, () => {
  for (let length = 0; length < DER.length; length++) {
    assertThrows(() => readCertificate(DER.subarray(0, length)), Error);
  }
  assertThrows(() => readCertificate(Uint8Array.of(...DER, 0)), Error, "data after the end");
});
