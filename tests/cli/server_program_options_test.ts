// The command line of the server program: its help, and what it says of wrong usage.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { assertOneLine, cannotStart, run } from "../_programs.ts";
import { FLAGS, OPTIONS } from "../../cli/server/options.ts";

const ignore = cannotStart;

Deno.test(
  { name: "server.ts --help names every option in groups, with examples", ignore },
  async () => {
    const { stdout: help } = await run("server.ts", "--help");
    for (const name of [...OPTIONS, ...FLAGS, "help", "version"]) {
      assertEquals(help.match(new RegExp(`^  (-h, )?--${name}( |\n)`, "gm"))?.length, 1, name);
    }
    assertEquals(help.match(/^ {2}deno run .*server\.ts .*$/gm)?.length, 3);
    for (
      const group of [
        "Service",
        "Address",
        "TLS",
        "Clients",
        "Times",
        "Log",
        "For operators",
        "Examples",
      ]
    ) {
      assertStringIncludes(help, `\n\n${group}`);
    }
    const lines = help.split("\n");
    assert(lines.length <= 90, `${lines.length} lines`);
    for (const line of lines) assert(line.length <= 80, line);
  },
);

const COUNT = "must be a whole number from 1 to 1073741824, got";
const TIME =
  "must be a time from 1ms to 596h, such as 500ms, 30s, 10m or 1h, a number of milliseconds, or none, got";
const BLOCK = "must be an IP address or a CIDR block such as 10.0.0.0/8, got";
const OF_NO_USE = "is of no use with --unix";

const MISUSES: [args: string[], message: string][] = [
  [["--service", "time"], '--service must be one of greeting, echo, discard, chat, got "time"'],
  [["--service"], "--service needs a value"],
  [["--workers", "0"], '--workers must be a whole number from 1 to 256, got "0"'],
  [
    ["--workers", "2", "--unix", "s"],
    "--workers and --unix exclude each other: workers share a TCP port",
  ],
  [
    ["--workers", "2", "--transport", "deno"],
    "--workers needs --transport node, which is its default",
  ],
  [["--admin-token", "f"], "--admin-token is of no use without --admin"],
  [["--admin-control"], "--admin-control is of no use without --admin"],
  [
    ["--admin", "[::1]:9", "--admin-token", "f"],
    "--admin-token is of no use without --admin-control",
  ],
  [
    ["--admin", "[::1]:9", "--admin-control"],
    "--admin-control needs --admin-token, or a Unix socket as --admin",
  ],
  ...["9090", "[::1]", "localhost:99999"].map((place): [string[], string] => [
    ["--admin", place],
    `--admin must be an address such as 127.0.0.1:9090, or the path of a Unix socket, got "${place}"`,
  ]),
  [
    ["--workers", "2", "--capture", "f"],
    "--workers and --capture exclude each other: one thread writes the file",
  ],
  [
    ["--nats", "nats://127.0.0.1:4222"],
    "--nats is for --service chat, got --service greeting",
  ],
  ...["127.0.0.1:4222", "nats://", "nats://a@b", "nats://a/b"].map((url): [string[], string] => [
    ["--service=chat", "--nats", url],
    `--nats must be a URL such as nats://127.0.0.1:4222, got "${url}"`,
  ]),
  [["--service", "echo", "--delay", "5"], "--delay is for --service greeting, got --service echo"],
  [
    ["--unix", "s", "--port", "5"],
    "--unix and --port exclude each other: one socket has one address",
  ],
  [
    ["--unix=s", "--hostname=::1"],
    "--unix and --hostname exclude each other: one socket has one address",
  ],
  [["--mode", "660"], "--mode is for a Unix socket, and needs --unix"],
  [["--unix", "s", "--mode", "rw"], '--mode must be three octal digits from 000 to 777, got "rw"'],
  [["--unix", "s", "--mode", "66"], '--mode must be three octal digits from 000 to 777, got "66"'],
  [
    ["--unix", "s", "--mode", "680"],
    '--mode must be three octal digits from 000 to 777, got "680"',
  ],
  [["--unix=s", "--mode=1777"], '--mode must be three octal digits from 000 to 777, got "1777"'],
  [["--tls-mode", "detect"], "--tls-mode is of no use without --tls-cert"],
  [
    ["--tls-cert", "c.pem", "--tls-key", "k.pem", "--tls-mode", "detect"],
    "--tls-mode detect is for services whose clients speak first (echo, discard), got --service greeting",
  ],
  [["--tls-cert", "c.pem"], "--tls-cert needs --tls-key, its private key"],
  [["--tls-key", "k.pem"], "--tls-key needs --tls-cert, its certificate"],
  [["--allow", "all"], `--allow ${BLOCK} "all"`],
  [["--allow", "10.0.0.1,,::1"], `--allow ${BLOCK} ""`],
  [["--deny", "::1,10.0.0.1 10.0.0.2"], `--deny ${BLOCK} "10.0.0.1 10.0.0.2"`],
  [["--deny", "::1/129"], '--deny must have a prefix length from 0 to 128, got "::1/129"'],
  [
    ["--deny", "10.1.2.3/8"],
    '--deny must have no bit set past its prefix, got "10.1.2.3/8": the block is 10.0.0.0/8',
  ],
  [["--allow", "::1", "--allow", "::2"], "--allow is given 2 times"],
  [["--proxy-protocol=v2"], "--proxy-protocol takes no value"],
  [["--proxy-protocol", "v2"], 'unexpected argument "v2"'],
  [
    ["--proxy-protocol"],
    "--proxy-protocol needs --trusted, the addresses of the proxies, or 0.0.0.0/0,::/0 for everybody",
  ],
  [["--proxy-protocol", "--trusted", "x"], `--trusted ${BLOCK} "x"`],
  [["--trusted", "::1"], "--trusted is of no use without --proxy-protocol"],
  [
    ["--unix", "s", "--proxy-protocol", "--trusted", "::1"],
    `--trusted ${OF_NO_USE}: every peer that may connect is trusted`,
  ],
  ...[["allow", "::1"], ["deny", "::1"], ["max-sessions-per-address", "1"], ["session-rate", "1"]]
    .map((
      [name, value],
    ): [string[], string] => [
      ["--unix", "s", `--${name}`, value!],
      `--${name} ${OF_NO_USE}: clients have an address there only by --proxy-protocol`,
    ]),
  [["--max-sessions", "many"], `--max-sessions ${COUNT} "many"`],
  [["--max-sessions-per-address", "0"], `--max-sessions-per-address ${COUNT} "0"`],
  [
    ["--max-sessions-per-address", "1073741825"],
    `--max-sessions-per-address ${COUNT} "1073741825"`,
  ],
  [
    ["--max-sessions-per-address=1", "--ipv6-prefix=129"],
    '--ipv6-prefix must be a whole number from 1 to 128, got "129"',
  ],
  [
    ["--ipv6-prefix=48"],
    "--ipv6-prefix is of no use without --max-sessions-per-address or --session-rate",
  ],
  ...["0", "-30", "0s", "1.5s", "-1s", "30 s", "597h", "10d", "s", "Infinity"].map((
    time,
  ): [string[], string] => [["--idle-timeout", time], `--idle-timeout ${TIME} "${time}"`]),
  [["--read-idle-timeout", "soon"], `--read-idle-timeout ${TIME} "soon"`],
  [["--session-rate", "0"], `--session-rate ${COUNT} "0"`],
  [
    ["--read-rate", "fast"],
    "--read-rate must be a size from 1 to 1024G, such as 500K, 64M or 1G, a number of bytes, or none, " +
    'got "fast"',
  ],
  [
    ["--write-rate", "1025G"],
    "--write-rate must be a size from 1 to 1024G, such as 500K, 64M or 1G, a number of bytes, or none, " +
    'got "1025G"',
  ],
  [
    ["--max-buffer-memory", "7M"],
    "--max-buffer-memory must be a size from 8M to 1048576G, such as 500K, 64M or 1G, a number of bytes, or none, " +
    'got "7M"',
  ],
  [["--drain-delay", "0"], `--drain-delay ${TIME} "0"`],
  [["--shutdown-timeout", "soon"], `--shutdown-timeout ${TIME} "soon"`],
];

Deno.test(
  {
    name: "server.ts reports the option, its limit and the value in one line, exit code 2",
    ignore,
  },
  async () => {
    for (const [args, message] of MISUSES) {
      assertOneLine(await run("server.ts", ...args), [2, `${message} (see --help)`]);
    }
  },
);
