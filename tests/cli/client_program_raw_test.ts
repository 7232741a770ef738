import { assertEquals, assertMatch } from "@std/assert";
import type { Session } from "../../session.ts";
import { serve } from "../../serve/serve.ts";
import {
  cannotRun,
  runClient,
  startClient,
  startNc,
  startRaw,
  startSocat,
} from "../_client_program.ts";
import {
  assertOneLine,
  cannotStart,
  cannotStartTerminal,
  Client,
  onTerminal,
  Program,
  resetting,
  startOnTerminal,
} from "../_programs.ts";
import { portOf, readAll, settle } from "../_serving.ts";
import { refusingPort } from "../_dialing.ts";
import { canUnix } from "../_permissions.ts";
import { makeTempDir } from "../_temp_dir.ts";

const ignore = cannotStart;

async function echo(session: Session): Promise<void> {
  for await (const chunk of session.bytes({ borrow: true })) await session.send(chunk);
}

/** A client program that has connected, and the other end of its connection. */
class Scene implements AsyncDisposable {
  readonly program: Program;
  readonly peer: Client;

  private constructor(program: Program, peer: Client) {
    this.program = program;
    this.peer = peer;
  }

  static async open(start: (port: number) => Program): Promise<Scene> {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const program = start(listener.addr.port);
    return new Scene(program, new Client(await listener.accept()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.peer[Symbol.dispose]();
    await this.program[Symbol.asyncDispose]();
  }
}

function raw(...args: string[]): Promise<Scene> {
  return Scene.open((port) => startRaw(port, ...args));
}

function rawOnTerminal(...args: string[]): Promise<Scene> {
  return Scene.open((port) => startOnTerminal("client.ts", "--raw", "--port", `${port}`, ...args));
}

Deno.test({ name: "client.ts --raw relays as bytes come, both ways", ignore }, async () => {
  await using server = serve({ port: 0 }, echo);
  await using program = startRaw(portOf(server));
  await program.type("ro");
  await program.stdout.until(/^ro$/); // no line end is waited for
  await program.type("se\n\0\n");
  await program.stdout.until(/^rose\n\0\n$/);
  await program.endInput();
  assertEquals(await program.ended(), { code: 0, stdout: "rose\n\0\n", stderr: "" });
});

Deno.test(
  { name: "client.ts --raw half-closes at the end of input and reads the rest", ignore },
  async () => {
    await using scene = await raw();
    const { program, peer } = scene;
    await program.type("question");
    await program.endInput();
    await peer.hear("question");
    await peer.hearEnd();
    await peer.say("answer");
    await program.stdout.until(/^answer$/);
    peer.conn.close();
    assertEquals(await program.ended(), { code: 0, stdout: "answer", stderr: "" });
  },
);

Deno.test(
  { name: "client.ts --raw continues sending to a peer that has finished", ignore },
  async () => {
    await using scene = await raw();
    const { program, peer } = scene;
    await peer.say("no more from me");
    await peer.conn.closeWrite();
    await program.stdout.until(/from me$/);
    await settle();
    await program.type("all the same");
    await peer.hear("all the same");
    await program.endInput();
    await peer.hearEnd();
    assertEquals((await program.ended()).code, 0);
  },
);

Deno.test(
  { name: "client.ts --raw --no-shutdown does not tell the end of input", ignore },
  async () => {
    await using scene = await raw("--no-shutdown");
    const { program, peer } = scene;
    await program.endInput();
    const reading = peer.hearEnd();
    let hasEnded = false;
    reading.then(() => hasEnded = true, () => {});
    await peer.say("still there?");
    await program.stdout.until(/there\?$/);
    await settle();
    assertEquals(hasEnded, false);
    await peer.conn.closeWrite();
    assertEquals((await program.ended()).code, 0);
    await reading;
  },
);

Deno.test({ name: "client.ts --raw receives why a peer takes no more", ignore }, async () => {
  for (let visit = 0; visit < 5; visit++) {
    await using scene = await raw();
    const { program, peer } = scene;
    const typing = (async () => {
      for (;;) await program.type("y\n".repeat(50_000));
    })();
    typing.catch(() => {}); // once the program has ended
    await peer.say("552 too big\n");
    peer.conn.close();
    const { code, stdout } = await program.ended();
    assertEquals([code, stdout], [1, "552 too big\n"]);
    await typing.catch(() => {});
  }
});

Deno.test({
  name: "client.ts --raw --send-only drops what comes and leaves at the end of input",
  ignore,
}, async () => {
  await using scene = await raw("--send-only");
  const { program, peer } = scene;
  await peer.say("unheard");
  await program.type("a word");
  await peer.hear("a word");
  await program.endInput();
  await peer.hearEnd();
  assertEquals(await program.ended(), { code: 0, stdout: "", stderr: "" }); // with the peer still there
});

Deno.test({
  name: "client.ts --raw --send-only stays until a slow peer has everything",
  ignore,
}, async () => {
  await using scene = await raw("--send-only");
  const { program, peer } = scene;
  const size = 3_000_000; // the two systems hold that much
  await program.type("x".repeat(size));
  await program.endInput();
  await new Promise((resolve) => setTimeout(resolve, 1_500)); // much is unread, and nothing happens
  await peer.say("still busy"); // is answered by a reset if nobody is there
  await settle();
  await peer.hear("x".repeat(size));
  await peer.hearEnd();
  peer.conn.close();
  assertEquals(await program.ended(), { code: 0, stdout: "", stderr: "" });
});

Deno.test({
  name: "client.ts --raw --send-only is not content with a peer that never finishes",
  ignore,
}, async () => {
  await using scene = await raw("--send-only", "--idle", "300ms");
  const { program, peer } = scene;
  await program.type("x".repeat(200_000));
  await program.endInput();
  await peer.hear("x".repeat(200_000));
  await peer.hearEnd();
  const why = "it has not finished after 300 ms of silence, try a longer --idle";
  assertOneLine(await program.ended(), [1, `the server may not have got everything: ${why}`]);
});

Deno.test({ name: "client.ts --raw --recv-only reads no input", ignore }, async () => {
  await using scene = await raw("--recv-only");
  const { program, peer } = scene;
  await program.type("unsaid");
  await peer.say("all there is");
  await program.stdout.until(/is$/);
  await settle();
  await peer.conn.closeWrite();
  await peer.hearEnd();
  assertEquals(await program.ended(), { code: 0, stdout: "all there is", stderr: "" });
});

Deno.test({ name: "client.ts --raw --crlf sends LF as CRLF", ignore }, async () => {
  await using scene = await raw("--crlf");
  const { program, peer } = scene;
  await program.type("one\ntwo\r\n\n");
  await peer.hear("one\r\ntwo\r\n\r\n");
  await program.endInput();
  await peer.hearEnd();
  peer.conn.close();
  assertEquals((await program.ended()).code, 0);
});

Deno.test({ name: "client.ts --raw --hex dumps both directions", ignore }, async () => {
  await using scene = await raw("--hex");
  const { program, peer } = scene;
  await program.type("hi\n");
  await peer.hear("hi\n");
  await peer.say("0123456789abcdefżx");
  await program.stdout.until(/x\|\n$/);
  await program.type("?");
  await peer.hear("?");
  await program.stdout.until(/\?\|\n$/);
  await program.endInput();
  peer.conn.close();
  assertEquals(await program.ended(), {
    code: 0,
    stdout: `> 00000000  68 69 0a                                          |hi.|
< 00000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  |0123456789abcdef|
< 00000010  c5 bc 78                                          |..x|
> 00000003  3f                                                |?|
`,
    stderr: "",
  });
});

Deno.test(
  { name: "client.ts --raw --output writes to a file, beside a dump", ignore },
  async () => {
    await using directory = await makeTempDir();
    const file = `${directory.path}/got`;
    await Deno.writeTextFile(file, "something longer that was there before");
    await using server = serve({ port: 0 }, echo);
    const args = ["--raw", "--port", String(portOf(server)), "--output", file];
    const needed = `--allow-net --allow-read=${file} --allow-write=${file}`;
    const permissions = needed.split(" ");
    assertEquals(await runClient(permissions, args, "rose\n"), { code: 0, stdout: "", stderr: "" });
    assertEquals(await Deno.readTextFile(file), "rose\n");
    const { stdout } = await runClient(permissions, [...args, "--hex"], "think\n");
    assertMatch(stdout, /^> 0+ {2}74 .*\n< 0+ {2}74 .*\n$/);
    assertEquals(await Deno.readTextFile(file), "think\n");
    for (const [given, lacks] of [["--allow-net", "write"], ["-NW", "read"]] as const) {
      const { code, stderr } = await runClient([given], args);
      const problem = `no permission for ${lacks} access to "${file}": run with ${needed}`;
      assertEquals([code, stderr], [1, `error: ${problem}\n`]);
    }
    assertEquals(await Deno.readTextFile(file), "think\n");
    const missing = `${directory.path}/no/such`;
    assertMatch(
      (await runClient(["-N", "-W"], [...args.slice(0, -1), missing])).stderr,
      /^error: cannot write --output .*\/no\/such: no such file or directory\n$/,
    );
  },
);

Deno.test(
  { name: "client.ts --output costs no file where nothing comes", ignore },
  async () => {
    await using directory = await makeTempDir();
    const file = `${directory.path}/got`;
    await Deno.writeTextFile(file, "before");
    const runs = async (port: number, ...args: string[]) =>
      await runClient(
        ["-NRW"],
        ["--raw", "--port", `${port}`, "--output", file, ...args],
        "rose\n",
      );
    await using closed = await refusingPort();
    await using plain = serve({ port: 0 }, (session) => readAll(session));
    await using resets = await resetting("");
    const mishaps: [number, ...string[]][] = [[closed.port], [portOf(plain), "--tls"], [
      resets.port,
    ]];
    for (const [port, ...args] of mishaps) {
      assertEquals((await runs(port, ...args)).code, 1);
      assertEquals(await Deno.readTextFile(file), "before");
    }
    assertEquals((await runs(portOf(plain))).code, 0); // all came, which was nothing
    assertEquals(await Deno.readTextFile(file), "");
    await Deno.remove(file);
    const { code } = await runClient(["-NW"], [
      "--raw",
      "--port",
      `${portOf(plain)}`,
      "--output",
      file,
    ]);
    assertEquals([code, await Deno.readTextFile(file)], [0, ""]);
  },
);

Deno.test({
  name: "client.ts --output follows no link, and writes to a pipe",
  ignore: ignore || Deno.build.os === "windows" || await cannotRun("bash"),
}, async () => {
  await using directory = await makeTempDir();
  const { path } = directory;
  await using server = serve({ port: 0 }, echo);
  const runs = (name: string) =>
    runClient(
      ["-NRW"],
      ["--raw", "--port", `${portOf(server)}`, "--output", `${path}/${name}`],
      "rose\n",
    );
  await Deno.writeTextFile(`${path}/precious`, "before");
  await Deno.symlink("precious", `${path}/link`);
  await Deno.symlink("nothing", `${path}/dangling`);
  for (const link of ["link", "dangling"]) {
    assertOneLine(await runs(link), [
      1,
      `cannot write --output ${path}/${link}: it is a symbolic link, name the file that it leads to`,
    ]);
  }
  assertEquals(await Deno.readTextFile(`${path}/precious`), "before");
  assertEquals(await Array.fromAsync(Deno.readDir(path)).then((names) => names.length), 3);
  assertEquals(server.stats().bytesRead, 0);

  await using reader = new Program("bash", [
    "-c",
    'mkfifo "$0" && echo made && exec cat "$0"',
    `${path}/pipe`,
  ]);
  await reader.stdout.until(/made\n/);
  assertEquals((await runs("pipe")).code, 0);
  assertEquals((await reader.ended()).stdout, "made\nrose\n");
});

Deno.test({
  name: "client.ts names the output that it cannot write",
  ignore: ignore || Deno.build.os !== "linux" || await cannotRun("bash"), // which has /dev/full
}, async () => {
  await using server = serve({ port: 0 }, echo);
  const args = ["--raw", "--port", String(portOf(server)), "--output", "/dev/full"];
  const reason = "No space left on device (os error 28)";
  const ended = await runClient(["--allow-all"], args, "rose\n");
  assertOneLine(ended, [1, `cannot write --output /dev/full: ${reason}`]);
  for (const more of [args.slice(0, 3), ["--help"]]) {
    const command = `exec deno run --quiet --allow-net client.ts ${more.join(" ")} >/dev/full`;
    await using program = new Program("bash", ["-c", command]);
    await program.type("rose\n");
    assertOneLine(await program.ended(), [1, `cannot write standard output: ${reason}`]);
  }
  const refused = await runClient(["--allow-net", "--allow-write"], args);
  const problem = 'no permission for all access to "/dev/full": run with --allow-all';
  assertOneLine(refused, [1, problem]);
});

Deno.test({ name: "client.ts --raw ends quietly when its output is closed", ignore }, async () => {
  await using scene = await raw();
  const { program, peer } = scene;
  await peer.say("head");
  await program.stdout.until(/head/);
  await program.stdout.close();
  // The pipe is closed a little later: something may still go into it.
  const talking = setInterval(() => peer.say("tail").catch(() => {}), 20);
  const ended = await program.ended().finally(() => clearInterval(talking));
  assertEquals(ended, { code: 0, stdout: "head", stderr: "" });
});

Deno.test({ name: "client.ts --raw reports that the connection was reset", ignore }, async () => {
  await using server = await resetting("hello");
  await using program = startRaw(server.port);
  await program.stdout.until(/hello/);
  await program.type("rose");
  const { code, stdout, stderr } = await program.ended(); // though the input stays open
  assertEquals([code, stdout], [1, "hello"]);
  assertMatch(stderr, /^error: the connection to 127\.0\.0\.1:\d+ was lost: .*reset.*\n$/i);
});

Deno.test({ name: "client.ts --raw --idle ends in silence", ignore }, async () => {
  await using scene = await raw("--idle", "300ms");
  assertEquals(await scene.program.ended(), {
    code: 1,
    stdout: "",
    stderr: "error: no byte came or went for 300 ms: try a longer --idle\n",
  });
});

Deno.test(
  { name: "client.ts --raw --read-idle ends what only takes", ignore },
  async () => {
    await using scene = await raw("--read-idle", "300ms");
    const { program } = scene;
    let isOver = false;
    const typing = (async () => {
      while (!isOver) {
        await program.type("x").catch(() => {}); // it may have ended meanwhile
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    })();
    const { code, stderr } = await program.ended();
    isOver = true;
    await typing;
    assertEquals([code, stderr], [
      1,
      "error: no byte came for 300 ms: try a longer --read-idle\n",
    ]);
  },
);

Deno.test(
  { name: "client.ts --raw --verbose reports the connection on standard error", ignore },
  async () => {
    await using server = serve({ port: 0 }, echo);
    const port = portOf(server);
    const args = ["--raw", "--verbose", "--hostname", "localhost", "--port", `${port}`];
    const { code, stdout, stderr } = await runClient(["--allow-net"], args, "rose\n");
    assertEquals([code, stdout], [0, "rose\n"]);
    assertEquals(
      stderr.replace(/in \d+ ms/, "in N ms"),
      `dialling localhost:${port}\nconnected to 127.0.0.1:${port} in N ms\n` +
        `127.0.0.1:${port} closed the connection\nsent 5 bytes, received 5\n`,
    );
  },
);

Deno.test(
  { name: "client.ts --proxy-header begins with a header of the version", ignore },
  async () => {
    await using scene = await raw("--proxy-header", "v1");
    const { localAddr, remoteAddr } = scene.peer.conn;
    await scene.peer.hear(
      `PROXY TCP4 127.0.0.1 127.0.0.1 ${remoteAddr.port} ${localAddr.port}\r\n`,
    );

    const options = { port: 0, proxyProtocol: "required", trusted: ["127.0.0.1"] } as const;
    await using server = serve(options, (session) => session.send(`v${session.proxy?.version}`));
    for (const version of ["v1", "v2"]) {
      const args = ["--port", `${portOf(server)}`, "--raw", "--proxy-header", version];
      assertEquals((await runClient(["--allow-net"], args)).stdout, version);
    }
  },
);

Deno.test({
  name: "client.ts --unix dials a Unix socket, raw and for a greeting",
  ignore: ignore || !canUnix,
}, async () => {
  await using directory = await makeTempDir();
  const path = `${directory.path}/socket`;
  await using server = serve({ path }, echo);
  await server.listening;
  const permissions = ["--allow-net", `--allow-read=${path}`, `--allow-write=${path}`];
  assertEquals(await runClient(permissions, ["--raw", "--unix", path], "rose"), {
    code: 0,
    stdout: "rose",
    stderr: "",
  });
  const { code, stderr } = await runClient(["--allow-net"], ["--raw", "--unix", path]);
  assertEquals(code, 1);
  assertMatch(stderr, /^error: no permission for (read|write) access to ".*\/socket": run with /);
  assertEquals(
    stderr.split(": run with ")[1],
    `--allow-net --allow-read=${path} --allow-write=${path}\n`,
  );
  const missing = `${path}-not`;
  assertEquals(
    (await runClient(["-N", "-R", "-W"], ["--unix", missing])).stderr,
    `error: cannot connect to ${missing}: no such file: choose another server with --unix\n`,
  );
});

Deno.test({
  name: "client.ts --raw talks to nc",
  ignore: ignore || await cannotRun("nc"),
}, async () => {
  await using nc = await startNc("-N");
  await using program = startRaw(nc.port);
  await program.type("to nc\n");
  await nc.program.stdout.until(/^to nc\n$/);
  await nc.program.type("from nc\n");
  await program.stdout.until(/^from nc\n$/);
  await Promise.all([program.endInput(), nc.program.endInput()]);
  assertEquals((await program.ended()).code, 0);
  assertEquals((await nc.program.ended()).code, 0);
});

Deno.test({
  name: "client.ts --raw waits for the output of socat's command at the end of input",
  ignore: ignore || await cannotRun("socat"),
}, async () => {
  await using socat = await startSocat("SYSTEM:sort");
  const args = ["--raw", "--port", `${socat.port}`];
  const { code, stdout } = await runClient(["--allow-net"], args, "think\nrose\n");
  assertEquals([code, stdout], [0, "rose\nthink\n"]);
});

Deno.test({
  name: "client.ts --raw on a terminal sends lines and says that the peer has left",
  ignore: cannotStartTerminal,
}, async () => {
  await using scene = await rawOnTerminal();
  const { program, peer } = scene;
  await program.type("rose\n");
  await peer.hear("rose\n");
  await peer.say("hello\n");
  await program.stdout.until(/hello\r\n$/);
  const { port } = peer.conn.localAddr;
  peer.conn.close();
  const { code, stdout } = await program.ended(); // though nothing more is typed
  assertEquals([code, stdout], [
    0,
    `rose\r\nhello\r\n127.0.0.1:${port} closed the connection\r\n`,
  ]);
});

Deno.test({
  name: "client.ts --raw on a terminal half-closes at Ctrl-D and leaves at Ctrl-C",
  ignore: cannotStartTerminal,
}, async () => {
  await using scene = await rawOnTerminal();
  const { program, peer } = scene;
  await program.type("\x04");
  await peer.hearEnd();
  await peer.say("hello\n");
  await program.stdout.until(/hello\r\n$/);
  await program.type("\x03");
  assertEquals((await program.ended()).code, 254); // ended by SIGINT, -2, as shells want it
});

Deno.test({
  name: "client.ts --hex colours its dump on a terminal, unless NO_COLOR is set",
  ignore: cannotStartTerminal,
}, async () => {
  for (const isPlain of [false, true]) {
    const args = (
      port: number,
    ) => ["run", "--quiet", "--allow-net", "client.ts", "--raw", "--hex", "--port", `${port}`];
    await using scene = await Scene.open((port) =>
      onTerminal(args(port), isPlain ? { NO_COLOR: "1" } : {})
    );
    const { program, peer } = scene;
    await peer.say("hi");
    const [shown] = await program.stdout.until(/.*\|hi\|.*\r\n/);
    const line = `< 00000000  68 69${" ".repeat(45)}|hi|`;
    assertEquals(shown, isPlain ? `${line}\r\n` : `\x1b[32m${line}\x1b[39m\r\n`);
  }
});

Deno.test({ name: "client.ts takes no names and no port with --raw --unix", ignore }, async () => {
  await using program = startClient([], "--raw", "rose");
  const { code, stderr } = await program.ended();
  assertEquals([code, stderr], [
    2,
    'error: unexpected argument "rose": --raw sends standard input (see --help)\n',
  ]);
});
