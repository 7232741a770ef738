// The two chats in a crowd.

import { assertEquals } from "@std/assert";
import { serviceOf } from "../../cli/server/services.ts";
import { connect } from "../../connect/connect.ts";
import { chat } from "../../examples/chat.ts";
import { serve, type ServeOptions, type Server } from "../../serve/serve.ts";
import { Session } from "../../session.ts";
import { memoryListener } from "../../transport/memory.ts";
import { bounded, overNet, portOf, until } from "../_serving.ts";
import { TestNetwork } from "../hub/_bus.ts";

const CHATS: Record<string, (options: ServeOptions) => Server> = {
  "server.ts --service chat": (options) => {
    const { handler, options: more } = serviceOf("chat", 0);
    return serve({ ...more, ...options }, handler);
  },
  "examples/chat.ts": chat,
};

/** Somebody in the chat, and what they are told. */
class Person {
  readonly heard: string[] = [];
  readonly session: Session;
  readonly ended: Promise<void>;

  constructor(session: Session) {
    this.session = session;
    this.ended = this.#listen();
  }

  async #listen(): Promise<void> {
    try {
      for await (const line of this.session.lines()) this.heard.push(line);
    } catch { /* they have left */ }
  }
}

/** The first of these people: each is named by its number. */
function first20(numbers: number[]): string {
  return numbers.slice(0, 20).map((number) => `p${number}`).join(", ");
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, index) => from + index);
}

Deno.test("server.ts --service chat logs errors of its bus, once per second", bounded, async () => {
  const logged: [message: string, fields: object][] = [];
  const log = (message: string, fields: object): void => void logged.push([message, fields]);
  const bus = new TestNetwork().bus();
  serviceOf("chat", 0, bus, { debug: log, info: log, warn: log, error: log });
  const fail = () => bus.listener!.onError(new Error("the bus\nis away"));
  for (let n = 0; n < 100; n++) fail();
  const problem = "the bus\\nis away";
  const message = `the room has failed: ${problem}`;
  assertEquals(logged, [[message, { problem }]]);
  for (const since = performance.now(); performance.now() < since + 1000;) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  fail();
  assertEquals(logged.slice(1), [
    [`${message}; 99 more errors were not logged`, { problem, omitted: 99 }],
  ]);
});

for (const [name, open] of Object.entries(CHATS)) {
  Deno.test(`${name} announces a crowd in one message`, bounded, async () => {
    const listener = memoryListener();
    const server = open({ listener });
    const people = range(0, 100).map(() => new Person(new Session(listener.connect())));
    const heardBy = (some: Person[], count: number) =>
      until(() => some.every(({ heard }) => heard.length >= count));
    await heardBy(people, 1);
    people.forEach(({ session }, number) => void session.send(`p${number}\n`));
    await heardBy(people, 2);
    for (const [number, { heard }] of people.entries()) {
      const others = range(0, 100).filter((other) => other !== number);
      assertEquals(heard, [
        "What is your name?",
        open === chat
          ? `* ${first20(range(0, 100))} and 80 more join hall`
          : `* with you: ${first20(others)} and 79 more`,
      ]);
    }

    const left = people.splice(0, 70);
    for (const { session } of left) session.abort();
    await heardBy(people, 3);
    const speaker = people.at(-1)!;
    await speaker.session.send("anybody?\n");
    if (open !== chat) people.pop();
    await heardBy(people, 4);
    for (const { heard } of people) {
      assertEquals(heard.slice(2), [
        `* ${first20(range(0, 70))} and 50 more leave`,
        "p99: anybody?",
      ]);
    }
    for (const { session } of [...people, speaker]) session.abort();
    await server.shutdown();
    await Promise.all([...left, ...people, speaker].map(({ ended }) => ended));
  });

  Deno.test(`${name} sends no farewells while the server drains`, overNet, async () => {
    const server = open({ port: 0 });
    const people: Person[] = [];
    for (const number of range(0, 50)) {
      const person = new Person(await connect({ port: portOf(server) }));
      await person.session.send(`p${number}\n`);
      await until(() => person.heard.length === 2);
      const isTold = ({ heard }: Person) => heard.at(-1)!.startsWith(`* p${number} joins`);
      await until(() => people.every(isTold));
      people.push(person);
    }
    const before = people.map(({ heard }) => [...heard]);
    const down = server.shutdown();
    await Promise.all(people.map(({ ended }) => ended));
    assertEquals(people.map(({ heard }) => heard), before);
    await Promise.all(people.map(({ session }) => session.close()));
    await down;
  });

  Deno.test(`${name} keeps terminals from harm`, overNet, async () => {
    await using server = open({ port: 0 });
    await using rose = await connect({ port: portOf(server) });
    await using think = await connect({ port: portOf(server) });
    const heard = think.lines();
    await think.send("think\n");
    while (!(await heard.read())!.includes(open === chat ? "think joins" : "with you"));
    await rose.send("rose\na\tb \x1b[2J\x07\r\x9bc\x7f 🐢 a\u202eb\u2066c\u2028d\u200e\n");
    assertEquals(await heard.read(), `* rose joins${open === chat ? " hall" : ""}`);
    assertEquals(
      await heard.read(),
      String.raw`rose: a${"\t"}b \x1b[2J\x07\r\x9bc\x7f 🐢 a\u202eb\u2066c\u2028d${"\u200e"}`,
    );
  });

  Deno.test(`${name} reports a line that is too long`, overNet, async () => {
    await using server = open({ port: 0 });
    for (const [limit, named] of [[100, ""], [1000, "rose\n"]] as const) {
      await using session = await connect({ port: portOf(server) });
      const lines = session.lines();
      await session.send(`${named}${"x".repeat(limit + 1)}\nmore\n`);
      let line: string | undefined;
      let last: string | undefined;
      while ((line = await lines.read()) !== undefined) last = line;
      assertEquals(last, `A line has at most ${limit} bytes. Good-bye!`);
    }
  });
}
