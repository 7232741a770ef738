import { Buffer } from "node:buffer";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { ProxyHeaderError } from "../../errors.ts";
import { decodeProxyHeader, type ProxyHeader, type ProxyTls } from "../../proxy_protocol/mod.ts";
import { concat } from "../_codecs.ts";
import {
  assertDecodes,
  assertRefuses,
  CHECKSUM,
  hex,
  IPV4,
  IPV4_ENDS,
  IPV6,
  IPV6_ENDS,
  latin1,
  tlv,
  v2,
} from "../_proxy_headers.ts";

const none = { permissions: "none" } as const;

const TCP4: ProxyHeader = { version: 2, command: "PROXY", ...IPV4_ENDS, tlvs: [] };
const TCP6: ProxyHeader = { version: 2, command: "PROXY", ...IPV6_ENDS, tlvs: [] };

const NO_TLS: ProxyTls = {
  secure: false,
  certificateOnConnection: false,
  certificateInSession: false,
  verified: false,
};

/** TCP over IPv4 with these fields. */
const withTlvs = (...tlvs: Uint8Array[]): Uint8Array => v2(0x21, 0x11, [IPV4, ...tlvs]);
/** The same with `PP2_TYPE_SSL`. */
const withTls = (client: number, verify: string, ...tlvs: Uint8Array[]): Uint8Array =>
  withTlvs(tlv(0x20, concat([Uint8Array.of(client), hex(verify), ...tlvs])));

const GOOD: [name: string, bytes: Uint8Array, header: ProxyHeader][] = [
  // §2.2.1 to 2.2.8
  ["ALPN", withTlvs(tlv(0x01, "h2")), { ...TCP4, alpn: latin1("h2") }],
  ["an authority", withTlvs(tlv(0x02, "grüße.example")), { ...TCP4, authority: "grüße.example" }],
  ["a byte order mark", withTlvs(tlv(0x02, "\ufeffa")), { ...TCP4, authority: "\ufeffa" }],
  ["an authority of 255 bytes", withTlvs(tlv(0x02, "a".repeat(255))), {
    ...TCP4,
    authority: "a".repeat(255),
  }],
  ["a checksum", v2(0x21, 0x11, [IPV4, CHECKSUM], 28), TCP4],
  [
    "a checksum with fields round it",
    v2(0x21, 0x21, [IPV6, tlv(0x02, "rose"), CHECKSUM, tlv(0xe0, "x")], 59),
    { ...TCP6, authority: "rose", tlvs: [{ type: 0xe0, value: latin1("x") }] },
  ],
  ["nothing in NOOPs", withTlvs(tlv(0x04, ""), tlv(0x04, "\xff padding")), TCP4],
  ["an identifier of 128 bytes", withTlvs(tlv(0x05, new Uint8Array(128).fill(7))), {
    ...TCP4,
    uniqueId: new Uint8Array(128).fill(7),
  }],
  ["a network namespace", withTlvs(tlv(0x30, "blue")), { ...TCP4, netns: "blue" }],
  ["empty values", withTlvs(...[0x01, 0x02, 0x05, 0x30, 0xe0].map((type) => tlv(type, ""))), {
    ...TCP4,
    alpn: new Uint8Array(0),
    authority: "",
    uniqueId: new Uint8Array(0),
    netns: "",
    tlvs: [{ type: 0xe0, value: new Uint8Array(0) }],
  }],
  [
    "fields that it does not know, in their order, twice too",
    withTlvs(tlv(0xea, "\x01vpce-1"), tlv(0xff, "\xff"), tlv(0x00, ""), tlv(0xea, "2")),
    {
      ...TCP4,
      tlvs: [
        { type: 0xea, value: latin1("\x01vpce-1") },
        { type: 0xff, value: new TextEncoder().encode("\xff") },
        { type: 0x00, value: new Uint8Array(0) },
        { type: 0xea, value: latin1("2") },
      ],
    },
  ],
  // §2.2.6
  ["a client without TLS", withTls(0, "00000001"), { ...TCP4, tls: NO_TLS }],
  ["a client with TLS", withTls(1, "00000001", tlv(0x21, "TLSv1.2")), {
    ...TCP4,
    tls: { ...NO_TLS, secure: true, version: "TLSv1.2" },
  }],
  ["no certificate and nothing wrong with it", withTls(1, "00000000"), {
    ...TCP4,
    tls: { ...NO_TLS, secure: true },
  }],
  ["a good certificate", withTls(3, "00000000", tlv(0x22, "Rosé")), {
    ...TCP4,
    tls: {
      ...NO_TLS,
      secure: true,
      certificateOnConnection: true,
      verified: true,
      commonName: "Rosé",
    },
  }],
  ["a good certificate of before", withTls(5, "00000000"), {
    ...TCP4,
    tls: { ...NO_TLS, secure: true, certificateInSession: true, verified: true },
  }],
  ["a bad certificate", withTls(7, "0a000000"), {
    ...TCP4,
    tls: { ...NO_TLS, secure: true, certificateOnConnection: true, certificateInSession: true },
  }],
  ["bits that it does not know", withTls(0xf9, "00000000"), {
    ...TCP4,
    tls: { ...NO_TLS, secure: true },
  }],
  [
    "all that there is about TLS",
    withTls(
      1,
      "00000001",
      tlv(0x28, hex("3082")),
      tlv(0x27, "rsa_pss_rsae_sha256"),
      tlv(0x26, "X25519"),
      tlv(0x25, "RSA2048"),
      tlv(0x24, "RSA-SHA256"),
      tlv(0x23, "ECDHE-RSA-AES128-GCM-SHA256"),
      tlv(0x7f, "unknown"),
      tlv(0x7f, "unknown"),
    ),
    {
      ...TCP4,
      tls: {
        ...NO_TLS,
        secure: true,
        cipher: "ECDHE-RSA-AES128-GCM-SHA256",
        signatureAlgorithm: "RSA-SHA256",
        keyAlgorithm: "RSA2048",
        group: "X25519",
        signatureScheme: "rsa_pss_rsae_sha256",
        certificate: hex("3082"),
      },
    },
  ],
  [
    "what HAProxy 2.6 has sent",
    hex(
      "0d0a0d0a000d0a515549540a2111008fc0000207c6336401c87c01bb030004a08a085501000268320200" +
        "0d67726565742e6578616d706c65050015726f73652d31373837312d3137373832363632323520004c07" +
        "00000000210007544c5376312e33220005726f73c3a9250005454332353624001165636473612d776974" +
        "682d534841323536230016544c535f4145535f3235365f47434d5f534841333834",
    ),
    {
      ...TCP4,
      alpn: latin1("h2"),
      authority: "greet.example",
      uniqueId: latin1("rose-17871-1778266225"),
      tls: {
        secure: true,
        certificateOnConnection: true,
        certificateInSession: true,
        verified: true,
        version: "TLSv1.3",
        commonName: "rosé",
        cipher: "TLS_AES_256_GCM_SHA384",
        signatureAlgorithm: "ecdsa-with-SHA256",
        keyAlgorithm: "EC256",
      },
    },
  ],
];

for (const [name, bytes, header] of GOOD) {
  Deno.test(`decodeProxyHeader() accepts in version 2: ${name}`, none, () => {
    assertDecodes(bytes, header);
  });
}

const broken = v2(0x21, 0x11, [IPV4, CHECKSUM], 28);
broken[17]! ^= 1;

/** Where the error is and what it says. It is known at the end of the header. */
const BAD: [name: string, bytes: Uint8Array, offset: number, message: string][] = [
  ["one byte left over", withTlvs(hex("04")), 28, "3 bytes or more, but 1 are left"],
  ["two bytes left over", withTlvs(hex("0400")), 28, "3 bytes or more, but 2 are left"],
  ["a field that is cut off", withTlvs(hex("04 0002 00")), 29, "claims 2 bytes, but 1 are left"],
  ["a field of 64 KiB", withTlvs(hex("01 ffff 00")), 29, "PP2_TYPE_ALPN claims 65535 bytes"],
  ["a checksum that is wrong", withTlvs(CHECKSUM), 31, "PP2_TYPE_CRC32C is 00000000, but"],
  ["a checksum of something else", broken, 31, "PP2_TYPE_CRC32C is "],
  [
    "a checksum of 3 bytes",
    withTlvs(tlv(3, "123")),
    31,
    "PP2_TYPE_CRC32C must have 4 bytes, got 3",
  ],
  ["a checksum of 5 bytes", withTlvs(tlv(3, "12345")), 31, "must have 4 bytes, got 5"],
  [
    "an authority of 256 bytes",
    withTlvs(tlv(2, "a".repeat(256))),
    31,
    "PP2_TYPE_AUTHORITY must have at most 255 bytes, got 256",
  ],
  ["an authority that is not UTF-8", withTlvs(tlv(2, hex("61ff"))), 32, "must be UTF-8"],
  [
    "an identifier of 129 bytes",
    withTlvs(tlv(5, "a".repeat(129))),
    31,
    "PP2_TYPE_UNIQUE_ID must have at most 128 bytes, got 129",
  ],
  ["a namespace beyond ASCII", withTlvs(tlv(0x30, "blå")), 33, "PP2_TYPE_NETNS must be ASCII"],
  [
    "TLS of 4 bytes",
    withTlvs(tlv(0x20, "1234")),
    31,
    "PP2_TYPE_SSL must have 5 bytes or more, got 4",
  ],
  ["TLS with a byte left over", withTls(1, "00000000", hex("21")), 36, "but 1 are left"],
  [
    "TLS with a field that goes on outside",
    withTlvs(tlv(0x20, hex("01 00000000 21 0004")), tlv(0x04, "1")),
    37,
    "PP2_SUBTYPE_SSL_VERSION claims 4 bytes, but 0 are left",
  ],
  [
    "a TLS version beyond ASCII",
    withTls(1, "00000000", tlv(0x21, "ü")),
    39,
    "PP2_SUBTYPE_SSL_VERSION must be ASCII",
  ],
  [
    "a common name that is not UTF-8",
    withTls(1, "00000000", tlv(0x22, hex("c3"))),
    39,
    "PP2_SUBTYPE_SSL_CN must be UTF-8",
  ],
  [
    "two TLS versions",
    withTls(1, "00000000", tlv(0x21, ""), tlv(0x21, "")),
    39,
    "PP2_SUBTYPE_SSL_VERSION must not occur twice",
  ],
];

for (const [name, bytes, offset, message] of BAD) {
  Deno.test(`decodeProxyHeader() refuses in version 2: ${name}`, none, () => {
    assertRefuses(bytes, bytes.length, offset, message);
  });
}

Deno.test("decodeProxyHeader() uses the last of a repeated field", none, () => {
  const [one, two] = [latin1("one"), latin1("two")];
  const fields: [type: number, field: Partial<ProxyHeader>][] = [
    [0x01, { alpn: two }],
    [0x02, { authority: "two" }],
    [0x05, { uniqueId: two }],
    [0x30, { netns: "two" }],
  ];
  for (const [type, field] of fields) {
    assertDecodes(withTlvs(tlv(type, one), tlv(4, ""), tlv(type, two)), { ...TCP4, ...field });
  }
  // The first has to be one, too.
  const bytes = withTlvs(tlv(0x02, hex("ff")), tlv(0x02, two));
  assertRefuses(bytes, bytes.length, 31, "PP2_TYPE_AUTHORITY must be UTF-8");
});

Deno.test(
  "decodeProxyHeader() refuses two checksums, and two that say who a client is",
  none,
  () => {
    const tls = tlv(0x20, new Uint8Array(5));
    assertRefuses(withTlvs(tls, tls), 44, 36, "PP2_TYPE_SSL must not occur twice");
    assertRefuses(withTlvs(CHECKSUM, CHECKSUM), 42, 35, "PP2_TYPE_CRC32C must not occur twice");
  },
);

Deno.test("decodeProxyHeader() refuses a checksum wherever a bit is wrong", none, () => {
  const bytes = v2(0x21, 0x11, [IPV4, tlv(0xe0, "rose"), CHECKSUM], 35);
  for (let at = 16; at < bytes.length; at++) {
    // What says how long the fields are has errors of its own.
    if (at >= 28 && at < 31 || at >= 35 && at < 38) continue;
    bytes[at]! ^= 0x10;
    assertThrows(() => decodeProxyHeader(bytes), ProxyHeaderError, "PP2_TYPE_CRC32C is ");
    bytes[at]! ^= 0x10;
  }
  assert(decodeProxyHeader(bytes));
});

Deno.test("decodeProxyHeader() copies out of a Buffer, wherever it begins", none, () => {
  const ssl = tlv(0x20, concat([hex("01 00000001"), tlv(0x28, "cert")]));
  const fields = [CHECKSUM, tlv(0x01, "h2"), tlv(0x05, "id"), tlv(0xe0, "x"), ssl];
  const header = v2(0x21, 0, fields, 16);
  const buffer = Buffer.alloc(header.length + 20, 0xee).subarray(7, 7 + header.length);
  buffer.set(header);
  const decoded = decodeProxyHeader(buffer)?.header;
  buffer.fill(0);
  assertEquals(decoded?.alpn, latin1("h2"));
  assertEquals(decoded?.uniqueId, latin1("id"));
  assertEquals(decoded?.tlvs, [{ type: 0xe0, value: latin1("x") }]);
  assertEquals(decoded?.tls?.certificate, latin1("cert"));
});
