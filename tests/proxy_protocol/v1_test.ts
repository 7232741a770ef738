import type { ProxyHeader } from "../../proxy_protocol/mod.ts";
import { assertDecodes, assertRefuses, latin1 } from "../_proxy_headers.ts";

const none = { permissions: "none" } as const;

type Ends = [source: string, sourcePort: number, destination: string, destinationPort: number];

const FFFF = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";

const GOOD: [name: string, line: string, ends: Ends | undefined][] = [
  // §2.1
  [
    "the specification's example",
    "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
    ["192.168.0.1", 56324, "192.168.0.11", 443],
  ],
  [
    "the longest TCP4",
    "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
    ["255.255.255.255", 65535, "255.255.255.255", 65535],
  ],
  [
    "the longest TCP6",
    `PROXY TCP6 ${FFFF} ${FFFF} 65535 65535\r\n`,
    [FFFF, 65535, FFFF, 65535],
  ],
  ["the shortest TCP4", "PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", ["0.0.0.0", 0, "0.0.0.0", 0]],
  ["the shortest TCP6", "PROXY TCP6 :: :: 0 0\r\n", ["::", 0, "::", 0]],
  [
    "TCP6 in other forms",
    "PROXY TCP6 2001:DB8:0:0::0007 2001:0db8::1 51324 443\r\n",
    ["2001:db8::7", 51324, "2001:db8::1", 443],
  ],
  // So does HAProxy write a client that has come by IPv4 to a socket for IPv6.
  [
    "TCP6 with IPv4 within",
    "PROXY TCP6 ::ffff:192.0.2.7 2001:db8::1 51324 443\r\n",
    ["::ffff:192.0.2.7", 51324, "2001:db8::1", 443],
  ],
  // So does nginx in a chain write a client whose family is not that of its own end.
  [
    "TCP6 with IPv4 behind",
    "PROXY TCP6 2001:db8::1 127.0.0.1 51512 18401\r\n",
    ["2001:db8::1", 51512, "127.0.0.1", 18401],
  ],
  [
    "TCP4 with IPv6 behind",
    "PROXY TCP4 192.0.2.1 ::1 51512 18402\r\n",
    ["192.0.2.1", 51512, "::1", 18402],
  ],
  ["TCP4 with IPv6 alone", `PROXY TCP4 ${FFFF} ::a 1 2\r\n`, [FFFF, 1, "::a", 2]],
  ["TCP6 with IPv4 alone", "PROXY TCP6 1.2.3.4 0.0.0.0 1 2\r\n", ["1.2.3.4", 1, "0.0.0.0", 2]],
  ["the shortest UNKNOWN", "PROXY UNKNOWN\r\n", undefined],
  ["the longest UNKNOWN", `PROXY UNKNOWN ${FFFF} ${FFFF} 65535 65535\r\n`, undefined],
  ["UNKNOWN and a space", "PROXY UNKNOWN \r\n", undefined],
  ["UNKNOWN and anything", "PROXY UNKNOWN \0\xff\t PROXY TCP4  1.2.3.4\r\n", undefined],
];

for (const [name, line, ends] of GOOD) {
  Deno.test(`decodeProxyHeader() accepts version 1: ${name}`, none, () => {
    const expected: ProxyHeader = { version: 1, command: "PROXY", tlvs: [] };
    if (ends !== undefined) {
      expected.source = { transport: "tcp", hostname: ends[0], port: ends[1] };
      expected.destination = { transport: "tcp", hostname: ends[2], port: ends[3] };
    }
    assertDecodes(latin1(line), expected);
  });
}

Deno.test("decodeProxyHeader() has no use for maxLength in version 1", none, () => {
  const [, line] = GOOD.find(([name]) => name === "the longest UNKNOWN")!;
  assertDecodes(latin1(line), { version: 1, command: "PROXY", tlvs: [] }, { maxLength: 16 });
});

const START = 'must begin with "PROXY TCP4", "PROXY TCP6" or "PROXY UNKNOWN"';
const FIELDS = "two addresses and two ports";
const ADDRESS = "expected an IP address, got ";
const PORT = "a port must be a number from 0 to 65535, got ";

/** With how many bytes the error must be known, where it is, and what it says. */
const BAD: [name: string, line: string, known: number, offset: number, message: string][] = [
  ["another word", "POST / HTTP/1.1\r\n", 2, 1, START],
  ["lower case", "PrOXY TCP4", 2, 1, START],
  ["a tab", "PROXY\tTCP4", 6, 5, START],
  ["two spaces", "PROXY  TCP4", 7, 6, START],
  ["no family", "PROXY\r\n", 6, 5, START],
  ["another family", "PROXY TCP5 ", 10, 9, START],
  ["another transport", "PROXY UDP4 ", 8, 7, START],
  ["a family in lower case", "PROXY tcp4 ", 7, 6, START],
  ["TCP4 alone", "PROXY TCP4\r\n", 11, 10, START],
  ["UNKNOWN and more at once", "PROXY UNKNOWN1\r\n", 14, 13, START],
  ["UNKNOWN and LF", "PROXY UNKNOWN\n", 14, 13, START],
  ["UNKNOWN and CR alone", "PROXY UNKNOWN\r ", 15, 14, 'unexpected " "'],
  ["UNKNOWN with a CR in it", "PROXY UNKNOWN a\rb\r\n", 17, 16, 'unexpected "b"'],
  ["UNKNOWN with an LF in it", "PROXY UNKNOWN a\nb\r\n", 16, 15, 'unexpected "\\n"'],
  ["LF alone", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", 31, 30, 'unexpected "\\n"'],
  ["CR alone", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\rx", 32, 31, 'unexpected "x"'],
  ["CR twice", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\r\n", 32, 31, 'unexpected "\\r"'],
  ["a letter in TCP4", "PROXY TCP4 g.2.3.4 1.2.3.4 1 2\r\n", 12, 11, 'unexpected "g"'],
  ["a letter in TCP6", "PROXY TCP6 ::g :: 1 2\r\n", 14, 13, 'unexpected "g"'],
  ["a byte over 127", "PROXY TCP6 ::\xff :: 1 2\r\n", 14, 13, 'unexpected "\xff"'],
  ["a NUL", "PROXY TCP4 1.2.3.4\0 1.2.3.4 1 2\r\n", 19, 18, 'unexpected "\\u0000"'],
  ["a zone", "PROXY TCP6 fe80::1%1 :: 1 2\r\n", 19, 18, 'unexpected "%"'],
  ["nothing behind TCP4", "PROXY TCP4 \r\n", 13, 11, FIELDS],
  ["a port too few", "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", 30, 11, `${FIELDS}, got 3 fields`],
  ["a port too many", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n", 34, 11, `${FIELDS}, got 5 fields`],
  ["a space at the end", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n", 33, 11, FIELDS],
  ["a space at the beginning", "PROXY TCP4  1.2.3.4 1.2.3.4 1\r\n", 31, 11, `${ADDRESS}""`],
  ["two spaces in between", "PROXY TCP4 1.2.3.4  1.2.3.4 1\r\n", 31, 19, `${ADDRESS}""`],
  ["a leading zero", "PROXY TCP4 1.2.3.4 1.2.3.04 1 2\r\n", 33, 19, `${ADDRESS}"1.2.3.04"`],
  ["an octet over 255", "PROXY TCP4 256.2.3.4 1.2.3.4 1 2\r\n", 34, 11, `${ADDRESS}"256.2.3.4"`],
  ["a name of letters", "PROXY TCP4 dead.beef 1.2.3.4 1 2\r\n", 34, 11, `${ADDRESS}"dead.beef"`],
  ["three octets", "PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n", 30, 11, `${ADDRESS}"1.2.3"`],
  ["too many groups", "PROXY TCP6 :: 1:2:3:4:5:6:7:8:9 1 2\r\n", 37, 14, ADDRESS],
  ["two gaps", "PROXY TCP6 1::2::3 :: 1 2\r\n", 27, 11, `${ADDRESS}"1::2::3"`],
  ["a first port too high", "PROXY TCP6 :: :: 65536 2\r\n", 26, 17, `${PORT}"65536"`],
  ["a second port too high", "PROXY TCP6 :: :: 1 99999\r\n", 26, 19, `${PORT}"99999"`],
  ["a port with a zero", "PROXY TCP6 :: :: 01 2\r\n", 23, 17, `${PORT}"01"`],
  ["a port of zeros", "PROXY TCP6 :: :: 1 00\r\n", 23, 19, `${PORT}"00"`],
  ["a port in hexadecimal", "PROXY TCP6 :: :: 1 ff\r\n", 23, 19, `${PORT}"ff"`],
  ["a port of many digits", "PROXY TCP4 1.2.3.4 1.2.3.4 111111 2\r\n", 37, 27, `${PORT}"111111"`],
  ["no port", "PROXY TCP4 1.2.3.4 1.2.3.4  2\r\n", 31, 27, `${PORT}""`],
  ["TCP4 of 108 bytes", `PROXY TCP4 ${"1".repeat(95)}\r\n`, 106, 105, "end within 107 bytes"],
  ["UNKNOWN of 108 bytes", `PROXY UNKNOWN ${"x".repeat(92)}\r\n`, 106, 105, "end within 107 bytes"],
  ["a line without an end", `PROXY TCP6 ${":".repeat(900)}`, 106, 105, "end within 107 bytes"],
];

for (const [name, line, known, offset, message] of BAD) {
  Deno.test(`decodeProxyHeader() refuses version 1: ${name}`, none, () => {
    assertRefuses(latin1(line), known, offset, message);
  });
}
