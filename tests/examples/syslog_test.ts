// The example of syslog, with logger of util-linux.

import { assertEquals } from "@std/assert";
import { parseSyslog, type SyslogMessage } from "../../examples/syslog/message.ts";
import { serveSyslog } from "../../examples/syslog/server.ts";
import { portOf } from "../_datagrams.ts";
import { isInstalled } from "../_programs.ts";
import { bounded, overNet, until } from "../_serving.ts";

const ignore = overNet.ignore || !await isInstalled("logger", "--version");
if (ignore) console.log("logger is not installed: its tests are left out");

Deno.test(
  { name: "logger sends over UDP and TCP to one service", ...bounded, ignore },
  async () => {
    const messages: SyslogMessage[] = [];
    await using server = serveSyslog(0, (message) => void messages.push(message));
    const ways = [
      ["--udp"],
      ["--udp", "--rfc3164"],
      ["--tcp"],
      ["--tcp", "--octet-count"],
      ["--tcp", "--rfc3164"],
    ];
    for (const [index, way] of ways.entries()) {
      const { success } = await new Deno.Command("logger", {
        args: [
          ...way,
          ...["--server", "127.0.0.1", "--port", String(portOf(server.udp))],
          ...["--priority", "local0.warning", "--tag", "rose", `hello ${index}`],
        ],
      }).output();
      assertEquals(success, true);
      await until(() => messages.length === index + 1);
      const { facility, severity, text, program, message } = messages[index]!;
      assertEquals([facility, severity], [16, 4]);
      if (way.includes("--rfc3164")) assertEquals(/ rose: (.*)$/.exec(text)?.[1], `hello ${index}`);
      else assertEquals([program, message], ["rose", `hello ${index}`]);
    }
    assertEquals([server.udp.stats().received, server.tcp.stats().accepted], [2, 3]);
  },
);

Deno.test("parseSyslog() takes both formats, and nothing else", () => {
  const cases: [string, Partial<SyslogMessage> | undefined][] = [
    ["<34>1 2026-01-01T00:00:00Z host su - ID47 - \ufeff'su root' failed", {
      facility: 4,
      severity: 2,
      host: "host",
      program: "su",
      message: "'su root' failed",
    }],
    ['<0>1 - h p - - [a b="c\\]"][d] x', { facility: 0, message: "x" }],
    ["<191>1 - - - - - -", { facility: 23, severity: 7, message: "" }],
    ["<13>Oct 11 22:14:15 host rose: hi", { facility: 1, severity: 5 }],
    ["<192>x", undefined],
    ["<013>x", undefined],
    ["<>x", undefined],
    ["x", undefined],
    ["", undefined],
  ];
  for (const [line, expected] of cases) {
    const parsed = parseSyslog(line);
    if (expected === undefined) assertEquals(parsed, undefined);
    else assertEquals({ ...parsed, ...expected }, parsed);
  }
});
