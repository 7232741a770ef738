// The recipes of docs/codecs.md, each with bytes as its protocol has them on the wire.

import { assertEquals, assertStringIncludes } from "@std/assert";
import type { Codec } from "../../codecs/codec.ts";
import {
  delimited,
  headerPrefixed,
  lengthPrefixed,
  lines,
  octetCounted,
} from "../../codecs/mod.ts";
import { concat, decode, encode, threeWays, toBytes } from "../_codecs.ts";
import { canRead } from "../_permissions.ts";

const pure = { permissions: "none" } as const;

/** Hexadecimal digits as bytes. */
function hex(digits: string): Uint8Array {
  return Uint8Array.from(digits.match(/[\da-f]{2}/g) ?? [], (byte) => parseInt(byte, 16));
}

interface Recipe {
  protocol: string;
  /** The codec as the guide has it. */
  written: string;
  codec: Codec<unknown, never>;
  /** Messages as they are on the wire, and what is read of each. */
  messages: [wire: Uint8Array, frame: unknown][];
  /** What is sent, where it is not what is read. */
  sends?: unknown[];
}

/** Of codecs that give out what is on the wire. */
const whole = (...wires: Uint8Array[]): [Uint8Array, Uint8Array][] =>
  wires.map((wire) => [wire, wire]);
const behind = (count: number, ...wires: Uint8Array[]): [Uint8Array, Uint8Array][] =>
  wires.map((wire) => [wire, wire.subarray(count)]);

const cancel = "SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP 192.0.2.1\r\nContent-Length: 0\r\n\r\n";
const event = "<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 - An event";

const RECIPES: Recipe[] = [
  {
    protocol: "PostgreSQL, after the first message",
    written: "lengthPrefixed({ width: 4, offset: 1, adjustment: -4, keepHeader: true })",
    codec: lengthPrefixed({ width: 4, offset: 1, adjustment: -4, keepHeader: true }),
    // Query `SELECT 1`, Sync, ReadyForQuery, Terminate
    messages: whole(
      hex("51 0000000d 53454c454354203100"),
      hex("53 00000004"),
      hex("5a 00000005 49"),
      hex("58 00000004"),
    ),
  },
  {
    protocol: "PostgreSQL, the first message",
    written: "lengthPrefixed({ includesHeader: true })",
    codec: lengthPrefixed({ includesHeader: true }),
    // SSLRequest, StartupMessage of version 3.0 with the user `rose`
    messages: behind(
      4,
      hex("00000008 04d2162f"),
      hex("00000013 00030000 7573657200 726f736500 00"),
    ),
  },
  {
    protocol: "MySQL",
    written: "lengthPrefixed({ width: 3, littleEndian: true, adjustment: 1, maxLength: 2 ** 24 })",
    codec: lengthPrefixed({ width: 3, littleEndian: true, adjustment: 1, maxLength: 2 ** 24 }),
    // COM_PING, COM_QUERY `SELECT 1`, the OK of a server
    messages: behind(
      3,
      hex("010000 00 0e"),
      hex("090000 00 03 53454c4543542031"),
      hex("070000 01 00000002000000"),
    ),
  },
  {
    protocol: "MQTT",
    written: 'lengthPrefixed({ width: "varint", maxWidth: 4, offset: 1, keepHeader: true })',
    codec: lengthPrefixed({ width: "varint", maxWidth: 4, offset: 1, keepHeader: true }),
    // CONNECT of 3.1.1, PUBLISH of 130 bytes, PINGREQ
    messages: whole(
      hex("10 10 0004 4d515454 04 02 003c 0004 726f7365"),
      concat([hex("30 8201 0001 61"), new Uint8Array(127)]),
      hex("c0 00"),
    ),
  },
  {
    protocol: "Kafka",
    written: "lengthPrefixed({ maxLength: 100 * 1024 * 1024 })",
    codec: lengthPrefixed({ maxLength: 100 * 1024 * 1024 }),
    // ApiVersions request, version 0
    messages: behind(4, hex("0000000e 0012 0000 00000001 0004 74657374")),
  },
  {
    protocol: "DNS over TCP (RFC 1035 §4.2.2)",
    written: "lengthPrefixed({ width: 2 })",
    codec: lengthPrefixed({ width: 2 }),
    // a query for the A records of example.com
    messages: behind(
      2,
      hex("001d 1234 0100 0001 0000 0000 0000 076578616d706c65 03636f6d 00 0001 0001"),
    ),
  },
  {
    protocol: "AMQP 0-9-1, after its 8 bytes",
    written: "lengthPrefixed({ width: 4, offset: 3, adjustment: 1, keepHeader: true })",
    codec: lengthPrefixed({ width: 4, offset: 3, adjustment: 1, keepHeader: true }),
    // heartbeat, connection.tune-ok, channel.open
    messages: whole(
      hex("08 0000 00000000 ce"),
      hex("01 0000 0000000c 000a001f 07ff 00020000 003c ce"),
      hex("01 0001 00000005 0014000a 00 ce"),
    ),
  },
  {
    protocol: "AMQP 1.0, after its 8 bytes",
    written: "lengthPrefixed({ includesHeader: true })",
    codec: lengthPrefixed({ includesHeader: true }),
    // an empty frame, which keeps the connection
    messages: behind(4, hex("00000008 02000000")),
  },
  {
    protocol: "Modbus/TCP",
    written: "lengthPrefixed({ width: 2, offset: 4, keepHeader: true, maxLength: 260 })",
    codec: lengthPrefixed({ width: 2, offset: 4, keepHeader: true, maxLength: 260 }),
    // Read Holding Registers, and its reply
    messages: whole(
      hex("0001 0000 0006 11 03 006b 0003"),
      hex("0001 0000 0009 11 03 06 022b 0000 0064"),
    ),
  },
  {
    protocol: "LSP, DAP",
    written: "headerPrefixed()",
    codec: headerPrefixed(),
    messages: [[toBytes('Content-Length: 33\r\n\r\n{"jsonrpc":"2.0","method":"exit"}'), {
      startLine: "",
      headers: [["Content-Length", "33"]],
      body: toBytes('{"jsonrpc":"2.0","method":"exit"}'),
    }]],
    sends: [{ body: '{"jsonrpc":"2.0","method":"exit"}' }],
  },
  {
    protocol: "SIP over TCP",
    written: 'headerPrefixed({ startLine: true, lengthHeader: ["Content-Length", "l"] })',
    codec: headerPrefixed({ startLine: true, lengthHeader: ["Content-Length", "l"] }),
    messages: [[toBytes(cancel), {
      startLine: "SIP/2.0 200 OK",
      headers: [["Via", "SIP/2.0/TCP 192.0.2.1"], ["Content-Length", "0"]],
      body: new Uint8Array(0),
    }]],
    sends: [{ startLine: "SIP/2.0 200 OK", headers: [["Via", "SIP/2.0/TCP 192.0.2.1"]] }],
  },
  {
    protocol: "STOMP",
    written: "headerPrefixed(stomp)",
    codec: headerPrefixed({
      startLine: true,
      lengthHeader: "content-length",
      ending: "\n",
      separator: ":",
      terminator: "\0",
    }),
    messages: [
      [toBytes("SEND\ndestination:/queue/a\ncontent-length:5\n\nhello\0"), {
        startLine: "SEND",
        headers: [["destination", "/queue/a"], ["content-length", "5"]],
        body: toBytes("hello"),
      }],
    ],
    sends: [{ startLine: "SEND", headers: [["destination", "/queue/a"]], body: "hello" }],
  },
  {
    protocol: "syslog by octet counting (RFC 6587 §3.4.1)",
    written: "octetCounted()",
    codec: octetCounted(),
    messages: [[toBytes(`${event.length} ${event}`), toBytes(event)]],
  },
  {
    protocol: "syslog by lines (RFC 6587 §3.4.2)",
    written: "lines()",
    codec: lines(),
    messages: [[
      toBytes("<34>Oct 11 22:14:15 mymachine su: 'su root' failed\n"), // RFC 3164
      "<34>Oct 11 22:14:15 mymachine su: 'su root' failed",
    ]],
  },
  {
    protocol: "IRC",
    written: 'lines({ ending: "\\r\\n", maxLength: 510 })',
    codec: lines({ ending: "\r\n", maxLength: 510 }),
    messages: [
      [toBytes("NICK rose\r\n"), "NICK rose"],
      [toBytes(":rose!r@192.0.2.1 PRIVMSG #a :hello\r\n"), ":rose!r@192.0.2.1 PRIVMSG #a :hello"],
    ],
  },
  {
    protocol: "SMTP",
    written: 'lines({ ending: "\\r\\n", strict: true })',
    codec: lines({ ending: "\r\n", strict: true }),
    messages: [
      [toBytes("MAIL FROM:<rose@example.com>\r\n"), "MAIL FROM:<rose@example.com>"],
      [toBytes(".\r\n"), "."],
    ],
  },
  {
    protocol: "telnet, with its commands (IAC) in the lines",
    written: 'delimited("\\r\\n")',
    codec: delimited("\r\n"),
    // DO SUPPRESS-GO-AHEAD, WILL TERMINAL-TYPE and a name
    messages: [[hex("fffd03 fffb18 726f7365 0d0a"), hex("fffd03 fffb18 726f7365")]],
  },
];

for (const { protocol, codec, messages, sends } of RECIPES) {
  const all = concat(messages.map(([wire]) => wire));
  const frames = messages.map(([, frame]) => frame);
  for (const [way, pieces] of threeWays(all)) {
    Deno.test(`The recipe for ${protocol} reads what is on the wire, ${way}`, pure, async () => {
      const decoded = await decode(codec, pieces);
      assertEquals(decoded.frames, frames);
      assertEquals(decoded.error, undefined);
    });
  }
  Deno.test(`The recipe for ${protocol} sends what is on the wire`, pure, async () => {
    assertEquals(await encode(codec as Codec<unknown, unknown>, sends ?? frames), all);
  });
}

Deno.test("docs/codecs.md has the recipes that are tested", { ignore: !canRead }, async () => {
  const guide = await Deno.readTextFile(new URL("../../docs/codecs.md", import.meta.url));
  for (const { protocol, written } of RECIPES) {
    const row = guide.split("\n").find((line) => line.startsWith(`| ${protocol} `));
    assertStringIncludes(row ?? "", `\`${written}\``, protocol);
  }
});
