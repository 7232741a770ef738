import { assertEquals } from "@std/assert";
import { canonicalName, isFor, ServerNames } from "../../../transport/tls/server_names.ts";

Deno.test("isFor() follows RFC 9525", { permissions: "none" }, () => {
  const names = [
    "a.example",
    "*.b.example",
    "*.com",
    "f*.c.example",
    "*",
    "UPPER.example",
    "dot.example.",
  ]
    .map((value) => ({ kind: "DNS" as const, value }));
  const ips = ["192.0.2.1", "2001:db8::1"].map((value) => ({ kind: "IP Address" as const, value }));
  const hosts: Record<string, boolean> = {
    "a.example": true,
    "x.a.example": false,
    "b.example": false,
    "x.b.example": true,
    "x.y.b.example": false,
    ".b.example": false,
    "x.com": false,
    "foo.c.example": false,
    "localhost": false,
    "upper.example": true,
    "under_score.b.example": false, // nor does OpenSSL take it
    "dot.example": false,
    "192.0.2.1": true,
    "192.0.2.2": false,
    "2001:db8::1": true,
  };
  for (const [host, expected] of Object.entries(hosts)) {
    assertEquals(isFor([...names, ...ips], host), expected, host);
  }
  assertEquals(isFor([{ kind: "DNS", value: "192.0.2.1" }], "192.0.2.1"), false);
  assertEquals(isFor([{ kind: "URI", value: "a.example" }], "a.example"), false);
});

Deno.test("canonicalName() has one form for one host", { permissions: "none" }, () => {
  const forms: Record<string, string> = {
    "WWW.Example.Org.": "www.example.org",
    "bücher.example": "xn--bcher-kva.example",
    "2001:0DB8:0:0::1": "2001:db8::1",
    "fe80::1%eth0": "fe80::1",
    "::ffff:192.0.2.1": "::ffff:c000:201",
    "[2001:DB8::1]": "2001:db8::1",
    "192.0.2.1": "192.0.2.1",
    "under_score": "under_score",
  };
  for (const [name, form] of Object.entries(forms)) assertEquals(canonicalName(name), form);
  for (
    const bad of [
      "",
      ".",
      "a b",
      "a..b",
      "a/b",
      "a:80",
      "[::1",
      "[a]",
      "[192.0.2.1]",
      "*.a",
      `${"a".repeat(64)}.b`,
    ]
  ) {
    assertEquals(canonicalName(bad), "", bad);
  }
});

Deno.test("ServerNames finds exact names first", { permissions: "none" }, () => {
  const names = new ServerNames<number>();
  names.add("*.example.org", 1);
  names.add("www.Example.org.", 2);
  names.add("www.example.org", 3);
  assertEquals(names.get("WWW.example.org"), 2);
  assertEquals(names.get("other.example.org."), 1);
  for (const unknown of ["example.org", "a.b.example.org", "org", "", "."]) {
    assertEquals([names.has(unknown), names.get(unknown)], [false, undefined]);
  }
});
