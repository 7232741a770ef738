import { isIP } from "node:net";
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { formatIp, isMapped, parseIp } from "../../_internal/ip.ts";

/** What is parsed, and the text that its bytes are shown as. */
const GOOD: [text: string, shown: string][] = [
  ["0.0.0.0", "0.0.0.0"],
  ["127.0.0.1", "127.0.0.1"],
  ["192.0.2.33", "192.0.2.33"],
  ["255.255.255.255", "255.255.255.255"],
  // RFC 4291 §2.2
  ["ABCD:EF01:2345:6789:ABCD:EF01:2345:6789", "abcd:ef01:2345:6789:abcd:ef01:2345:6789"],
  ["2001:DB8:0:0:8:800:200C:417A", "2001:db8::8:800:200c:417a"],
  ["2001:DB8::8:800:200C:417A", "2001:db8::8:800:200c:417a"],
  ["FF01:0:0:0:0:0:0:101", "ff01::101"],
  ["0:0:0:0:0:0:0:1", "::1"],
  ["::1", "::1"],
  ["0:0:0:0:0:0:0:0", "::"],
  ["::", "::"],
  ["0:0:0:0:0:0:13.1.68.3", "::d01:4403"],
  ["::13.1.68.3", "::d01:4403"],
  ["0:0:0:0:0:FFFF:129.144.52.38", "::ffff:129.144.52.38"],
  ["::FFFF:129.144.52.38", "::ffff:129.144.52.38"],
  ["::ffff:8190:3426", "::ffff:129.144.52.38"],
  ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
  ["1:2:3:4:5:6:192.0.2.33", "1:2:3:4:5:6:c000:221"],
  ["1::192.0.2.33", "1::c000:221"],
  // RFC 5952 §1, §4
  ["2001:0db8::0001", "2001:db8::1"],
  ["2001:db8:0:0:0:0:2:1", "2001:db8::2:1"],
  ["2001:db8:aaaa:bbbb:cccc:dddd:eeee:0001", "2001:db8:aaaa:bbbb:cccc:dddd:eeee:1"],
  ["2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
  ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
  ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
  // a `::` for one group, at either end and in the middle
  ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
  ["::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"],
  ["1:2:3::5:6:7:8", "1:2:3:0:5:6:7:8"],
  ["0:0:3:4:5:6:0:0", "::3:4:5:6:0:0"],
  ["1:2:3:4:5:6:0:0", "1:2:3:4:5:6::"],
  ["fe80::", "fe80::"],
  ["abcd:abcd:abcd:abcd:abcd:abcd:192.168.158.190", "abcd:abcd:abcd:abcd:abcd:abcd:c0a8:9ebe"],
];

const BAD: string[] = [
  "",
  " ",
  ".",
  ":",
  "1",
  "1.2.3",
  "1.2.3.",
  ".1.2.3",
  "1..2.3",
  "1.2.3.4.",
  "1.2.3.4.5",
  "256.0.0.1",
  "1.2.3.256",
  "1.2.3.1000",
  "01.2.3.4",
  "1.2.3.00",
  "1.2.3.+4",
  "1.2.3.-4",
  "1.2.3.0x4",
  "1.2.3.4e0",
  " 1.2.3.4",
  "1.2.3.4 ",
  "1.2.3.4\n",
  "1.2.3.４",
  "127.1",
  "2130706433",
  "localhost",
  ":::",
  "::::",
  "1:::2",
  "1::2::3",
  ":1",
  "1:",
  ":1:2:3:4:5:6:7:8",
  "1:2:3:4:5:6:7",
  "1:2:3:4:5:6:7:",
  "1:2:3:4:5:6:7:8:",
  "1:2:3:4:5:6:7:8:9",
  "1:2:3:4::5:6:7:8",
  "::1:2:3:4:5:6:7:8",
  "1:2:3:4:5:6:7:8::",
  "12345::",
  "::00001",
  "::g",
  "::-1",
  "::+1",
  "::0x1",
  ":: 1",
  "::1\n",
  "[::1]",
  "::1.2.3",
  "::1.2.3.4.5",
  "::1.2.3.04",
  "::1.2.3.256",
  "::1.2.3.4:5",
  "1.2.3.4::",
  "1.2.3.4::1",
  "1.2.3.4:5::",
  "1:2:3:4:5:6:7:1.2.3.4",
  "1:2:3:4:5:1.2.3.4",
  "1:2:3:4:5:6::1.2.3.4",
  "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000",
  "::1%lo",
  "1.2.3.4%lo",
];

Deno.test("parseIp() reads every form of an address", { permissions: "none" }, () => {
  for (const [text, shown] of GOOD) {
    const bytes = parseIp(text);
    assertEquals(bytes && formatIp(bytes), shown, text);
    assertEquals(bytes?.length, shown.includes(":") ? 16 : 4);
  }
});

Deno.test("parseIp() refuses everything else", { permissions: "none" }, () => {
  for (const text of BAD) assertEquals(parseIp(text), undefined, JSON.stringify(text));
});

Deno.test("parseIp() drops a zone where it is told to", { permissions: "none" }, () => {
  const bytes = parseIp("fe80::1");
  assertEquals(parseIp("fe80::1%eth0", { dropZone: true }), bytes);
  assertEquals(parseIp(`fe80::1%${"long-".repeat(20)}%1`, { dropZone: true }), bytes);
  assertEquals(parseIp("fe80::1", { dropZone: true }), bytes);
  for (const text of ["fe80::1%", "fe80::1::%eth0", "127.0.0.1%eth0", "127.0.0.1%:", "%::", "%"]) {
    assertEquals(parseIp(text, { dropZone: true }), undefined, text);
  }
});

Deno.test("parseIp() gives the bytes in network order", { permissions: "none" }, () => {
  assertEquals(parseIp("1.2.3.4"), Uint8Array.of(1, 2, 3, 4));
  const expected = Uint8Array.of(1, 2, 0xab, 0xcd, 0, 0, 0, 0, 0, 0, 0, 9, 192, 0, 2, 33);
  assertEquals(parseIp("102:abcd::9:192.0.2.33"), expected);
});

Deno.test("formatIp() writes IPv4 within IPv6 in hexadecimal if told to", {
  permissions: "none",
}, () => {
  assertEquals(formatIp(parseIp("::ffff:192.0.2.33")!, { mixed: false }), "::ffff:c000:221");
  assertEquals(formatIp(parseIp("192.0.2.33")!, { mixed: false }), "192.0.2.33");
});

Deno.test("isMapped() recognizes IPv4 within IPv6", { permissions: "none" }, () => {
  assertEquals(isMapped(parseIp("::ffff:0.0.0.0")!), true);
  const others = ["::", "::1.2.3.4", "::fffe:0:0", "::ff:0:0", "100::ffff:0:0", "::1:ffff:0:0"];
  for (const text of others) {
    assertEquals(isMapped(parseIp(text)!), false, text);
  }
});

const address = fc.oneof(
  fc.uint8Array({ minLength: 4, maxLength: 4 }),
  fc.uint8Array({ minLength: 16, maxLength: 16 }),
  fc.array(fc.constantFrom(0, 0, 0xffff, 1, 0x100), { minLength: 8, maxLength: 8 })
    .map((groups) => Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff]))),
);

Deno.test("formatIp() is the inverse of parseIp()", { permissions: "none" }, () => {
  fc.assert(
    fc.property(address, (bytes) => {
      assertEquals(parseIp(formatIp(bytes)), bytes);
    }),
    { numRuns: 2000 },
  );
});

Deno.test("formatIp() writes IPv6 as a URL does", { permissions: "none" }, () => {
  fc.assert(
    fc.property(address.filter((bytes) => bytes.length === 16 && !isMapped(bytes)), (bytes) => {
      assertEquals(`[${formatIp(bytes)}]`, new URL(`http://[${formatIp(bytes)}]`).hostname);
    }),
    { numRuns: 2000 },
  );
});

Deno.test("parseIp() takes what node:net takes", { permissions: "none" }, () => {
  const piece = fc.constantFrom("0", "1", "ffff", "12345", "::", ":", "1.2.3.4", "255", ".", "g");
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 16 }).map((pieces) => pieces.join("")),
      (text) => assertEquals(parseIp(text)?.length, ({ 4: 4, 6: 16 })[isIP(text)], text),
    ),
    { numRuns: 5000 },
  );
});
