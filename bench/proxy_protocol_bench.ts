/**
 * The cost of a PROXY header, once per connection.
 *
 *     deno bench bench/proxy_protocol_bench.ts
 */

import {
  decodeProxyHeader,
  encodeProxyHeader,
  type ProxyHeaderInit,
} from "@parley/tcp/proxy-protocol";

const ipv4 = {
  source: { transport: "tcp", hostname: "192.0.2.7", port: 51324 },
  destination: { transport: "tcp", hostname: "198.51.100.1", port: 443 },
} as const;
const ipv6 = {
  source: { transport: "tcp", hostname: "2001:db8:85a3::8a2e:370:7334", port: 51324 },
  destination: { transport: "tcp", hostname: "2001:db8::1", port: 443 },
} as const;

const CASES: [name: string, init: ProxyHeaderInit][] = [
  ["version 1, IPv4", { version: 1, ...ipv4 }],
  ["version 1, IPv6", { version: 1, ...ipv6 }],
  ["version 2, IPv4", { version: 2, ...ipv4 }],
  ["version 2, IPv6", { version: 2, ...ipv6 }],
  [
    "version 2, IPv4, TLS and a checksum",
    {
      version: 2,
      ...ipv4,
      alpn: new TextEncoder().encode("h2"),
      authority: "greet.example",
      tls: {
        secure: true,
        certificateOnConnection: false,
        certificateInSession: false,
        verified: false,
        version: "TLSv1.3",
        cipher: "TLS_AES_256_GCM_SHA384",
      },
      crc32c: true,
    },
  ],
];

for (const [name, init] of CASES) {
  const bytes = encodeProxyHeader(init);
  Deno.bench({ name, group: "decodeProxyHeader()", fn: () => void decodeProxyHeader(bytes) });
}
for (const [name, init] of CASES) {
  Deno.bench({ name, group: "encodeProxyHeader()", fn: () => void encodeProxyHeader(init) });
}
