import { assertInstanceOf, assertStringIncludes, assertThrows } from "@std/assert";
import {
  encodeProxyHeader,
  type ProxyHeaderInit,
  type ProxyTls,
} from "../../proxy_protocol/mod.ts";

const ends = {
  source: { transport: "tcp", hostname: "192.0.2.7", port: 1 },
  destination: { transport: "tcp", hostname: "192.0.2.8", port: 2 },
} as const;
const unixEnds = {
  source: { transport: "unix", path: "/a" },
  destination: { transport: "unix", path: "/b" },
} as const;
const tls: ProxyTls = {
  secure: true,
  certificateOnConnection: false,
  certificateInSession: false,
  verified: false,
};

/** What is given, the class of the error and what it says. */
const CASES: [init: unknown, kind: ErrorConstructor, message: string][] = [
  [{}, RangeError, "version must be 1 or 2, got undefined"],
  [{ version: 3 }, RangeError, "version must be 1 or 2, got 3"],
  [{ version: "2" }, RangeError, "version must be 1 or 2, got a string"],
  [{ version: 2, command: "local" }, TypeError, 'must be "PROXY" or "LOCAL", got "local"'],
  [{ version: 2, command: "LOCAL", ...ends }, TypeError, "proxy itself, has no addresses"],
  [{ version: 2, command: "LOCAL", destination: ends.source }, TypeError, "has no addresses"],
  [{ version: 1, command: "LOCAL", ...ends }, TypeError, "proxy itself, has no addresses"],
  [{ version: 2, command: "LOCAL", netns: "a" }, TypeError, "has no further fields"],
  [
    { version: 2, tlvs: [{ type: 0xe0, value: new Uint8Array(0) }] },
    TypeError,
    "no further fields",
  ],
  // addresses
  [{ version: 2, source: ends.source }, TypeError, "given together, got no destination"],
  [{ version: 1, destination: ends.source }, TypeError, "given together, got no source"],
  [
    { version: 2, source: ends.source, destination: unixEnds.destination },
    TypeError,
    "source and destination must have the same transport, got tcp and unix",
  ],
  [
    { version: 2, source: { transport: "x" }, destination: { transport: "x" } },
    TypeError,
    'source.transport must be that of a known address, got "x"',
  ],
  [
    { version: 2, ...ends, source: { ...ends.source, hostname: "localhost" } },
    TypeError,
    'source.hostname must be an IP address, got "localhost"',
  ],
  [
    { version: 1, ...ends, destination: { ...ends.destination, hostname: "1.2.3.04" } },
    TypeError,
    'destination.hostname must be an IP address, got "1.2.3.04"',
  ],
  [
    { version: 2, ...ends, source: { ...ends.source, hostname: 7 } },
    TypeError,
    "source.hostname must be an IP address, got a number",
  ],
  [
    { version: 2, ...ends, source: { ...ends.source, port: 65536 } },
    RangeError,
    "source.port must be an integer from 0 to 65535, got 65536",
  ],
  [
    { version: 1, ...ends, destination: { ...ends.destination, port: -1 } },
    RangeError,
    "destination.port must be an integer from 0 to 65535, got -1",
  ],
  [
    { version: 2, ...unixEnds, source: { transport: "unix", path: "é".repeat(54) + "x" } },
    RangeError,
    "source.path must have at most 108 bytes, got 109",
  ],
  [
    { version: 2, ...unixEnds, source: { transport: "unix", path: 7 } },
    TypeError,
    "source.path must be a string, got a number",
  ],
  [
    { version: 2, ...unixEnds, destination: { transport: "unix", path: "/a\0b" } },
    TypeError,
    "destination.path cannot be encoded",
  ],
  [
    { version: 2, ...unixEnds, destination: { transport: "unix", path: "\0b\0" } },
    TypeError,
    "destination.path cannot be encoded",
  ],
  [
    { version: 2, ...unixEnds, destination: { transport: "unix", path: "/\ud800" } },
    TypeError,
    "destination.path cannot be encoded",
  ],
  // fields
  [{ version: 1, ...ends, alpn: new Uint8Array(2) }, TypeError, "version 1 cannot carry alpn"],
  [{ version: 1, ...ends, authority: "a" }, TypeError, "version 1 cannot carry authority"],
  [{ version: 1, uniqueId: new Uint8Array(0) }, TypeError, "version 1 cannot carry uniqueId"],
  [{ version: 1, ...ends, netns: "" }, TypeError, "version 1 cannot carry netns"],
  [{ version: 1, ...ends, tls }, TypeError, "version 1 cannot carry tls"],
  [
    { version: 1, tlvs: [{ type: 0xe0, value: new Uint8Array(0) }] },
    TypeError,
    "version 1 cannot carry tlvs",
  ],
  [{ version: 1, crc32c: true }, TypeError, "version 1 cannot carry a checksum (crc32c)"],
  [{ version: 2, ...ends, alpn: "h2" }, TypeError, "alpn must be a Uint8Array, got a string"],
  [{ version: 2, ...ends, authority: 1 }, TypeError, "authority must be a string, got a number"],
  [{ version: 2, ...ends, authority: "\ud800" }, TypeError, "authority contains a lone surrogate"],
  [
    { version: 2, ...ends, authority: "é".repeat(128) },
    RangeError,
    "authority must have at most 255 bytes, got 256",
  ],
  [
    { version: 2, ...ends, uniqueId: new Uint8Array(129) },
    RangeError,
    "uniqueId must have at most 128 bytes, got 129",
  ],
  [{ version: 2, ...ends, uniqueId: "id" }, TypeError, "uniqueId must be a Uint8Array"],
  [{ version: 2, ...ends, netns: "blå" }, TypeError, 'netns must be ASCII, got "blå"'],
  [
    { version: 2, ...ends, netns: "x".repeat(65536) },
    RangeError,
    "netns must have at most 65535 bytes, got 65536",
  ],
  [
    { version: 2, ...ends, tlvs: [{ type: 256, value: new Uint8Array(0) }] },
    RangeError,
    "tlvs[0].type must be an integer from 0 to 255, got 256",
  ],
  [
    {
      version: 2,
      ...ends,
      tlvs: [{ type: 4, value: new Uint8Array(0) }, { type: 2, value: new Uint8Array(0) }],
    },
    TypeError,
    "tlvs[1] is PP2_TYPE_AUTHORITY, which has a property of its own",
  ],
  [
    { version: 2, ...ends, tlvs: [{ type: 0xe0, value: "x" }] },
    TypeError,
    "tlvs[0].value must be a Uint8Array, got a string",
  ],
  [{ version: 2, ...ends, tls: { ...tls, verified: true } }, TypeError, "tls.verified needs"],
  [{ version: 2, ...ends, tls: { ...tls, cipher: "é" } }, TypeError, "tls.cipher must be ASCII"],
  [
    { version: 2, ...ends, tls: { ...tls, commonName: "\udc00" } },
    TypeError,
    "tls.commonName contains a lone surrogate",
  ],
  [
    { version: 2, ...ends, tls: { ...tls, certificate: "PEM" } },
    TypeError,
    "tls.certificate must be a Uint8Array",
  ],
];

for (const [init, kind, message] of CASES) {
  Deno.test(`encodeProxyHeader() refuses: ${message}, ${JSON.stringify(init).slice(0, 60)}`, {
    permissions: "none",
  }, () => {
    const error = assertThrows(() => encodeProxyHeader(init as ProxyHeaderInit));
    assertInstanceOf(error, kind);
    assertStringIncludes(error.message, message);
  });
}
