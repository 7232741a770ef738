import { assertEquals } from "@std/assert";
import { decodeProxyHeader, type ProxyHeader } from "../../proxy_protocol/mod.ts";
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
  path,
  tlv,
  v2,
} from "../_proxy_headers.ts";

const none = { permissions: "none" } as const;

const LOCAL: ProxyHeader = { version: 2, command: "LOCAL", tlvs: [] };
const UNKNOWN: ProxyHeader = { version: 2, command: "PROXY", tlvs: [] };
const TCP6: ProxyHeader = { ...UNKNOWN, ...IPV6_ENDS };

function unix(transport: "unix" | "unixpacket", source: string, destination: string): ProxyHeader {
  return {
    ...UNKNOWN,
    source: { transport, path: source },
    destination: { transport, path: destination },
  };
}

const LONG_PATH = `/${"x".repeat(107)}`;

const GOOD: [name: string, bytes: Uint8Array, header: ProxyHeader][] = [
  // §2.2, byte by byte
  [
    "TCP over IPv4",
    hex("0d0a0d0a000d0a515549540a 21 11 000c 7f000001 c0a8000b dc04 01bb"),
    {
      ...UNKNOWN,
      source: { transport: "tcp", hostname: "127.0.0.1", port: 56324 },
      destination: { transport: "tcp", hostname: "192.168.0.11", port: 443 },
    },
  ],
  ["TCP over IPv6", v2(0x21, 0x21, [IPV6]), TCP6],
  [
    "UDP over IPv4",
    v2(0x21, 0x12, [IPV4]),
    {
      ...UNKNOWN,
      source: { ...IPV4_ENDS.source, transport: "udp" },
      destination: { ...IPV4_ENDS.destination, transport: "udp" },
    },
  ],
  [
    "UDP over IPv6",
    v2(0x21, 0x22, [IPV6]),
    {
      ...UNKNOWN,
      source: { ...IPV6_ENDS.source, transport: "udp" },
      destination: { ...IPV6_ENDS.destination, transport: "udp" },
    },
  ],
  [
    "IPv4 within IPv6",
    v2(0x21, 0x21, [
      hex("00000000 00000000 0000ffff c0000207"),
      new Uint8Array(16),
      hex("00010002"),
    ]),
    {
      ...UNKNOWN,
      source: { transport: "tcp", hostname: "::ffff:192.0.2.7", port: 1 },
      destination: { transport: "tcp", hostname: "::", port: 2 },
    },
  ],
  [
    "a Unix stream",
    v2(0x21, 0x31, [path(""), path("/run/grüße.sock")]),
    unix("unix", "", "/run/grüße.sock"),
  ],
  [
    "Unix datagrams",
    v2(0x21, 0x32, [path("/a"), path("/b")]),
    unix("unixpacket", "/a", "/b"),
  ],
  [
    "Unix paths that fill their place",
    v2(0x21, 0x31, [path(LONG_PATH), path(LONG_PATH.slice(1))]),
    unix("unix", LONG_PATH, LONG_PATH.slice(1)),
  ],
  [
    "what stands behind the NUL of a Unix path",
    v2(0x21, 0x31, [path("/a\0left over\xff"), path("b\0\0c")]),
    unix("unix", "/a", "b"),
  ],
  [
    "abstract Unix sockets",
    v2(0x21, 0x31, [path("\0greet"), path("\0a\0b")]),
    unix("unix", "\0greet", "\0a\0b"),
  ],
  ["what is unspecified", v2(0x21, 0, []), UNKNOWN],
  ["what is unspecified, with a field", v2(0x21, 0, [tlv(0x02, "rose")]), {
    ...UNKNOWN,
    authority: "rose",
  }],
  // Addresses stand behind it all the same, which §2.2 has a receiver ignore.
  [
    "what is unspecified, with bytes that are no fields",
    hex("0d0a0d0a000d0a515549540a 21 00 000c c0a80001c0a8000bdc0401bb"),
    UNKNOWN,
  ],
  ["what is unspecified, with two bytes", v2(0x21, 0, [hex("0400")]), UNKNOWN],
  ["what is unspecified, with a field that is cut off", v2(0x21, 0, [hex("04000201")]), UNKNOWN],
  [
    "what is unspecified, with a field and a byte",
    v2(0x21, 0, [tlv(0x02, "rose"), hex("04")]),
    UNKNOWN,
  ],
  ["a stream without a family", v2(0x21, 0x01, []), UNKNOWN],
  ["a stream without a family, with addresses", v2(0x21, 0x01, [IPV4]), UNKNOWN],
  ["a stream without a family, with a field", v2(0x21, 0x01, [tlv(0x02, "rose")]), {
    ...UNKNOWN,
    authority: "rose",
  }],
  ["datagrams without a family", v2(0x21, 0x02, [IPV6]), UNKNOWN],
  ["IPv4 without a transport", v2(0x21, 0x10, [IPV4]), UNKNOWN],
  ["IPv6 without a transport and addresses", v2(0x21, 0x20, []), UNKNOWN],
  ["Unix without a transport", v2(0x21, 0x30, [path("/a"), path("/b")]), UNKNOWN],
  ["LOCAL", hex("0d0a0d0a000d0a515549540a 20 00 0000"), LOCAL],
  ["LOCAL with addresses", v2(0x20, 0x11, [IPV4]), LOCAL],
  ["LOCAL with too little for its family", v2(0x20, 0x31, [IPV4]), LOCAL],
  ["LOCAL of a family that is none", v2(0x20, 0xff, [latin1("whatever")]), LOCAL],
  ["LOCAL with a checksum that is wrong", v2(0x20, 0, [CHECKSUM]), LOCAL],
];

for (const [name, bytes, header] of GOOD) {
  Deno.test(`decodeProxyHeader() accepts version 2: ${name}`, none, () => {
    assertDecodes(bytes, header);
  });
}

/** With how many bytes the error must be known (all, where nothing is said), where it is, and what it says. */
const BAD: [name: string, bytes: Uint8Array, offset: number, message: string, known?: number][] = [
  ["version 1", v2(0x11, 0x11, [IPV4]), 12, "the version must be 2, got 1", 13],
  ["version 3", v2(0x31, 0x11, [IPV4]), 12, "the version must be 2, got 3", 13],
  ["another command", v2(0x22, 0x11, [IPV4]), 12, "0 (LOCAL) or 1 (PROXY), got 2", 13],
  ["a command of four bits", v2(0x28, 0x11, [IPV4]), 12, "0 (LOCAL) or 1 (PROXY), got 8", 13],
  ["another family", v2(0x21, 0x41, [IPV4]), 13, "family must be from 0 to 3, got 4", 14],
  ["another transport", v2(0x21, 0x13, [IPV4]), 13, "the transport must be 0, 1 or 2, got 3", 14],
  ["another family without a transport", v2(0x21, 0x40, []), 13, "from 0 to 3, got 4", 14],
  ["another transport without a family", v2(0x21, 0x03, []), 13, "0, 1 or 2, got 3", 14],
  [
    "what is unspecified, with a checksum that is wrong",
    v2(0x21, 0, [CHECKSUM]),
    19,
    "PP2_TYPE_CRC32C is 0000",
  ],
  ["TCP over IPv4 without addresses", v2(0x21, 0x11, []), 14, "has 28 bytes or more, got 16", 16],
  ["TCP over IPv4, too short", v2(0x21, 0x11, [IPV4.slice(1)]), 14, "28 bytes or more, got 27", 16],
  ["TCP over IPv6, too short", v2(0x21, 0x21, [IPV6.slice(1)]), 14, "52 bytes or more, got 51", 16],
  [
    "Unix, too short",
    v2(0x21, 0x31, [path("/a"), path("/b").slice(1)]),
    14,
    "232 bytes or more, got 231",
    16,
  ],
  [
    "a Unix path that is not UTF-8",
    v2(0x21, 0x31, [path("/a"), hex("2f61ff"), new Uint8Array(105)]),
    126,
    "a path must be UTF-8",
  ],
  ["4097 bytes", v2(0x21, 0, [tlv(0xe0, new Uint8Array(4078))]), 14, "4097 bytes exceeds", 16],
  ["4112 bytes", v2(0x21, 0, [tlv(0xe0, new Uint8Array(4093))]), 14, "limit of 4096", 15],
  ["LOCAL of 65551 bytes", v2(0x20, 0, [new Uint8Array(65535)]), 14, "65551 bytes exceeds", 15],
];

for (const [name, bytes, offset, message, known = bytes.length] of BAD) {
  Deno.test(`decodeProxyHeader() refuses version 2: ${name}`, none, () => {
    assertRefuses(bytes, known, offset, message);
  });
}

Deno.test("decodeProxyHeader() refuses every byte of the signature that is wrong", none, () => {
  for (let at = 1; at < 12; at++) {
    const bytes = v2(0x21, 0x11, [IPV4]);
    bytes[at]! ^= 0x80;
    assertRefuses(bytes, at + 1, at, "the signature of version 2 needs 0x");
  }
});

Deno.test("decodeProxyHeader() accepts headers of maxLength bytes and no more", none, () => {
  for (const size of [28, 4096, 65551]) {
    const bytes = v2(0x21, 0, [tlv(0xe0, new Uint8Array(size - 19))]);
    assertEquals(decodeProxyHeader(bytes, { maxLength: size })?.length, size);
    const options = { maxLength: size - 1 };
    assertRefuses(bytes.subarray(0, 30), 16, 14, `limit of ${size - 1}`, options);
  }
  assertEquals(decodeProxyHeader(v2(0x20, 0, []), { maxLength: 16 })?.length, 16);
});
