import { assertEquals, assertMatch } from "@std/assert";
import { runClient } from "../_client_program.ts";
import { assertOneLine, cannotStart } from "../_programs.ts";

const ignore = cannotStart;

const TIME =
  "must be a time from 1ms to 596h, such as 500ms, 30s, 10m or 1h, a number of milliseconds, or none, got";

const MISUSES: [args: string[], message: string][] = [
  [
    ["--send-only", "--recv-only", "--raw"],
    "--send-only and --recv-only exclude each other: nothing would be left to do",
  ],
  [
    ["--raw", "--send-only", "--no-shutdown"],
    "--send-only and --no-shutdown exclude each other: it leaves at the end of input",
  ],
  [
    ["--raw", "--recv-only", "--crlf"],
    "--recv-only and --crlf exclude each other: it sends nothing",
  ],
  [
    ["--raw", "--send-only", "--output", "x"],
    "--send-only and --output exclude each other: what comes is dropped",
  ],
  [
    ["--unix", "/x", "--port", "5"],
    "--unix and --port exclude each other: one socket has one address",
  ],
  [
    ["--hostname", "x", "--unix", "/x"],
    "--unix and --hostname exclude each other: one socket has one address",
  ],
  [["--tls", "--cert", "x"], "--cert needs --key, its private key"],
  [["--tls", "--key", "x"], "--key needs --cert, its certificate"],
  [["--tls", "--unix", "/x"], "--tls with --unix needs --servername, the host of the certificate"],
  [
    ["--tls", "--insecure", "--ca", "x"],
    "--insecure and --ca exclude each other: either the certificate is checked or it is not",
  ],
  ...["ca", "cert", "key", "servername", "alpn"].map((name): [string[], string] => [
    [`--${name}`, "x"],
    `--${name} needs --tls`,
  ]),
  [["--insecure"], "--insecure needs --tls"],
  ...["crlf", "send-only", "recv-only", "no-shutdown", "hex"].map((name): [string[], string] => [
    [`--${name}`],
    `--${name} needs --raw`,
  ]),
  [["--output", "x"], "--output needs --raw"],
  [["--raw", "rose"], 'unexpected argument "rose": --raw sends standard input'],
  [["--raw=yes"], "--raw takes no value"],
  [["--proxy-header", "v3"], '--proxy-header must be one of v1, v2, got "v3"'],
  [["--timeout", "0"], `--timeout ${TIME} "0"`],
  [
    ["--raw", "--tls", "--servername", "."],
    '--servername must be a host name or an IP address, got "."',
  ],
  [["--raw", "--tls", "--alpn", "h2,"], "a protocol in --alpn must not be empty"],
];

Deno.test({ name: "client.ts refuses options that do not go together", ignore }, async () => {
  for (const [args, message] of MISUSES) {
    assertOneLine(await runClient(["--allow-net"], args), [2, `${message} (see --help)`]);
  }
});

Deno.test(
  { name: "client.ts --help shows each option once, and three examples", ignore },
  async () => {
    const { stdout } = await runClient([], ["--help"]);
    const names = [
      ...["hostname", "port", "unix", "proxy-header", "reconnect", "udp", "tls", "ca", "capture"],
      ...[
        "transport",
        "servername",
        "cert",
        "key",
        "alpn",
        "insecure",
        "raw",
        "no-shutdown",
        "send-only",
        "recv-only",
      ],
      ...["crlf", "hex", "output", "timeout", "idle", "read-idle"],
      ...["verbose", "help", "version"],
    ];
    const shown = [...stdout.matchAll(/^ {2}(?:-h, )?--([\w-]+)/gm)].map(([, name]) => name);
    assertEquals(shown.toSorted(), names.toSorted());
    const [, examples] = stdout.split("\nExamples\n");
    assertEquals(examples!.match(/^ {2}\S/gm)?.length, 3);
  },
);

Deno.test({ name: "client.ts --timeout and --idle take a unit as well", ignore }, async () => {
  for (const name of ["--idle", "--read-idle", "--timeout"]) {
    const { code, stderr } = await runClient(["-N"], [name, "5 min"]);
    assertEquals(code, 2);
    assertMatch(stderr, new RegExp(`^error: ${name} must be a time .*30s.*, got "5 min" .*\\n$`));
  }
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 }); // nobody accepts
  const args = ["--port", `${listener.addr.port}`, "--timeout"];
  for (const timeout of ["1s", "1000"]) {
    assertOneLine(await runClient(["--allow-net"], [...args, timeout, "rose"]), [
      1,
      "no reply within 1000 ms: try a longer --timeout, or try --tls",
    ]);
  }
  const { stderr } = await runClient(["-N"], [...args, "none", "--idle", "300", "rose"]);
  assertMatch(stderr, /^error: no byte came or went for 300 ms: try a longer --idle\n$/);
  const silent = await runClient(["-N"], [...args, "none", "--read-idle", "300", "rose"]);
  assertMatch(silent.stderr, /^error: no byte came for 300 ms: try a longer --read-idle\n$/);
});
