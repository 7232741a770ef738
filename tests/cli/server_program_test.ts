import { assert, assertEquals, assertFalse, assertMatch } from "@std/assert";
import {
  assertOneLine,
  cannotStart,
  cannotStartTerminal,
  Client,
  comeAndReset,
  GreetingServer,
  onTerminal,
  Program,
  run,
  start,
} from "../_programs.ts";

const ignore = cannotStart;

Deno.test({ name: "server.ts greets each name until exit", ignore }, async () => {
  await using server = await GreetingServer.start();
  using client = await server.enter();
  for (const name of ["rose", "think", "babala", "żółw 🐢", "Exit", "exit now"]) {
    await client.say(name);
    await client.hear(`hello, ${name}!`);
  }
  await client.say("exit");
  await client.hearEnd();
});

Deno.test({ name: "server.ts greets each name until the end of input", ignore }, async () => {
  await using server = await GreetingServer.start();
  using client = await server.enter();
  await client.say("rose");
  await client.conn.closeWrite();
  await client.hear("hello, rose!"); // as `printf rose | nc` gets it
  await client.hearEnd();
});

for (const [program, lineEnd] of [["nc", "\n"], ["telnet", "\r\n"]] as const) {
  Deno.test({ name: `server.ts reads names as ${program} sends them`, ignore }, async () => {
    await using server = await GreetingServer.start();
    using client = await server.enter();
    await client.say(`rose${lineEnd}`);
    await client.hear("hello, rose!");
    await client.say(`think\t${lineEnd}${lineEnd}`); // of several, one is the line's
    await client.hear(`hello, think\t${lineEnd}!`);
    await client.say(`exit${lineEnd}`);
    await client.hearEnd();
  });
}

Deno.test(
  { name: "server.ts logs that it waits, who comes and how they leave", ignore },
  async () => {
    await using server = await GreetingServer.start();
    const { stderr } = server.program;
    using polite = await server.enter();
    const { address } = polite;
    await polite.say("rose");
    await polite.hear("hello, rose!");
    await polite.say("exit");
    await polite.hearEnd();
    polite.conn.close();
    await stderr.until(/session 1 .* ended/);
    using finished = await server.enter();
    await finished.conn.closeWrite();
    await finished.hearEnd();
    finished.conn.close();
    await stderr.until(/session 2 .* ended/);
    await comeAndReset(server.port);
    await stderr.until(/session 3 .* ended.*\n/);

    const messages = stderr.text.trimEnd().split("\n").map((line) =>
      line
        .replace(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \+00:00 \[INF\] parley: /, "")
        .replace(/after \d+ ms/, "after N ms")
    );
    assertEquals(messages.length, 7);
    assertEquals(messages.slice(0, 3), [
      `listening on 127.0.0.1:${server.port}`,
      `session 1 from ${address} started`,
      `session 1 from ${address} ended: local, after N ms, 8 bytes in, 20 bytes out`,
    ]);
    assertMatch(
      messages[4]!,
      /^session 2 from \S+ ended: peer, after N ms, 0 bytes in, 8 bytes out$/,
    );
    assertMatch(
      messages[6]!,
      /^session 3 from \S+ ended: peer \(ConnectionReset: .+\), after N ms/,
    );
  },
);

Deno.test({ name: "server.ts --log-format json logs a JSON object a line", ignore }, async () => {
  await using server = await GreetingServer.start("--log-format", "json");
  const { stderr } = server.program;
  using client = await server.enter();
  const { address } = client;
  await client.say("exit");
  await client.hearEnd();
  client.conn.close();
  await stderr.until(/ended.*\n/);
  const [listening, started, ended, ...more] = stderr.text.trimEnd().split("\n").map((line) =>
    JSON.parse(line)
  );
  assertEquals([listening.level, listening.state], ["INFO", "listening"]);
  assertEquals(listening.address, `127.0.0.1:${server.port}`);
  assertEquals([started.id, started.address], [1, address]);
  assert(Number.isFinite(ended.duration) && Number.isFinite(Date.parse(ended["@timestamp"])));
  const { id, reason, bytesRead, bytesWritten } = ended;
  assertEquals(
    { id, address: ended.address, reason, bytesRead, bytesWritten },
    { id: 1, address, reason: "local", bytesRead: 4, bytesWritten: 8 },
  );
  assertEquals(more, []);
});

Deno.test({ name: "server.ts --log-level leaves out what matters less", ignore }, async () => {
  const port = freePort(); // it will not be logged
  await using program = start("server.ts", "--log-level", "warning", "--port", String(port));
  using client = await whenListening(port);
  await client.hear("welcome!");
  await client.say("exit");
  await client.hearEnd();
  client.conn.close();
  program.kill("SIGTERM");
  assertEquals(await program.ended(), { code: 0, stdout: "", stderr: "" });
});

/** One that the system does not give to others, as it does those from 32768 on. */
function freePort(): number {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 22_000);
    try {
      Deno.listen({ hostname: "127.0.0.1", port }).close();
      return port;
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
}

async function whenListening(port: number): Promise<Client> {
  for (;;) {
    try {
      return await Client.connect(port);
    } catch (error) {
      if (!(error instanceof Deno.errors.ConnectionRefused)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

Deno.test({ name: "server.ts continues when its log is not read any more", ignore }, async () => {
  await using server = await GreetingServer.start();
  await server.program.stderr.close();
  for (let i = 0; i < 3; i++) {
    using client = await server.enter();
    await client.say("exit");
    await client.hearEnd();
  }
  server.program.kill("SIGTERM");
  assertEquals((await server.program.ended()).code, 0);
});

/** A server that was visited so often while nobody read its log, and what reads that on. */
async function unread(
  visits: number,
): Promise<{ child: Deno.ChildProcess; readLog: () => Promise<string> }> {
  const child = new Deno.Command("deno", {
    args: [
      ...["run", "--quiet", "--allow-net", "server.ts", "--port", "0", "--log-format", "json"],
    ],
    stdin: "null",
    stderr: "piped",
  }).spawn();
  const watchdog = setTimeout(() => child.kill("SIGKILL"), 60_000);
  child.status.then(() => clearTimeout(watchdog));
  const log = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
  const beginning = (await log.read()).value!;
  const port = Number(/listening on 127\.0\.0\.1:(\d+)/.exec(beginning)![1]);
  for (let i = 0; i < visits; i++) {
    using client = await Client.connect(port);
    await client.hear("welcome!");
  }
  const readLog = async () => {
    let text = beginning;
    for (;;) {
      const { value, done } = await log.read();
      if (done) return text;
      text += value;
    }
  };
  return { child, readLog };
}

Deno.test({ name: "server.ts serves while its log is not read", ignore }, async () => {
  const { child, readLog } = await unread(1500); // the pipe is full after some 300
  child.kill("SIGTERM");
  assertEquals((await child.status).code, 0);
  await readLog();
});

Deno.test(
  { name: "server.ts logs how many messages were omitted while its log was not read", ignore },
  async () => {
    const { child, readLog } = await unread(4000);
    child.kill("SIGTERM");
    const text = await readLog();
    assertEquals((await child.status).code, 0);
    const records = text.trimEnd().split("\n").map((line) => JSON.parse(line));
    const gaps = records.filter(({ message }) => /messages were omitted/.test(message));
    const omitted = gaps.reduce((sum, { count }) => sum + count, 0);
    assert(omitted > 0);
    // Listening, draining, closed, the two of each session, and perhaps that it waits for the last one.
    const all = 3 + 2 * 4000;
    const told = records.length - gaps.length + omitted;
    assert(told === all || told === all + 1, `${told} of ${all}`);
  },
);

Deno.test(
  { name: "server.ts --delay replies no sooner, and welcomes at once", ignore },
  async () => {
    const delay = 150;
    await using server = await GreetingServer.start("--delay", String(delay));
    using client = await server.enter();
    const before = performance.now();
    await client.say("rose");
    await client.hear("hello, rose!");
    const took = performance.now() - before;
    assert(took > delay - 5, `took ${took} ms`); // a slow machine can only make it more
  },
);

Deno.test({ name: "server.ts --max-sessions lets further clients wait", ignore }, async () => {
  await using server = await GreetingServer.start("--max-sessions", "1");
  using first = await server.enter();
  using second = await Client.connect(server.port);
  await first.say("rose");
  await first.hear("hello, rose!"); // by now, the second one would have been let in
  await first.say("exit");
  await first.hearEnd();
  first.conn.close();
  await second.hear("welcome!");
  await server.program.stderr.until(/session 1 .* ended[^]* session 2 .* started/);
});

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.test({ name: `server.ts drains and exits with 0 on ${signal}`, ignore }, async () => {
    await using server = await GreetingServer.start("--delay", "100");
    using waiting = await server.enter();
    using asking = await server.enter();
    await asking.say("rose");
    using late = await server.enter(); // its welcome tells that the name was read
    server.program.kill(signal);
    await waiting.hearEnd();
    await late.hearEnd();
    await asking.hear("hello, rose!");
    await asking.hearEnd();
    for (const { conn } of [waiting, asking, late]) conn.close();
    const { code, stdout, stderr } = await server.program.ended();
    assertEquals([code, stdout], [0, ""]);
    assertMatch(stderr, /draining[^]*session 1 .* ended: drain,[^]* closed \(127.0.0.1:\d+\)\n$/);
    assertMatch(stderr, /session 2 .* ended: drain, after \d+ ms, 4 bytes in, 20 bytes out\n/);
  });
}

Deno.test(
  { name: "server.ts reports what it waits for when it stops", ignore },
  async () => {
    for (
      const [signal, named] of [["SIGINT", "Ctrl-C \\(SIGINT\\)"], ["SIGTERM", "SIGTERM"]] as const
    ) {
      await using server = await GreetingServer.start();
      using _one = await server.enter();
      using _two = await server.enter();
      server.program.kill(signal);
      const line = `waiting for 2 sessions to end: another ${named} ends them at once\n`;
      await server.program.stderr.until(new RegExp(line));
      server.program.kill(signal);
      assertEquals((await server.program.ended()).code, 1);
    }
  },
);

Deno.test({
  name: "server.ts without TLS continues after SIGHUP",
  ignore: ignore || Deno.build.os === "windows",
}, async () => {
  await using server = await GreetingServer.start();
  server.program.kill("SIGHUP");
  await server.program.stderr.until(
    /SIGHUP makes the server read its certificate again, and it has none\n/,
  );
  using client = await server.enter();
  await client.say("rose");
  await client.hear("hello, rose!");
});

Deno.test({ name: "server.ts exits with 1 at once on a second signal", ignore }, async () => {
  await using server = await GreetingServer.start("--delay", "1000000");
  using asking = await server.enter();
  await asking.say("rose");
  using _late = await server.enter();
  server.program.kill("SIGTERM");
  await server.program.stderr.until(/draining/);
  server.program.kill("SIGINT");
  const { code, stderr } = await server.program.ended();
  assertEquals(code, 1);
  assertMatch(
    stderr,
    /session 1 .* ended: local \(Error: the program got a second signal to stop\)/,
  );
});

Deno.test({ name: "server.ts and client.ts meet on port 1234 by default", ignore }, async () => {
  await using server = start("server.ts");
  const [said] = await server.stderr.until(/ listening on .+\n|^error: .+\n/);
  if (said.includes("the port is in use")) { // by another program: then the number has shown, at least
    assertMatch(said, /127\.0\.0\.1:1234/);
  } else {
    assertEquals(said, " listening on 127.0.0.1:1234\n");
    assertEquals((await run("client.ts", "rose")).stdout, "welcome!\nhello, rose!\n");
  }
});

const HELP = /^The greeting service[^]*--allow-net server\.ts[^]*--hostname[^]*--version/;

Deno.test({ name: "server.ts --help and --version print to standard output", ignore }, async () => {
  const results = await Promise.all([
    run("server.ts", "--help"),
    run("server.ts", "-h", "extra", "--port", "x"),
    run("server.ts", "--version"),
  ]);
  for (const { code, stderr } of results) assertEquals([code, stderr], [0, ""]);
  const [help, withMore, version] = results.map(({ stdout }) => stdout);
  assertMatch(help!, HELP);
  assertEquals(withMore, help);
  for (const line of help!.split("\n")) assert(line.length <= 80, line);
  assertMatch(version!, /^@parley\/tcp \d+\.\d+\.\d+\n$/);
});

const PORT = "--port must be a whole number from 0 to 65535, got";
const MISUSES: [args: string[], message: string][] = [
  [["--colour"], "unknown option --colour"],
  [["--colour=red"], "unknown option --colour=red"],
  [["-p", "5"], "unknown option -p"],
  [["--no-port"], "unknown option --no-port"],
  [["--_", "x"], "unknown option --_"],
  [["--a\nb"], "unknown option --a b"],
  [["extra"], 'unexpected argument "extra"'],
  [["--", "--port"], 'unexpected argument "--port"'],
  [["--port"], "--port needs a value"],
  [["--port="], "--port needs a value"],
  [["--port", ""], "--port needs a value"],
  [["--port", "--delay", "5"], "--port needs a value"],
  [["--port", "-1"], `${PORT} "-1"`],
  [["--port=-1"], `${PORT} "-1"`],
  [["--port", "1.5"], `${PORT} "1.5"`],
  [["--port", "1e3"], `${PORT} "1e3"`],
  [["--port", "65536"], `${PORT} "65536"`],
  [["--port", "http"], `${PORT} "http"`],
  [["--port", "1", "--port=2"], "--port is given 2 times"],
  [["--delay", "soon"], '--delay must be a whole number from 0 to 2147483647, got "soon"'],
  [["--max-sessions", "0"], '--max-sessions must be a whole number from 1 to 1073741824, got "0"'],
  [["--log-level", "loud"], '--log-level must be one of debug, info, warning, error, got "loud"'],
  [["--log-format", "xml"], '--log-format must be one of text, json, got "xml"'],
];

Deno.test({ name: "server.ts reports wrong usage in one line, exit code 2", ignore }, async () => {
  for (const [args, message] of MISUSES) {
    assertOneLine(await run("server.ts", ...args), [2, `${message} (see --help)`]);
  }
});

Deno.test(
  { name: "server.ts reports in one line why it cannot listen, exit code 1", ignore },
  async () => {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr;
    assertOneLine(await run("server.ts", "--port", String(port)), [
      1,
      `cannot listen on 127.0.0.1:${port}: the port is in use: stop the other program, or choose another with --port`,
    ]);
    assertOneLine(await run("server.ts", "--hostname", "192.0.2.1", "--port", "0"), [
      1,
      "cannot listen on 192.0.2.1:0: the address is not one of this machine: choose another with --hostname",
    ]);
    assertOneLine(await run("server.ts", "--hostname", "a..b", "--port", "0"), [
      1,
      "cannot listen on a..b:0: the host name has no address (ENOTFOUND): choose another with --hostname",
    ]);
  },
);

Deno.test(
  { name: "server.ts needs the permission for its address, and no other", ignore },
  async () => {
    await using server = new Program("deno", [
      ...["run", "--quiet", "--allow-net=127.0.0.1"],
      ...["env", "ffi", "import", "read", "run", "sys", "write"].map((name) => `--deny-${name}`),
      ...["server.ts", "--port", "0"],
    ]);
    await server.stderr.until(/listening/);
    server.kill("SIGTERM");
    assertEquals((await server.ended()).code, 0);
    // Its standard input is no terminal, and stays open: nothing may wait for an answer there.
    await using denied = new Program("deno", ["run", "--quiet", "server.ts"]);
    assertOneLine(await denied.ended(), [
      1,
      'no permission for net access to "127.0.0.1:1234": run with --allow-net',
    ]);
  },
);

Deno.test(
  { name: "server.ts serves 1,000 clients at once, each its own names", ignore },
  async () => {
    // One after the other, the replies would take 900 s: far more than a program is given here.
    await using server = await GreetingServer.start("--delay", "300");
    using silent = await server.enter(); // whoever says nothing holds up nobody
    const clients = await Promise.all(Array.from({ length: 1000 }, () => server.enter()));
    try {
      for (const round of ["rose", "think", "babala"]) {
        const names = clients.map((_, i) => `${round} ${i} ${"x".repeat(i % 40)}`);
        await Promise.all(clients.map((client, i) => client.say(names[i]!)));
        await Promise.all(clients.map((client, i) => client.hear(`hello, ${names[i]}!`)));
      }
      await Promise.all(clients.map((client) => client.say("exit")));
      await Promise.all(clients.map((client) => client.hearEnd()));
    } finally {
      for (const { conn } of clients) conn.close();
    }
    silent.conn.close();
    server.program.kill("SIGTERM");
    const { code, stderr } = await server.program.ended();
    assertEquals(code, 0);
    assertEquals(stderr.match(/ started$/gm)?.length, 1001);
    assertEquals(stderr.match(/ ended: local, /g)?.length, 1000);
    assertFalse(/ ended[^]* started/.test(stderr), "they were not all there at once");
  },
);

for (const [noColour, title] of [["", "in colour"], ["1", "without colour under NO_COLOR"]]) {
  Deno.test({
    name: `server.ts logs ${title} on a terminal`,
    ignore: cannotStartTerminal,
  }, async () => {
    const args = ["run", "--quiet", "--allow-net", "server.ts", "--port", "0"];
    await using program = onTerminal(args, { NO_COLOR: noColour! });
    const [line] = await program.stdout.until(/^.*listening on 127\.0\.0\.1:\d+\r\n/);
    assertEquals(line.includes("\x1b["), noColour === "");
    await program.type("\x03"); // Ctrl-C
    assertEquals((await program.ended()).code, 0);
  });
}
