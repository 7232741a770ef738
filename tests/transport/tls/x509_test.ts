import { assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { randomFrom } from "../../../testing/disturb.ts";
import { canonicalName, isFor, ServerNames } from "../../../transport/tls/server_names.ts";
import { readNames } from "../../../transport/tls/x509.ts";

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

Deno.test("readNames() reads the names of a certificate", { permissions: "none" }, () => {
  assertEquals(readNames(DER), {
    version: 3,
    issuer: "CN=ca",
    subject:
      'CN=Röse\\, \\"A\\+B\\",O=\\ Garden\\ ,OU=\\#second+UID=u1,DC=example,emailAddress=a@b',
    altNames: [
      { kind: "DNS", value: "x.example, DNS:localhost" },
      { kind: "DNS", value: "*.example.org" },
      { kind: "URI", value: "https://a/,DNS:b" },
      { kind: "email", value: "r@x" },
      { kind: "IP Address", value: "::1" },
      { kind: "IP Address", value: "192.0.2.1" },
    ],
  });
});

Deno.test("readNames() shows what is no plain text for what it is", { permissions: "none" }, () => {
  const der = DER.slice();
  const at = der.findIndex((byte, i) => byte === 0x52 && der[i + 1] === 0xc3); // the "Rö" in it
  der[at] = 10;
  assertEquals(readNames(der).subject.slice(0, 11), "CN=\\0aöse\\,");
  der[at - 2] = 0x04; // octets instead of text
  assertEquals(readNames(der).subject.slice(0, 13), "CN=#0ac3b6736");
});

Deno.test("readNames() throws at what is cut off or changed", { permissions: "none" }, () => {
  for (let length = 0; length < DER.length; length++) {
    assertThrows(() => readNames(DER.subarray(0, length)), Error);
  }
  const random = randomFrom(3);
  for (let round = 0; round < 3000; round++) {
    const changed = DER.slice();
    for (let i = 0; i < 3; i++) changed[Math.floor(random() * changed.length)] = random() * 256;
    try {
      readNames(changed);
    } catch (error) {
      assertInstanceOf(error, Error);
    }
  }
});

Deno.test("isFor() follows RFC 9525", { permissions: "none" }, () => {
  const names = ["a.example", "*.b.example", "*.com", "f*.c.example", "*", "UPPER.example"]
    .map((value) => ({ kind: "DNS" as const, value }));
  const ips = ["192.0.2.1", "2001:db8::1"].map((value) => ({ kind: "IP Address" as const, value }));
  const hosts: Record<string, boolean> = {
    "a.example": true,
    "x.a.example": false,
    "b.example": false,
    "x.b.example": true,
    "x.y.b.example": false,
    ".b.example": false,
    "x.com": false,
    "foo.c.example": false,
    "localhost": false,
    "upper.example": true,
    "192.0.2.1": true,
    "192.0.2.2": false,
    "2001:db8::1": true,
  };
  for (const [host, expected] of Object.entries(hosts)) {
    assertEquals(isFor([...names, ...ips], host), expected, host);
  }
  assertEquals(isFor([{ kind: "DNS", value: "192.0.2.1" }], "192.0.2.1"), false);
  assertEquals(isFor([{ kind: "URI", value: "a.example" }], "a.example"), false);
});

Deno.test("canonicalName() has one form for one host", { permissions: "none" }, () => {
  const forms: Record<string, string> = {
    "WWW.Example.Org.": "www.example.org",
    "bücher.example": "xn--bcher-kva.example",
    "2001:0DB8:0:0::1": "2001:db8::1",
    "fe80::1%eth0": "fe80::1",
    "::ffff:192.0.2.1": "::ffff:c000:201",
    "192.0.2.1": "192.0.2.1",
    "under_score": "under_score",
  };
  for (const [name, form] of Object.entries(forms)) assertEquals(canonicalName(name), form);
  for (
    const bad of ["", ".", "a b", "a..b", "a/b", "a:80", "[::1]", "*.a", `${"a".repeat(64)}.b`]
  ) {
    assertEquals(canonicalName(bad), "", bad);
  }
});

Deno.test("ServerNames finds exact names first", { permissions: "none" }, () => {
  const names = new ServerNames<number>();
  names.add("*.example.org", 1);
  names.add("www.Example.org.", 2);
  names.add("www.example.org", 3);
  assertEquals(names.get("WWW.example.org"), 2);
  assertEquals(names.get("other.example.org."), 1);
  for (const unknown of ["example.org", "a.b.example.org", "org", "", "."]) {
    assertEquals([names.has(unknown), names.get(unknown)], [false, undefined]);
  }
});
