import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  decodeProxyHeader,
  encodeProxyHeader,
  type ProxyHeader,
} from "../../proxy_protocol/mod.ts";
import { anyHeader } from "../_any_header.ts";
import { concat } from "../_codecs.ts";
import {
  assertDecided,
  assertDecodes,
  assertRefuses,
  IPV4_ENDS,
  latin1,
} from "../_proxy_headers.ts";
import { fuzzHeaderOnce, Random } from "../fuzz.ts";

const none = { permissions: "none" } as const;

Deno.test("decodeProxyHeader() waits for the first byte", none, () => {
  assertEquals(decodeProxyHeader(new Uint8Array(0)), undefined);
});

Deno.test("decodeProxyHeader() refuses other protocols at the first byte", none, () => {
  for (const text of ["GET / HTTP/1.1\r\n", "\x16\x03\x01", "SSH-2.0-x\r\n", "EHLO x\r\n", "\0"]) {
    assertRefuses(latin1(text), 1, 0, "carriage return, got 0x");
  }
  assertRefuses(latin1("\x05\x01\0"), 1, 0, "got 0x05");
  // What most connections that are no headers begin with looks like one for a moment.
  assertRefuses(latin1("POST / HTTP/1.1\r\n"), 2, 1, "a line must begin with");
  assertRefuses(latin1("\r\nGET / HTTP/1.1\r\n"), 3, 2, "the signature of version 2");
});

Deno.test("decodeProxyHeader() checks its arguments", none, () => {
  assertThrows(
    () => decodeProxyHeader("PROXY UNKNOWN\r\n" as never),
    TypeError,
    "bytes must be a Uint8Array, got a string",
  );
  for (const maxLength of [15, 65552, 20.5, NaN]) {
    assertThrows(
      () => decodeProxyHeader(new Uint8Array(0), { maxLength }),
      RangeError,
      `maxLength must be an integer from 16 to 65551, got ${maxLength}`,
    );
  }
});

Deno.test("encodeProxyHeader() makes what decodeProxyHeader() takes", none, () => {
  fc.assert(
    fc.property(anyHeader, fc.boolean(), (header, crc32c) => {
      const bytes = encodeProxyHeader({ ...header, crc32c: crc32c && header.version === 2 });
      assertDecodes(bytes, header);
    }),
    { numRuns: 150 },
  );
});

Deno.test("decodeProxyHeader() makes something of any bytes", none, () => {
  const start = fc.constantFrom(
    "",
    "P",
    "PROXY TCP4 ",
    "PROXY TCP6 ",
    "PROXY UNKNOWN",
    "\r\n\r\n\0\r\nQUIT\n",
    "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x20",
    "\r\n\r\n\0\r\nQUIT\n\x21\x31\x01\0",
    "\r\n\r\n\0\r\nQUIT\n\x21\0\0\x10",
  ).map(latin1);
  const rest = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.uint8Array({ minLength: 4096, maxLength: 4100 }),
    fc.string({ unit: fc.constantFrom(..."0123456789.:af \r\n"), maxLength: 120 }).map(latin1),
  );
  fc.assert(
    fc.property(start, rest, (start, rest) => assertDecided(concat([start, rest]))),
    { numRuns: 400 },
  );
});

Deno.test("decodeProxyHeader() makes something of any header that was changed", none, () => {
  const change = fc.tuple(fc.nat(), fc.nat({ max: 255 }));
  const changes = fc.array(change, { minLength: 1, maxLength: 3 });
  fc.assert(
    fc.property(anyHeader, changes, fc.nat({ max: 9 }), (header, changes, extra) => {
      const bytes = encodeProxyHeader(header);
      for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
      assertDecided(concat([bytes, new Uint8Array(extra * 500)]));
    }),
    { numRuns: 400 },
  );
});

Deno.test("decodeProxyHeader() stands a little of what deno task fuzz does", none, () => {
  const random = new Random(5);
  for (let round = 0; round < 200; round++) fuzzHeaderOnce(random);
});

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const tcp = (hostname: string, port: number = 1) => ({ transport: "tcp", hostname, port }) as const;
const unix = (path: string) => ({ transport: "unix", path }) as const;

Deno.test("encodeProxyHeader() writes version 1 as the specification has it", none, () => {
  const lines: [Parameters<typeof encodeProxyHeader>[0], line: string][] = [
    [{ version: 1, ...IPV4_ENDS }, "PROXY TCP4 192.0.2.7 198.51.100.1 51324 443\r\n"],
    [
      { version: 1, source: tcp("2001:DB8::0"), destination: tcp("::1", 65535) },
      "PROXY TCP6 2001:db8:: ::1 1 65535\r\n",
    ],
    [
      { version: 1, source: tcp("192.0.2.7"), destination: tcp("::1") },
      "PROXY TCP6 ::ffff:c000:207 ::1 1 1\r\n",
    ],
    [
      { version: 1, source: tcp("fe80::1%eth0"), destination: tcp("fe80::2%3") },
      "PROXY TCP6 fe80::1 fe80::2 1 1\r\n",
    ],
    [{ version: 1 }, "PROXY UNKNOWN\r\n"],
    [{ version: 1, command: "PROXY", tlvs: [], crc32c: false }, "PROXY UNKNOWN\r\n"],
    [{ version: 1, command: "LOCAL" }, "PROXY UNKNOWN\r\n"],
    [{ version: 1, source: unix("/a"), destination: unix("/b") }, "PROXY UNKNOWN\r\n"],
    [
      {
        version: 1,
        source: { transport: "udp", hostname: "::1", port: 1 },
        destination: { transport: "udp", hostname: "::1", port: 1 },
      },
      "PROXY UNKNOWN\r\n",
    ],
  ];
  for (const [init, line] of lines) assertEquals(text(encodeProxyHeader(init)), line);
});

Deno.test("encodeProxyHeader() writes both addresses as IPv6 if one is", none, () => {
  const mapped = tcp("::ffff:192.0.2.7", 5);
  const [ipv4, ipv6] = [tcp("192.0.2.7", 5), tcp("2001:db8::1", 6)];
  for (const version of [1, 2] as const) {
    const header: ProxyHeader = { version, command: "PROXY", tlvs: [] };
    const there = encodeProxyHeader({ version, source: ipv4, destination: ipv6 });
    assertDecodes(there, { ...header, source: mapped, destination: ipv6 });
    const back = encodeProxyHeader({ version, source: ipv6, destination: ipv4 });
    assertDecodes(back, { ...header, source: ipv6, destination: mapped });
  }
});

Deno.test("encodeProxyHeader() is LOCAL without addresses, and PROXY with some", none, () => {
  const memory = { transport: "memory", name: "a" } as const;
  const vsock = { transport: "vsock", cid: 1, port: 2 } as const;
  assertDecodes(encodeProxyHeader({ version: 2 }), { version: 2, command: "LOCAL", tlvs: [] });
  const unknown: ProxyHeader = { version: 2, command: "PROXY", tlvs: [] };
  assertDecodes(encodeProxyHeader({ version: 2, command: "PROXY" }), unknown);
  for (const end of [memory, vsock]) {
    assertDecodes(encodeProxyHeader({ version: 2, source: end, destination: end }), unknown);
  }
});

Deno.test("encodeProxyHeader() accepts an unnamed socket as the runtime shows it", none, () => {
  const nameless = unix(null as never);
  const bytes = encodeProxyHeader({ version: 2, source: nameless, destination: unix("/b") });
  assertEquals(decodeProxyHeader(bytes)?.header.source, unix(""));
});

Deno.test("encodeProxyHeader() puts in a checksum for LOCAL, too", none, () => {
  const bytes = encodeProxyHeader({ version: 2, crc32c: true });
  assertDecodes(bytes, { version: 2, command: "LOCAL", tlvs: [] });
  assertEquals(bytes.length, 16 + 7);
});

Deno.test("encodeProxyHeader() writes the longest values", none, () => {
  const header: ProxyHeader = {
    version: 2,
    command: "PROXY",
    tlvs: [],
    authority: "é".repeat(127) + "e",
    uniqueId: new Uint8Array(128).fill(1),
  };
  assertDecodes(encodeProxyHeader(header), header);
});

Deno.test("encodeProxyHeader() writes the longest header and none longer", none, () => {
  const tlv = { type: 0xe0, value: new Uint8Array(0x8000 - 3) };
  const rest = { type: 0xe1, value: new Uint8Array(0x7fff - 3) };
  const longest = { version: 2, command: "PROXY", tlvs: [tlv, rest] } as const;
  const bytes = encodeProxyHeader(longest);
  assertEquals(decodeProxyHeader(bytes, { maxLength: 65551 })?.header.tlvs, [tlv, rest]);
  assertThrows(
    () => encodeProxyHeader({ ...longest, tlvs: [tlv, tlv] }),
    RangeError,
    "a header must have at most 65551 bytes, got 65552",
  );
});
