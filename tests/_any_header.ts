// Arbitrary headers of the PROXY protocol, for property tests.

import fc from "fast-check";
import { formatIp } from "../_internal/ip.ts";
import type { ProxyHeader } from "../proxy_protocol/mod.ts";

const bytes = (maxLength: number) => fc.uint8Array({ maxLength });
const ascii = fc.string({ unit: "binary-ascii", maxLength: 40 });
const text = fc.string({ unit: "binary", maxLength: 40 });
const port = fc.oneof(fc.nat({ max: 65535 }), fc.constantFrom(0, 255, 256, 65535));

type Ends = Pick<ProxyHeader, "source" | "destination">;

/** Two endpoints with IP addresses of the same family. */
function ipEnds(transport: "tcp" | "udp"): fc.Arbitrary<Ends> {
  return fc.constantFrom(4, 16).chain((length) => {
    const hostname = fc.uint8Array({ minLength: length, maxLength: length }).map(formatIp);
    const end = fc.record({ transport: fc.constant(transport), hostname, port });
    return fc.record({ source: end, destination: end });
  });
}

const path = fc.oneof(
  fc.string({ unit: "grapheme", maxLength: 10 }).map((text) => text.replaceAll("\0", "")),
  fc.string({ unit: "binary-ascii", minLength: 1, maxLength: 106 })
    .map((name) => `\0${name.replace(/\0+$/, "")}x`),
  fc.constantFrom("", "/" + "x".repeat(107)),
);
const unixEnds: fc.Arbitrary<Ends> = fc.constantFrom("unix" as const, "unixpacket" as const)
  .chain((transport) => {
    const end = fc.record({ transport: fc.constant(transport), path });
    return fc.record({ source: end, destination: end });
  });

const noEnds: fc.Arbitrary<Ends> = fc.constant({});

const tls = fc.record({
  secure: fc.boolean(),
  certificateOnConnection: fc.boolean(),
  certificateInSession: fc.boolean(),
  verified: fc.boolean(),
  version: ascii,
  commonName: text,
  cipher: ascii,
  signatureAlgorithm: ascii,
  keyAlgorithm: ascii,
  group: ascii,
  signatureScheme: ascii,
  certificate: bytes(100),
}, {
  requiredKeys: ["secure", "certificateOnConnection", "certificateInSession", "verified"],
}).map((tls) => ({
  ...tls,
  verified: tls.verified && (tls.certificateOnConnection || tls.certificateInSession),
}));

const unnamed = fc.nat({ max: 255 })
  .filter((type) => ![0x01, 0x02, 0x03, 0x04, 0x05, 0x20, 0x30].includes(type));

const proxied: fc.Arbitrary<ProxyHeader> = fc.record({
  version: fc.constant(2 as const),
  command: fc.constant("PROXY" as const),
  tlvs: fc.array(fc.record({ type: unnamed, value: bytes(40) }), { maxLength: 4 }),
  alpn: bytes(20),
  authority: text,
  uniqueId: bytes(128),
  netns: ascii,
  tls,
}, { requiredKeys: ["version", "command", "tlvs"] })
  .chain((header) =>
    fc.oneof(ipEnds("tcp"), ipEnds("udp"), unixEnds, noEnds)
      .map((ends) => ({ ...header, ...ends }))
  );

const line: fc.Arbitrary<ProxyHeader> = fc.oneof(ipEnds("tcp"), noEnds)
  .map((ends) => ({ version: 1, command: "PROXY", ...ends, tlvs: [] }));

const local: fc.Arbitrary<ProxyHeader> = fc.constant({ version: 2, command: "LOCAL", tlvs: [] });

export const anyHeader: fc.Arbitrary<ProxyHeader> = fc.oneof(
  { weight: 3, arbitrary: line },
  { weight: 9, arbitrary: proxied },
  { weight: 1, arbitrary: local },
);
