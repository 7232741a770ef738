import { assert, assertEquals, assertFalse, assertMatch } from "@std/assert";
import { hasDenoSockets } from "../../_internal/deno_sockets.ts";
import { serve } from "../../serve/serve.ts";
import { cannotRun } from "../_client_program.ts";
import {
  assertOneLine,
  cannotStart,
  cannotStartTerminal,
  Client,
  type Ended,
  GreetingServer,
  onTerminal,
  Program,
  resetting,
  run,
  start,
  startOnTerminal,
} from "../_programs.ts";
import { portOf } from "../_serving.ts";
import { DISTURBING, isDisturbing } from "../_thrown.ts";

const ignore = cannotStart;

/** A server that has one client, and plays to it what a test writes. */
class Stage implements Disposable {
  readonly port: string;
  readonly #listener: Deno.TcpListener = Deno.listen({ hostname: "127.0.0.1", port: 0 });

  constructor() {
    this.port = String(this.#listener.addr.port);
  }

  async accept(): Promise<Client> {
    return new Client(await this.#listener.accept());
  }

  /** Runs `client.ts` against a scene, after which the server leaves. */
  async play(args: string[], scene: (peer: Client) => Promise<void>): Promise<Ended> {
    await using program = start("client.ts", "--port", this.port, ...args);
    await program.endInput();
    using peer = await this.accept();
    await scene(peer);
    peer.conn.close();
    return await program.ended();
  }

  [Symbol.dispose](): void {
    this.#listener.close();
  }
}

Deno.test(
  { name: "client.ts sends each name after the last reply, then exit", ignore },
  async () => {
    using stage = new Stage();
    const ended = await stage.play(["rose", "think", "babala"], async (peer) => {
      await peer.say("welcome!");
      for (const name of ["rose", "think", "babala"]) {
        await peer.hear(name);
        await peer.say(`hello, ${name}!`);
      }
      await peer.hear("exit");
      await peer.hearEnd(); // nothing was sent before its time
    });
    assertEquals(ended, {
      code: 0,
      stdout: "welcome!\nhello, rose!\nhello, think!\nhello, babala!\n",
      stderr: "",
    });
  },
);

Deno.test({ name: "client.ts talks to server.ts", ignore }, async () => {
  await using server = await GreetingServer.start();
  const names = [
    "rose",
    "007",
    "1e3",
    "żółw 🐢",
    "new\nline",
    "tea\n",
    "myport",
    "--",
    "--port",
    "-",
  ];
  const [first, second, ...others] = names;
  const { code, stdout, stderr } = await run(
    "client.ts",
    ...[first!, second!, "--port", String(server.port), "--", ...others],
  );
  assertEquals([code, stderr], [0, ""]);
  const said = names.map((name) => `hello, ${name.replace("tea\n", "tea")}!\n`);
  assertEquals(stdout, `welcome!\n${said.join("")}`);
  await server.program.stderr.until(/ended: local/); // which is what exit does
});

Deno.test({ name: "client.ts reads names from standard input, one a line", ignore }, async () => {
  await using server = await GreetingServer.start();
  const port = String(server.port);
  await using program = start("client.ts", "--port", port);
  await program.stdout.until(/^welcome!\n$/);
  await program.type("rose\r\n\n");
  await program.stdout.until(/hello, rose!\n$/); // at once, not at the end of input
  await program.type("think\nżó");
  await program.stdout.until(/hello, think!\n$/);
  await program.type("łw");
  await program.endInput();
  assertEquals(await program.ended(), {
    code: 0,
    stdout: "welcome!\nhello, rose!\nhello, think!\nhello, żółw!\n",
    stderr: "",
  });
  await server.program.stderr.until(/ended: local/);
  assertEquals((await run("client.ts", "--port", port)).stdout, "welcome!\n"); // no name at all
});

for (const way of ["an argument", "a line"] as const) {
  Deno.test({ name: `client.ts ends at a name that is exit, as ${way}`, ignore }, async () => {
    using stage = new Stage();
    const args = way === "a line" ? [] : ["rose", "exit\n"];
    await using program = start("client.ts", "--port", stage.port, ...args);
    if (way === "a line") await program.type("rose\nexit\nnever\n"); // and the input stays open
    using peer = await stage.accept();
    await peer.say("welcome!");
    await peer.hear("rose");
    await peer.say("hello, rose!");
    await peer.hear("exit");
    await peer.hearEnd();
    peer.conn.close();
    assertEquals(await program.ended(), {
      code: 0,
      stdout: "welcome!\nhello, rose!\n",
      stderr: "",
    });
  });
}

Deno.test({ name: "client.ts joins replies that come in pieces", ignore }, async () => {
  using stage = new Stage();
  const byByte = async (peer: Client, text: string) => {
    for (const byte of new TextEncoder().encode(text)) {
      await peer.conn.write(Uint8Array.of(byte));
      await new Promise((resolve) => setTimeout(resolve, 1)); // only makes it likely to be read alone
    }
  };
  const { stdout } = await stage.play(["żółw", "rose"], async (peer) => {
    await byByte(peer, "welcome!");
    await peer.hear("żółw");
    await byByte(peer, "hello, żółw!");
    await peer.hear("rose");
    await byByte(peer, "hello, rose!");
    await peer.hear("exit");
  });
  assertEquals(stdout, "welcome!\nhello, żółw!\nhello, rose!\n");
});

Deno.test({ name: "client.ts prints other replies as they come", ignore }, async () => {
  using stage = new Stage();
  const ended = await stage.play(["rose", "think"], async (peer) => {
    await peer.say("good day\r\n");
    await peer.hear("rose");
    await peer.say("hello, rose!\n");
    await peer.hear("think");
    await peer.say("you again?\n\n");
  });
  // A line end of the server's own makes no empty line.
  assertEquals(ended, {
    code: 0,
    stdout: "good day\nhello, rose!\nyou again?\n\n",
    stderr: "",
  });
});

Deno.test(
  { name: "client.ts ends even if the server does not close at exit", ignore },
  async () => {
    using stage = new Stage();
    await using program = start("client.ts", "--port", stage.port, "rose");
    using peer = await stage.accept();
    await peer.say("welcome!");
    await peer.hear("rose");
    await peer.say("hello, rose!");
    await peer.hear("exit");
    assertEquals(await program.ended(), {
      code: 0,
      stdout: "welcome!\nhello, rose!\n",
      stderr: "",
    });
  },
);

const tooLong = (length: number): string =>
  `a name must have at most 1016 bytes, so that its reply fits in 1024, got ${length}`;

Deno.test({ name: "client.ts refuses names too long for one reply", ignore }, async () => {
  await using server = await GreetingServer.start();
  const port = String(server.port);
  const longest = ["x".repeat(1016), "ż".repeat(508)];
  const { code, stdout } = await run("client.ts", "--port", port, ...longest);
  assertEquals(code, 0);
  assertEquals(stdout, `welcome!\nhello, ${longest[0]}!\nhello, ${longest[1]}!\n`);
  // No server is needed to tell.
  for (const name of ["x".repeat(1017), "ż".repeat(508) + "x"]) {
    assertOneLine(await run("client.ts", "--port", "1", "rose", name), [
      2,
      `${tooLong(1017)} (see --help)`,
    ]);
  }
  for (const name of ["", "\n"]) {
    assertOneLine(await run("client.ts", "--port", "1", name), [
      2,
      "a name must not be empty (see --help)",
    ]);
  }
});

Deno.test({ name: "client.ts leaves out lines too long for one reply", ignore }, async () => {
  await using server = await GreetingServer.start();
  const port = String(server.port);
  await using program = start("client.ts", "--port", port);
  await program.type(`${"x".repeat(2000)}\nrose\n`);
  await program.endInput();
  assertEquals(await program.ended(), {
    code: 1,
    stdout: "welcome!\nhello, rose!\n",
    stderr: `error: ${tooLong(2000)}\n`,
  });
  await using endless = start("client.ts", "--port", port);
  await endless.type("x".repeat(70_000));
  const { code, stderr } = await endless.ended(); // without waiting for the end of the line
  assertEquals([code, stderr], [1, "error: a line of over 65536 bytes is too long for a name\n"]);
});

Deno.test({
  name: "client.ts reports that it cannot read its input",
  ignore: ignore || await cannotRun("bash"),
}, async () => {
  await using server = await GreetingServer.start();
  const command = 'exec deno run --quiet --allow-net client.ts "$@" < /';
  for (const way of [[], ["--reconnect"], ["--raw"], ["--raw", "--reconnect"]]) {
    const args = ["-c", command, "-", "--port", `${server.port}`, ...way];
    await using program = new Program("bash", args);
    const ended = await program.ended();
    assertEquals(ended.code, 1);
    assertMatch(ended.stderr, /^error: cannot read standard input: Is a directory .*\n$/);
  }
});

Deno.test({ name: "client.ts refuses names after exit", ignore }, async () => {
  assertOneLine(await run("client.ts", "rose", "exit\n", "more", "exit"), [
    2,
    'exit ends the conversation: "more" cannot follow it (see --help)',
  ]);
  await using server = await GreetingServer.start();
  const { code, stdout } = await run("client.ts", "--port", `${server.port}`, "rose", "exit");
  assertEquals([code, stdout], [0, "welcome!\nhello, rose!\n"]);
});

Deno.test({ name: "client.ts gives up on replies that do not come", ignore }, async () => {
  using silent = new Stage();
  using halting = new Stage();
  const args = ["--timeout", "1500", "rose"]; // long enough for all that does come
  const ends = await Promise.all([
    silent.play(args, (peer) => peer.hearEnd()),
    halting.play(args, async (peer) => {
      await peer.say("welcome!");
      await peer.hear("rose");
      await peer.say("hello, ");
      await peer.hearEnd();
    }),
  ]);
  const noReply = "no reply within 1500 ms: try a longer --timeout";
  assertOneLine(ends[0], [1, `${noReply}, or try --tls`]);
  assertOneLine(ends[1], [1, noReply], "welcome!\n");
});

Deno.test({
  name: "client.ts gives up on a server that does not accept it",
  ignore: ignore || Deno.build.os !== "linux", // where a full backlog keeps further clients waiting
}, async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0, tcpBacklog: 1 });
  const { port } = listener.addr;
  using _first = await Client.connect(port);
  using _second = await Client.connect(port);
  assertOneLine(await run("client.ts", "--timeout", "200", "--port", String(port), "rose"), [
    1,
    `cannot connect to 127.0.0.1:${port}: no connection within 200 ms: try a longer --timeout`,
  ]);
});

Deno.test({ name: "client.ts reports that there is no server", ignore }, async () => {
  const stage = new Stage();
  const { port } = stage;
  stage[Symbol.dispose]();
  assertOneLine(await run("client.ts", "--port", port, "rose"), [
    1,
    `cannot connect to 127.0.0.1:${port}: nothing listens there: start the server, or choose another with --hostname and --port`,
  ]);
  const { code, stderr } = await run("client.ts", "--hostname", "a..b", "rose");
  assertEquals(code, 1);
  assertMatch(
    stderr,
    /^error: cannot connect to a\.\.b:1234: .+: choose another server with .+\n$/,
  );
});

const stillRuns = (port: string | number) =>
  `see whether the server at 127.0.0.1:${port} still runs`;

Deno.test({ name: "client.ts reports that the server has left", ignore }, async () => {
  using stage = new Stage();
  const scenes: [stdout: string, (peer: Client) => Promise<void>][] = [
    ["", () => Promise.resolve()],
    ["welcome!\n", async (peer) => {
      await peer.say("welcome!");
      await peer.hear("rose");
    }],
    ["welcome!\n", async (peer) => {
      await peer.say("welcome!");
      await peer.hear("rose");
      await peer.say("hel");
    }],
  ];
  for (const [stdout, scene] of scenes) {
    const hint = stdout === "" ? ", or try --tls" : "";
    const problem = `the server closed the connection: ${stillRuns(stage.port)}${hint}`;
    assertOneLine(await stage.play(["rose"], scene), [1, problem], stdout);
  }
});

Deno.test({ name: "client.ts reports that the connection was reset", ignore }, async () => {
  await using server = await resetting("welcome!");
  const { code, stdout, stderr } = await run("client.ts", "--port", String(server.port), "rose");
  assertEquals([code, stdout], [1, "welcome!\n"]);
  assertMatch(stderr, /^error: the connection was lost: .*reset.*: see whether .* still runs\n$/i);
});

Deno.test(
  { name: "client.ts sees the server leave while it waits for a name", ignore },
  async () => {
    await using server = await GreetingServer.start();
    await using program = start("client.ts", "--port", String(server.port));
    await program.type("rose\n");
    await program.stdout.until(/hello, rose!\n$/);
    server.program.kill("SIGTERM");
    const { code, stderr } = await program.ended();
    assertEquals(code, 1);
    assertEquals(stderr, `error: the server closed the connection: ${stillRuns(server.port)}\n`);
    assertEquals((await server.program.ended()).code, 0);
  },
);

Deno.test(
  {
    name: "client.ts ends quietly when its output is closed, as in `| head -1`",
    ignore: ignore || !hasDenoSockets, // Deno 2.8.3 does not close the pipe while a read waits
  },
  async () => {
    using stage = new Stage();
    await using program = start("client.ts", "--port", stage.port, "rose", "think");
    using peer = await stage.accept();
    await peer.say("welcome!");
    await program.stdout.until(/^welcome!\n$/);
    await program.stdout.close();
    await peer.hear("rose");
    await peer.say("hello, rose!");
    await peer.hear("exit"); // there is no point in the next name
    await peer.hearEnd();
    peer.conn.close();
    assertEquals(await program.ended(), { code: 0, stdout: "welcome!\n", stderr: "" });
  },
);

Deno.test(
  { name: "client.ts needs the permission for its address, and no other", ignore },
  async () => {
    await using server = await GreetingServer.start();
    const port = String(server.port);
    await using program = new Program("deno", [
      "run",
      "--quiet",
      `--allow-net=127.0.0.1:${port}`,
      ...["env", "ffi", "import", "read", "run", "sys", "write"].map((name) => `--deny-${name}`),
      ...["client.ts", "--port", port, "rose"],
    ]);
    assertEquals((await program.ended()).stdout, "welcome!\nhello, rose!\n");
    // Its standard input is no terminal, and stays open: nothing may wait for an answer there.
    await using denied = new Program("deno", [
      "run",
      "--quiet",
      "client.ts",
      "--port",
      port,
      "rose",
    ]);
    assertOneLine(await denied.ended(), [
      1,
      `no permission for net access to "127.0.0.1:${port}": run with --allow-net`,
    ]);
  },
);

Deno.test({ name: "client.ts --help and --version print to standard output", ignore }, async () => {
  const results = await Promise.all([
    run("client.ts", "--help"),
    run("client.ts", "rose", "--port", "x", "-h"),
    run("client.ts", "--version"),
  ]);
  for (const { code, stderr } of results) assertEquals([code, stderr], [0, ""]);
  const [help, withMore, version] = results.map(({ stdout }) => stdout);
  assertMatch(
    help!,
    /^Talks to the greeting service[^]*--allow-net client\.ts[^]*--timeout[^]*\n$/,
  );
  assertEquals(withMore, help);
  for (const line of help!.split("\n")) assert(line.length <= 80, line);
  assertMatch(version!, /^@parley\/tcp \d+\.\d+\.\d+\n$/);
});

const MISUSES: [args: string[], message: string][] = [
  [["--nmae", "rose"], "unknown option --nmae"],
  [["-x"], "unknown option -x"],
  [["--port"], "--port needs a value"],
  [["--hostname="], "--hostname needs a value"],
  [["--hostname", "--port", "5"], "--hostname needs a value"],
  [["--port", "0"], '--port must be a whole number from 1 to 65535, got "0"'],
  [
    ["--timeout", "-5"],
    '--timeout must be a time from 1ms to 596h, such as 500ms, 30s, 10m or 1h, a number of milliseconds, or none, got "-5"',
  ],
  [["--port", "5", "rose", "--port", "5"], "--port is given 2 times"],
  [["--delay", "5"], "unknown option --delay"],
];

Deno.test({ name: "client.ts reports wrong usage in one line, exit code 2", ignore }, async () => {
  for (const [args, message] of MISUSES) {
    assertOneLine(await run("client.ts", ...args), [2, `${message} (see --help)`]);
  }
});

Deno.test({ name: "client.ts prompts on a terminal", ignore: cannotStartTerminal }, async () => {
  await using server = await GreetingServer.start();
  await using program = startOnTerminal("client.ts", "--port", String(server.port));
  await program.stdout.until(/^welcome!\r\nname: $/);
  await program.type("rose\n");
  await program.stdout.until(/name: rose\r\nhello, rose!\r\nname: $/);
  await program.type("\n");
  await program.stdout.until(/name: \r\nname: $/);
  await program.type("\x04"); // Ctrl-D
  const { code, stdout } = await program.ended();
  assertEquals(code, 0);
  // What follows, such as the prompt of a shell, gets a line of its own.
  assertEquals(stdout.replace("^D\b\b", "").split("name: ").at(-1), "\r\n");
  await server.program.stderr.until(/ended: local/);
});

Deno.test({
  name: "client.ts lets no reply disturb a terminal, and changes none elsewhere",
  ignore: cannotStartTerminal,
}, async () => {
  for (const text of DISTURBING) {
    await using server = serve({ port: 0 }, async (session) => {
      await session.send("welcome!");
      for await (const _ of session) await session.send(text);
    });
    const args = ["--port", String(portOf(server)), "rose"];
    await using program = startOnTerminal("client.ts", ...args);
    const { code, stdout } = await program.ended();
    assertEquals(code, 0);
    assertFalse(isDisturbing(stdout.replaceAll("\r\n", "\n")), JSON.stringify(stdout));
    const plain = await run("client.ts", ...args);
    const said = new TextDecoder().decode(new TextEncoder().encode(text)).replace(/\r?\n$/, "");
    assertEquals(plain.stdout, `welcome!\n${said}\n`);
  }
});

Deno.test({
  name: "client.ts reports that the permission was denied at Deno's prompt",
  ignore: cannotStartTerminal,
}, async () => {
  await using program = onTerminal(["run", "client.ts", "--port", "1", "rose"]);
  await program.stdout.until(/net access to "127\.0\.0\.1:1"[^]*Allow\?/);
  const ended = program.ended();
  // What is typed too soon after the question, Deno drops: it might have been meant for something else.
  const answering = setInterval(() => program.type("n\n").catch(() => {}), 100);
  await program.stdout.until(/Denied net access/).finally(() => clearInterval(answering));
  const { code, stdout } = await ended; // an answer more may have been typed
  assertEquals(code, 1);
  assertMatch(
    stdout,
    /\nerror: no permission for net access to "127\.0\.0\.1:1": run with --allow-net\r\n(n\r\n)?$/,
  );
});

Deno.test({
  name: "client.ts on a terminal notices at the prompt that the server leaves",
  ignore: cannotStartTerminal,
}, async () => {
  await using server = await GreetingServer.start();
  await using program = startOnTerminal("client.ts", "--port", String(server.port));
  await program.stdout.until(/name: $/);
  server.program.kill("SIGTERM");
  const { code, stdout } = await program.ended();
  assertEquals(code, 1);
  assertMatch(stdout, /name: \r\nerror: the server closed the connection: .*\r\n$/);
});
