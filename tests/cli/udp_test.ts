// Both programs with --udp, and the tools that they stand in for.

import { assertEquals, assertMatch } from "@std/assert";
import { serveDatagrams } from "../../datagram/mod.ts";
import { Peer, portOf, text } from "../_datagrams.ts";
import { canRun } from "../_permissions.ts";
import {
  assertOneLine,
  cannotStart,
  cannotStartPython,
  type Ended,
  Program,
  run,
  start,
} from "../_programs.ts";
import { bounded, until } from "../_serving.ts";

const ignore = cannotStart;

/** `server.ts --udp` on a free port. */
async function startServer(...args: string[]): Promise<{ program: Program; port: number }> {
  const program = start("server.ts", "--udp", "--port", "0", ...args);
  const [, port] = await program.stderr.until(/receiving datagrams on 127\.0\.0\.1:(\d+)/);
  return { program, port: Number(port) };
}

/** `client.ts --udp` with all of its input. */
async function runClient(input: string, port: number, ...args: string[]): Promise<Ended> {
  await using client = start("client.ts", "--udp", "--port", String(port), ...args);
  await client.type(input);
  await client.endInput();
  return await client.ended();
}

Deno.test({ name: "server.ts --udp greets client.ts --udp", ...bounded, ignore }, async () => {
  const { program, port } = await startServer();
  await using server = program;
  const told = await run("client.ts", "--udp", "--port", String(port), "rose", "żółw", "exit");
  assertEquals(told, { code: 0, stdout: "hello, rose!\nhello, żółw!\ngood-bye!\n", stderr: "" });
  const typed = await runClient("rose\n\nexit\nnever\n", port);
  assertEquals(typed, { code: 0, stdout: "hello, rose!\ngood-bye!\n", stderr: "" });
  const long = "x".repeat(1017);
  const bad = await runClient(`${long}\nrose\n`, port);
  assertEquals([bad.code, bad.stdout], [1, "hello, rose!\n"]);
  assertMatch(bad.stderr, /a name must have at most 1016 bytes/);
  server.kill("SIGTERM");
  const { code, stderr } = await server.ended();
  assertEquals(code, 0);
  assertMatch(
    stderr,
    /draining \(datagrams on 127\.0\.0\.1:\d+\)\n.*closed \(datagrams on 127\.0\.0\.1:\d+\)\n/,
  );
});

Deno.test({
  name: "server.ts --udp greets nc -u and Python",
  ...bounded,
  ignore: cannotStartPython || !await canRun("nc"),
}, async () => {
  const { program, port } = await startServer();
  await using _server = program;
  await using nc = new Program("nc", ["-u", "127.0.0.1", String(port)]);
  await nc.type("rose\n");
  await nc.stdout.until(/hello, rose!/);
  await nc.type("exit\n");
  await nc.stdout.until(/good-bye!/);
  await nc.type("think\n"); // it has forgotten nothing
  await nc.stdout.until(/hello, think!/);
  await using python = new Program("python3", [
    "-c",
    `import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(20)
for name in ("rose", "x"):
    s.sendto(name.encode(), ("127.0.0.1", int(sys.argv[1])))
    print(s.recv(1024).decode())`,
    String(port),
  ]);
  const { stdout, stderr } = await python.ended();
  assertEquals([stdout, stderr], ["hello, rose!\nhello, x!\n", ""]);
});

Deno.test({ name: "server.ts --udp drops who is denied", ...bounded, ignore }, async () => {
  const { program, port } = await startServer("--deny", "127.0.0.0/8");
  await using server = program;
  await using peer = await Peer.bind();
  await peer.send("rose", port);
  await server.stderr.until(
    /datagram of 127\.0\.0\.1:\d+ dropped \(4 bytes\): its address is denied/,
  );
});

Deno.test({ name: "client.ts --raw --udp relays as nc -u does", ...bounded, ignore }, async () => {
  const sizes: number[] = [];
  await using server = serveDatagrams({ port: 0 }, (message, sender) => {
    sizes.push(message.length);
    return sender.send(message);
  });
  const { code, stdout, stderr } = await runClient("rose\n", portOf(server), "--raw", "--verbose");
  assertEquals([code, stdout], [0, "rose\n"]);
  assertMatch(stderr, /sending datagrams to 127.*\nsent 1 datagrams, received 1/);
  // Each read of standard input is a datagram.
  await using client = start("client.ts", "--raw", "--udp", "--port", String(portOf(server)));
  for (const line of ["one\n", "two\n"]) {
    await client.type(line);
    await client.stdout.until(new RegExp(line));
  }
  assertEquals(sizes, [5, 4, 4]);
  const large = await runClient("x".repeat(50_000), portOf(server), "--raw");
  assertEquals(large.stdout.length, 50_000);
  assertEquals(sizes.slice(3).every((size) => size <= 16 * 1024), true);
});

Deno.test(
  { name: "client.ts --raw --udp in one direction, and its dump", ...bounded, ignore },
  async () => {
    const received: string[] = [];
    await using server = serveDatagrams({ port: 0 }, (message, sender) => {
      received.push(text(message));
      return sender.send("answer");
    });
    const port = portOf(server);
    const sent = await runClient("rose\n", port, "--raw", "--send-only", "--crlf");
    assertEquals(sent, { code: 0, stdout: "", stderr: "" });
    await until(() => received.length === 1);
    assertEquals(received, ["rose\r\n"]);
    const dumped = await runClient("a", port, "--raw", "--hex", "--idle", "300");
    assertMatch(dumped.stdout, /^> 00000000 {2}61 .*\n< 00000000 {2}61 6e 73 77 65 72 .*\n$/);
    const waited = await run(
      "client.ts",
      "--udp",
      "--raw",
      "--recv-only",
      "--idle",
      "50",
      "--port",
      "9",
    );
    assertEquals(waited, { code: 0, stdout: "", stderr: "" });
  },
);

Deno.test({ name: "client.ts --udp says that there is no reply", ...bounded, ignore }, async () => {
  await using silent = await Peer.bind();
  const ended = await run(
    "client.ts",
    ...["--udp", "--port", String(silent.port), "--timeout", "50", "rose"],
  );
  assertOneLine(ended, [
    1,
    `no reply from 127.0.0.1:${silent.port} within 50 ms: it may be lost, or nothing receives there`,
  ]);
});

Deno.test(
  { name: "the programs refuse what is of no use with --udp", ...bounded, ignore },
  async () => {
    for (
      const [args, problem] of [
        [["client.ts", "--udp", "--tls", "x"], "--tls is of no use with --udp"],
        [["client.ts", "--udp", "--unix", "/x", "x"], "--unix is of no use with --udp"],
        [["client.ts", "--udp", "exit", "x"], 'exit ends the conversation: "x" cannot follow it'],
        [["server.ts", "--udp", "--workers", "2"], "--workers is of no use with --udp"],
        [
          ["server.ts", "--udp", "--service", "echo"],
          "--udp is for --service greeting, got --service echo",
        ],
      ] as const
    ) {
      const [file, ...rest] = args;
      assertOneLine(await run(file, ...rest), [2, `${problem} (see --help)`]);
    }
    await using taken = await Peer.bind();
    const inUse = await run("server.ts", "--udp", "--port", String(taken.port));
    assertOneLine(inUse, [
      1,
      `cannot listen on 127.0.0.1:${taken.port}: the port is in use: stop the other program, or choose another with --port`,
    ]);
  },
);
