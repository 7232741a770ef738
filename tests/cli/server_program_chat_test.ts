import { assert, assertEquals } from "@std/assert";
import { connect } from "../../connect/connect.ts";
import type { Frames, Session } from "../../session.ts";
import { cannotStart, GreetingServer, Program } from "../_programs.ts";
import { cannotRun } from "../_server_program.ts";

const ignore = cannotStart;

/** Somebody in the chat. */
class Person implements AsyncDisposable {
  readonly #session: Session;
  readonly #lines: Frames<string>;

  private constructor(session: Session) {
    this.#session = session;
    this.#lines = session.lines();
  }

  /** Comes, and gives each of these names in turn. */
  static async enter(server: GreetingServer, ...names: string[]): Promise<Person> {
    const person = new Person(await connect({ port: server.port }));
    await person.hear("What is your name?");
    for (const name of names) await person.say(name);
    return person;
  }

  async say(line: string): Promise<void> {
    await this.#session.send(`${line}\n`);
    await this.#session.flush();
  }

  async hear(...expected: string[]): Promise<void> {
    for (const line of expected) assertEquals(await this.#lines.read(), line);
  }

  async hearEnd(): Promise<void> {
    assertEquals(await this.#lines.read(), undefined);
  }

  /** Reads on until this is heard. */
  async hearOn(expected: string): Promise<void> {
    while (await this.#lines.read() !== expected);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#session.close();
  }
}

Deno.test({
  name: "server.ts --service chat lets two people talk by nc",
  ignore: ignore || await cannotRun("nc"),
}, async () => {
  await using server = await GreetingServer.start("--service", "chat");
  const nc = () => new Program("nc", ["-N", "127.0.0.1", String(server.port)]);
  await using rose = nc();
  await rose.type("rose\n");
  await rose.stdout.until(/with you: nobody/);
  await using think = nc();
  await think.type("think\n");
  await rose.stdout.until(/think joins/);
  await rose.type("hello, think\n");
  await think.stdout.until(/hello/);
  await think.type("hello, rose 🐢\n");
  await rose.stdout.until(/🐢/);
  await think.endInput();
  assertEquals(await think.ended(), {
    code: 0,
    stdout: "What is your name?\n* with you: rose\nrose: hello, think\n",
    stderr: "",
  });
  await rose.stdout.until(/leaves/);
  await rose.endInput();
  assertEquals(
    (await rose.ended()).stdout,
    "What is your name?\n* with you: nobody\n* think joins\nthink: hello, rose 🐢\n* think leaves\n",
  );
});

Deno.test(
  { name: "server.ts --service chat asks for a name until it is a good one", ignore },
  async () => {
    await using server = await GreetingServer.start("--service", "chat");
    await using rose = await Person.enter(server, "rose");
    await rose.hear("* with you: nobody");
    const names = ["", "two words", "x".repeat(21), "\x1b[2J", "rose", "Żółw_2-\u{1d7d8}"];
    await using other = await Person.enter(server, ...names);
    const bad = "A name has 1 to 20 letters, digits, - or _. Another?";
    await other.hear(bad, bad, bad, bad, "rose is here already. Another?", "* with you: rose");
    await rose.hear("* Żółw_2-\u{1d7d8} joins");
  },
);

Deno.test(
  { name: "server.ts --service chat gives a name free when its owner has left", ignore },
  async () => {
    await using server = await GreetingServer.start("--service", "chat");
    await using think = await Person.enter(server, "think");
    await think.hear("* with you: nobody");
    for (let i = 0; i < 3; i++) {
      await using rose = await Person.enter(server, "rose");
      await rose.hear("* with you: think");
      await think.hear("* rose joins");
      await rose[Symbol.asyncDispose]();
      await think.hear("* rose leaves");
    }
  },
);

Deno.test({ name: "server.ts --service chat keeps terminals from harm", ignore }, async () => {
  await using server = await GreetingServer.start("--service", "chat");
  await using rose = await Person.enter(server, "rose");
  await rose.hear("* with you: nobody");
  await using think = await Person.enter(server, "think");
  await think.hear("* with you: rose");
  await think.say("a\tb \x1b[2J\x07\r\x9bc\x7f 🐢");
  await rose.hear("* think joins", "think: a\tb \\x1b[2J\\x07\\r\\x9bc\\x7f 🐢");
});

Deno.test({ name: "server.ts --service chat ends who sends an endless line", ignore }, async () => {
  await using server = await GreetingServer.start("--service", "chat");
  await using rose = await Person.enter(server, "rose");
  await rose.hear("* with you: nobody");
  await using think = await Person.enter(server, "think");
  await think.hear("* with you: rose");
  await think.say("x".repeat(1000));
  await think.say("x".repeat(1001));
  await think.hear("A line has at most 1000 bytes. Good-bye!");
  await think.hearEnd();
  await rose.hear("* think joins", `think: ${"x".repeat(1000)}`, "* think leaves");
  await think[Symbol.asyncDispose]();
  await server.program.stderr.until(/session 2 .* ended: limit \(FrameTooLargeError: .*1000/);
});

Deno.test(
  { name: "server.ts --service chat disconnects only clients that do not read", ignore },
  async () => {
    await using server = await GreetingServer.start("--service", "chat");
    using _deaf = await deafPerson(server.port);
    await using rose = await Person.enter(server, "rose");
    await rose.hear("* with you: deaf");
    await using think = await Person.enter(server, "think");
    await think.hear("* with you: deaf, rose");
    const { stderr } = server.program;
    // So many that the system's own buffers cannot hold all.
    for (let batch = 0; batch < 2000 && !/ended: limit/.test(stderr.text); batch++) {
      for (let i = 0; i < 50; i++) await rose.say("x".repeat(900));
      await rose.say(`batch ${batch}`);
      await think.hearOn(`rose: batch ${batch}`);
    }
    await stderr.until(/session 1 .* ended: limit \(OutputLimitError/);
    await rose.say("are you there?");
    await think.hearOn("rose: are you there?");
    await think.say("yes");
    await rose.hear("* think joins", "* deaf leaves", "think: yes");
  },
);

/** Comes in, and reads nothing from then on. */
async function deafPerson(port: number): Promise<Deno.TcpConn> {
  const conn = await Deno.connect({ hostname: "127.0.0.1", port });
  await conn.write(new TextEncoder().encode("deaf\n"));
  let heard = "";
  const buffer = new Uint8Array(1024);
  while (!heard.endsWith("* with you: nobody\n")) {
    const count = await conn.read(buffer);
    assert(count !== null);
    heard += new TextDecoder().decode(buffer.subarray(0, count));
  }
  return conn;
}

Deno.test({ name: "server.ts --service chat lets everybody go on SIGTERM", ignore }, async () => {
  await using server = await GreetingServer.start(
    "--service",
    "chat",
    "--shutdown-timeout",
    "none",
  );
  await using rose = await Person.enter(server, "rose");
  await rose.hear("* with you: nobody");
  await using nameless = await Person.enter(server);
  server.program.kill("SIGTERM");
  for (const person of [rose, nameless]) {
    await person.hearEnd();
    await person[Symbol.asyncDispose]();
  }
  const { code, stderr } = await server.program.ended();
  assertEquals(code, 0);
  assertEquals(stderr.match(/ ended: drain, /g)?.length, 2);
});
