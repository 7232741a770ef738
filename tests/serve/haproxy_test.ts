import { assert, assertEquals } from "@std/assert";
import {
  decodeProxyHeader,
  encodeProxyHeader,
  type ProxyHeader,
  type ProxyHeaderInit,
} from "../../proxy_protocol/mod.ts";
import { Haproxy, hasHaproxy } from "../_haproxy.ts";
import { IPV4, IPV4_ENDS, IPV6_ENDS, latin1, tlv, v2 } from "../_proxy_headers.ts";

const LINE: ProxyHeader = { version: 1, command: "PROXY", tlvs: [] };
const BINARY: ProxyHeader = { version: 2, command: "PROXY", tlvs: [] };
const LOCAL: ProxyHeader = { version: 2, command: "LOCAL", tlvs: [] };
const MAPPED = {
  source: { transport: "tcp", hostname: "::ffff:192.0.2.7", port: 51324 },
  destination: IPV6_ENDS.destination,
} as const;
const uniqueId = latin1("rose");

/** What goes in, the way that it takes, and what comes out. */
const CASES: [name: string, init: ProxyHeaderInit, way: string, passed: ProxyHeader][] = [
  ["IPv4 in a line", { version: 1, ...IPV4_ENDS }, "v1", { ...LINE, ...IPV4_ENDS }],
  ["IPv6 in a line", { version: 1, ...IPV6_ENDS }, "v1", { ...LINE, ...IPV6_ENDS }],
  ["IPv4 within IPv6 in a line", { version: 1, ...MAPPED }, "v1", { ...LINE, ...MAPPED }],
  ["both families in a line", { version: 1, ...MAPPED, source: IPV4_ENDS.source }, "v1", {
    ...LINE,
    ...MAPPED,
  }],
  ["UNKNOWN", { version: 1 }, "v1", LINE],
  ["IPv4", { version: 2, ...IPV4_ENDS }, "v1", { ...LINE, ...IPV4_ENDS }],
  ["IPv6", { version: 2, ...IPV6_ENDS }, "v1", { ...LINE, ...IPV6_ENDS }],
  ["LOCAL", { version: 2 }, "v1", LINE],
  ["IPv4 in a line", { version: 1, ...IPV4_ENDS }, "v2", { ...BINARY, ...IPV4_ENDS, uniqueId }],
  ["IPv4 with a checksum", { version: 2, ...IPV4_ENDS, crc32c: true }, "v2", {
    ...BINARY,
    ...IPV4_ENDS,
    uniqueId,
  }],
  ["IPv6 with a checksum", { version: 2, ...IPV6_ENDS, crc32c: true }, "v2", {
    ...BINARY,
    ...IPV6_ENDS,
    uniqueId,
  }],
  ["both families", { version: 2, ...MAPPED, source: IPV4_ENDS.source }, "v2", {
    ...BINARY,
    ...MAPPED,
    uniqueId,
  }],
  [
    "all fields",
    {
      version: 2,
      ...IPV4_ENDS,
      authority: "a".repeat(255),
      uniqueId: new Uint8Array(128),
      netns: "blue",
      tlvs: [{ type: 0xe0, value: new Uint8Array(500) }, { type: 4, value: new Uint8Array(3) }],
      crc32c: true,
    },
    "v2",
    { ...BINARY, ...IPV4_ENDS, uniqueId },
  ],
  ["LOCAL with a checksum", { version: 2, crc32c: true }, "v2", LOCAL],
  ["UNKNOWN", { version: 1 }, "v2", LOCAL],
  [
    "IPv6 with a checksum",
    { version: 2, ...IPV6_ENDS, crc32c: true },
    "tls",
    {
      ...BINARY,
      ...IPV6_ENDS,
      alpn: latin1("h2"),
      authority: "greet.example",
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

Deno.test(
  "HAProxy takes what encodeProxyHeader() writes, and decodeProxyHeader() what HAProxy writes",
  {
    ignore: !hasHaproxy,
  },
  async (t) => {
    await using haproxy = await Haproxy.start();
    assertEquals(haproxy.check, LOCAL);

    for (const [name, init, way, passed] of CASES) {
      await t.step(`${name}, by ${way}`, async () => {
        assertEquals(await haproxy.pass(way, encodeProxyHeader(init)), passed);
      });
    }

    await t.step("the last of two host names", async () => {
      const names = [tlv(0x02, "one.example"), tlv(0x02, "two.example")];
      const bytes = v2(0x21, 0x11, [IPV4, ...names]);
      const { authority } = await haproxy.pass("authority", bytes);
      assertEquals(authority, "two.example");
      assertEquals(decodeProxyHeader(bytes)?.header.authority, authority);
    });

    await t.step("a checksum that is wrong", async () => {
      const bytes = encodeProxyHeader({ version: 2, ...IPV4_ENDS, crc32c: true });
      bytes[bytes.length - 1]! ^= 1;
      assert(await haproxy.refuses("v2", bytes));
    });
  },
);
