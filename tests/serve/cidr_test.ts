import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { blockOf, CidrList, ipOf } from "../../serve/cidr.ts";
import { formatIp } from "../../_internal/ip.ts";
import type { Address } from "../../transport/mod.ts";

function tcp(hostname: string): Address {
  return { transport: "tcp", hostname, port: 5 };
}

/** Which of some addresses are in a list of blocks. */
function held(blocks: string[], addresses: string[]): string[] {
  const list = new CidrList("allow", blocks);
  return addresses.filter((address) => list.includes(tcp(address)));
}

const PEERS = [
  "0.0.0.0",
  "9.255.255.255",
  "10.0.0.0",
  "10.1.2.3",
  "10.255.255.255",
  "11.0.0.0",
  "127.0.0.1",
  "255.255.255.255",
  "::",
  "::1",
  "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
  "2001:db8::",
  "2001:db8:1::5",
  "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
  "2001:db9::",
  "fe80::1",
];
const IPV4 = PEERS.filter((peer) => !peer.includes(":"));
const IPV6 = PEERS.filter((peer) => peer.includes(":"));

const CASES: [blocks: string[], held: string[]][] = [
  [[], []],
  [["10.0.0.0/8"], ["10.0.0.0", "10.1.2.3", "10.255.255.255"]],
  [["10.0.0.0/7"], ["10.0.0.0", "10.1.2.3", "10.255.255.255", "11.0.0.0"]],
  [["10.0.0.0/9"], ["10.0.0.0", "10.1.2.3"]],
  [["10.1.2.2/31"], ["10.1.2.3"]],
  [["10.1.2.3"], ["10.1.2.3"]],
  [["10.1.2.3/32"], ["10.1.2.3"]],
  [["0.0.0.0/0"], IPV4],
  [["0.0.0.0"], ["0.0.0.0"]],
  [["128.0.0.0/1"], ["255.255.255.255"]],
  [["2001:db8::/32"], [
    "2001:db8::",
    "2001:db8:1::5",
    "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
  ]],
  [["2001:db8:1::/48"], ["2001:db8:1::5"]],
  [["2001:db8:1::5"], ["2001:db8:1::5"]],
  [["2001:0DB8:1:0:0:0:0:5/128"], ["2001:db8:1::5"]],
  [["::/127"], ["::", "::1"]],
  // IPv4 that is mapped into IPv6 is IPv4, and no other IPv6 is
  [["::/0"], IPV6],
  [["::ffff:0:0/96"], IPV4],
  [["::ffff:10.0.0.0/104"], ["10.0.0.0", "10.1.2.3", "10.255.255.255"]],
  [["::ffff:10.1.2.3"], ["10.1.2.3"]],
  // zones are ignored
  [["fe80::1%eth0"], ["fe80::1"]],
  [["fe80::%eth0/64"], ["fe80::1"]],
  // many at once, some within others
  [["10.0.0.0/8", "10.1.0.0/16", "11.0.0.0/8", "::1"], [
    "10.0.0.0",
    "10.1.2.3",
    "10.255.255.255",
    "11.0.0.0",
    "::1",
  ]],
];

Deno.test("CidrList.includes() finds addresses of a block", { permissions: "none" }, () => {
  for (const [blocks, expected] of CASES) assertEquals(held(blocks, PEERS), expected, `${blocks}`);
});

Deno.test("CidrList.includes() takes mapped IPv4 for IPv4", { permissions: "none" }, () => {
  const mapped = ["::ffff:10.1.2.3", "::FFFF:A01:203", "0:0:0:0:0:ffff:10.1.2.3"];
  for (const block of ["10.1.2.3", "10.0.0.0/8", "0.0.0.0/0", "::ffff:10.0.0.0/104"]) {
    assertEquals(held([block], mapped), mapped, block);
  }
  assertEquals(held(["::/0", "::/95"], mapped), []);
});

Deno.test("CidrList.includes() ignores the zone of an address", { permissions: "none" }, () => {
  const zoned = ["fe80::1%eth0", "fe80::1%1", "fe80::1"];
  assertEquals(held(["fe80::/10"], zoned), zoned);
  assertEquals(held(["fe80::1"], zoned), zoned);
});

Deno.test("CidrList contains no address without an IP", { permissions: "none" }, () => {
  const list = new CidrList("allow", ["0.0.0.0/0", "::/0"]);
  const others: Address[] = [
    { transport: "unix", path: "/run/greet.sock" },
    { transport: "memory", name: "127.0.0.1" },
    { transport: "vsock", cid: 1, port: 5 },
    tcp("localhost"),
    tcp(""),
  ];
  for (const address of others) {
    assertEquals([ipOf(address), list.includes(address)], [undefined, false]);
  }
});

const NO_BLOCK = "must be an IP address or a CIDR block such as 10.0.0.0/8, got";
const BAD: [blocks: unknown, kind: typeof TypeError | typeof RangeError, says: string][] = [
  ["10.0.0.0/8", TypeError, "deny must be an array of CIDR blocks, got a string"],
  [null, TypeError, "deny must be an array of CIDR blocks, got null"],
  [[5], TypeError, "deny[0] must be a string, got a number"],
  [["::1", undefined], TypeError, "deny[1] must be a string, got undefined"],
  ...["", "/", "/8", "10.0.0", "10.0.0/8", " 10.0.0.0/8", "010.0.0.0/8", "localhost", "::g/8"]
    .map((text): [unknown, typeof RangeError, string] => [
      [text],
      RangeError,
      `deny[0] ${NO_BLOCK} ${JSON.stringify(text)}`,
    ]),
  ...["/33", "/", "/-1", "/08", "/8.0", "/8/8", "/ 8", "/8 ", "/1e1", "/255.0.0.0", "/8%eth0"]
    .map((suffix): [unknown, typeof RangeError, string] => [
      [`10.0.0.0${suffix}`],
      RangeError,
      `deny[0] must have a prefix length from 0 to 32, got "10.0.0.0${suffix}"`,
    ]),
  [["::/129"], RangeError, 'deny[0] must have a prefix length from 0 to 128, got "::/129"'],
  [
    ["10.1.2.3/8"],
    RangeError,
    'deny[0] must have no bit set past its prefix, got "10.1.2.3/8": the block is 10.0.0.0/8',
  ],
  [
    ["10.0.0.0/6"],
    RangeError,
    'deny[0] must have no bit set past its prefix, got "10.0.0.0/6": the block is 8.0.0.0/6',
  ],
  [
    ["0.0.0.1/0"],
    RangeError,
    'deny[0] must have no bit set past its prefix, got "0.0.0.1/0": the block is 0.0.0.0/0',
  ],
  [
    ["::1", "2001:db8:1::5/32"],
    RangeError,
    'deny[1] must have no bit set past its prefix, got "2001:db8:1::5/32": ' +
    "the block is 2001:db8::/32",
  ],
  [
    ["::ffff:10.1.2.3/104"],
    RangeError,
    'deny[0] must have no bit set past its prefix, got "::ffff:10.1.2.3/104": ' +
    "the block is ::ffff:10.0.0.0/104",
  ],
  [
    ["::ffff:0:0/95"],
    RangeError,
    'deny[0] must have no bit set past its prefix, got "::ffff:0:0/95": ' +
    "the block is ::fffe:0:0/95",
  ],
];

Deno.test("CidrList refuses what is no block by name and value", { permissions: "none" }, () => {
  for (const [blocks, kind, says] of BAD) {
    const { message } = assertThrows(() => new CidrList("deny", blocks), kind);
    assertEquals(message, says);
  }
});

/** Addresses as numbers, so that a block can be told by arithmetic. */
function numberOf(ip: Uint8Array): bigint {
  return ip.reduce((all, byte) => all << 8n | BigInt(byte), 0n);
}

const byte = fc.integer({ min: 0, max: 255 });
// What a prefix length makes of two addresses shows only where they begin alike.
const twins = fc.constantFrom(4, 16).chain((length) =>
  fc.tuple(
    fc.uint8Array({ minLength: length, maxLength: length }),
    fc.array(fc.tuple(fc.nat(length - 1), byte), { maxLength: 2 }),
    fc.nat(8 * length),
  )
).map(([ip, changes, prefixLength]): [Uint8Array, Uint8Array, number] => {
  const other = ip.slice();
  for (const [at, value] of changes) other[at] = value;
  return [ip, other, prefixLength];
});

Deno.test(
  "blockOf() is the same for addresses with the same prefix",
  { permissions: "none" },
  () => {
    fc.assert(fc.property(twins, ([one, other, prefixLength]) => {
      const rest = BigInt(8 * one.length - prefixLength);
      assertEquals(
        blockOf(one, prefixLength) === blockOf(other, prefixLength),
        numberOf(one) >> rest === numberOf(other) >> rest,
      );
    }));
  },
);

Deno.test("CidrList.includes() agrees with arithmetic", { permissions: "none" }, () => {
  fc.assert(fc.property(twins, ([one, other, prefixLength]) => {
    const rest = BigInt(8 * one.length - prefixLength);
    const first = one.map((byte, i) => {
      const bits = Math.max(0, Math.min(8, prefixLength - 8 * i));
      return byte - byte % 2 ** (8 - bits);
    });
    const list = new CidrList("allow", [`${formatIp(first)}/${prefixLength}`]);
    assertEquals(
      list.includes(tcp(formatIp(other))),
      numberOf(one) >> rest === numberOf(other) >> rest,
    );
  }));
});

Deno.test("blockOf() keeps IPv4 and IPv6 apart", { permissions: "none" }, () => {
  const [four, six] = [ipOf(tcp("0.0.0.0"))!, ipOf(tcp("::"))!];
  for (let bits = 0; bits <= 32; bits++) {
    assertEquals(blockOf(four, bits) === blockOf(six, bits), false);
  }
});
