// The example of DNS, asked by dig.

import { assertEquals, assertMatch } from "@std/assert";
import { Buffer } from "node:buffer";
import { formatError, parseQuestion } from "../../examples/dns/packets.ts";
import { serveDns } from "../../examples/dns/server.ts";
import type { Pair } from "../../examples/pair.ts";
import { parseZone } from "../../examples/dns/zone.ts";
import { connectDatagrams } from "../../datagram/mod.ts";
import { isInstalled } from "../_programs.ts";
import { portOf } from "../_datagrams.ts";
import { bounded, overNet, until } from "../_serving.ts";

const ignore = overNet.ignore || !await isInstalled("dig");
if (ignore) console.log("dig is not installed: its tests are left out");

const zone = parseZone(`
; a comment
rose.example. 300 A 192.0.2.1
Rose.Example 300 A 192.0.2.2
rose.example. 60 AAAA 2001:db8::1:2
rose.example. 60 TXT roses are red
rose.example. 60 NS ns.example.
long.example. 1 TXT ${"x".repeat(300)}
huge.example. 1 TXT ${"x".repeat(3000)}
`);

async function dig(server: Pair, ...args: string[]): Promise<string> {
  const { stdout } = await new Deno.Command("dig", {
    args: ["@127.0.0.1", "-p", String(portOf(server.udp)), "+tries=3", "+time=5", ...args],
  }).output();
  return new TextDecoder().decode(stdout).trim();
}

Deno.test({ name: "dig gets records over UDP and TCP", ...bounded, ignore }, async () => {
  await using server = serveDns(0, zone);
  for (const way of ["+notcp", "+tcp"]) {
    const ask = (...args: string[]) => dig(server, "+short", way, ...args);
    assertEquals(await ask("rose.example"), "192.0.2.1\n192.0.2.2");
    assertEquals(await ask("rOsE.example", "AAAA"), "2001:db8::1:2");
    assertEquals(await ask("rose.example", "TXT"), '"roses are red"');
    assertEquals(await ask("rose.example", "NS"), "ns.example.");
    assertMatch(await dig(server, way, "none.example"), /status: NXDOMAIN/);
    assertMatch(await dig(server, way, "rose.example", "MX"), /status: NOERROR.*\n.*ANSWER: 0/);
  }
});

Deno.test({ name: "dig comes back over TCP for long answers", ...bounded, ignore }, async () => {
  await using server = serveDns(0, zone);
  // (12 + 18 + 11 of EDNS and 12 of its cookie + 28) × 3 is less than the answer with its headers.
  const long = await dig(server, "+short", "long.example", "TXT");
  assertEquals(long.replaceAll(/[" ]/g, "").length, 300);
  assertEquals(server.udp.stats().drops.amplification, 1);
  assertEquals(server.tcp.stats().accepted, 1);
  assertMatch(await dig(server, "+ignore", "long.example", "TXT"), /flags: qr aa tc/);
  const huge = await dig(server, "+short", "huge.example", "TXT");
  assertEquals(huge.replaceAll(/[" ]/g, "").length, 3000);
  assertEquals(server.udp.stats().handlerErrors, 0);
});

Deno.test(
  "DNS: every datagram that is cut or changed has one answer at most",
  overNet,
  async () => {
    const errors: unknown[] = [];
    await using server = serveDns(0, zone, {
      udp: { onError: (error) => void errors.push(error) },
    });
    await using client = await connectDatagrams({ port: portOf(server.udp) });
    const question = Buffer.from(
      "1234010000010000000000000472 6f7365076578616d706c650000010001".replace(" ", ""),
      "hex",
    );
    const all: Uint8Array[] = [];
    for (let end = 0; end <= question.length; end++) all.push(question.subarray(0, end));
    for (let at = 0; at < question.length; at++) {
      for (const bits of [1, 0x80, 0xff]) {
        const changed = new Uint8Array(question);
        changed[at]! ^= bits;
        all.push(changed);
      }
    }
    for (const datagram of all) await client.send(datagram);
    await until(() => server.udp.stats().received === all.length);
    await until(() => server.udp.stats().active === 0);
    assertEquals(errors, []);
    assertEquals(server.udp.stats().sent <= all.length, true);
    await client.send(question);
    await until(() => client.stats().received === server.udp.stats().sent);
  },
);

Deno.test("DNS: answers are not answered, and pointers in questions are malformed", () => {
  const header = [0x12, 0x34, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0];
  assertEquals(parseQuestion(Uint8Array.from([...header, 0, 0, 1, 0, 1])), undefined);
  assertEquals(formatError(Uint8Array.from(header)), undefined);
  header[2] = 0;
  const pointer = Uint8Array.from([...header, 0xc0, 0x0c, 0, 1, 0, 1]);
  try {
    parseQuestion(pointer);
    throw new Error("it was parsed");
  } catch (error) {
    assertMatch(String(error), /MalformedFrameError: bad name/);
  }
  assertEquals(formatError(pointer)?.length, 12);
});
