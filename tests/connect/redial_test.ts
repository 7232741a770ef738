import { assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { reconnect, type ReconnectingClient } from "../../connect/reconnect.ts";
import { SessionEndedError } from "../../errors.ts";
import { serve, type Server } from "../../serve/serve.ts";
import type { Session } from "../../session.ts";
import { assertDone, diary, inMemory, sessionOf, SOON } from "../_reconnecting.ts";
import { bounded, clock, echo, overNet, portOf, readAll, until } from "../_serving.ts";

/** A server that says goodbye as soon as it has accepted. */
async function drained(session: Session): Promise<void> {
  await session.send("421 bye\n");
  for await (const _ of session);
}

/** Does what a client does that knows the goodbye. */
async function heed(session: Session, client: ReconnectingClient): Promise<void> {
  for await (const line of session.lines()) if (line === "421 bye") client.redial();
}

Deno.test("ReconnectingClient.redial() is no failure", bounded, async () => {
  await using _ = inMemory(drained);
  const { events, waits, ...observer } = diary();
  const errors: [unknown, number][] = [];
  const client = reconnect({
    port: 9,
    minDelay: 2,
    random: () => 0.999,
    resetAfter: 0.000_001,
    observer,
    shouldRetry: (error, attempt) => void errors.push([error, attempt]),
  });
  await client.run(async (session) => {
    if (session.id === 5) return void client.close();
    await heed(session, client);
  });
  await client.close();
  assertEquals(
    events.slice(0, 12),
    [1, 2, 3, 4].flatMap((id) => [
      "dial 1 127.0.0.1:9",
      `start ${id}`,
      `end ${id} drain`,
    ]),
  );
  assertEquals(waits, [2, 2, 2, 2, Infinity]);
  for (const [error, attempt] of errors) {
    assertInstanceOf(error, SessionEndedError);
    assertEquals([error.reason, error.cause, attempt], ["drain", undefined, 0]);
  }
});

for (
  const [addresses, dials, waits] of [
    [1, [1, 1, 2, 3, 4, 5], [1, 1, 2, 4, 8, Infinity]],
    [3, [1, 1, 1, 1, 2, 3, 4, 5], [1, 1, 1, 1, 1, 1, 2, Infinity]],
  ] as [number, number[], number[]][]
) {
  Deno.test(`reconnect() slows down if all of ${addresses} drain at once, and always`, {
    ...bounded,
  }, async () => {
    await using _ = inMemory(drained);
    const { events, waits: waited, ...observer } = diary();
    const client = reconnect({
      addresses: Array.from({ length: addresses }, () => ({ port: 9 })),
      minDelay: 1,
      random: () => 0.999,
      resetAfter: Infinity,
      maxAttempts: 5,
      observer,
    });
    const ended = client.run((session) => heed(session, client));
    assertEquals((await assertRejects(() => ended, SessionEndedError)).reason, "drain");
    const dialled = events.filter((event) => event.startsWith("dial"));
    assertEquals(dialled, dials.map((attempt) => `dial ${attempt} 127.0.0.1:9`));
    assertEquals(waited, waits);
  });
}

Deno.test(
  "ReconnectingClient.redial() may follow again after a session that lasted",
  bounded,
  async () => {
    await using _ = inMemory(drained);
    using time = clock();
    const { events, waits: _waits, ...observer } = diary();
    const addresses = [{ port: 9 }, { port: 9 }];
    const client = reconnect({ addresses, ...SOON, resetAfter: 1000, observer });
    await client.run(async (session) => {
      if (session.id === 3) time.now += 1000;
      if (session.id === 6) return void client.close();
      if (session.id === 5) return; // it leaves without a goodbye
      await heed(session, client);
    });
    await client.close();
    const attempts = events.filter((event) => event.startsWith("dial"))
      .map((event) => Number(event.split(" ")[1]));
    assertEquals(attempts, [1, 1, 1, 1, 1, 2]);
  },
);

Deno.test("ReconnectingClient.redial() in setUp lets the client dial again", bounded, async () => {
  await using _ = inMemory(async (session) => {
    await session.send(session.id === 1 ? "421 bye\n" : "220 hello\n");
    for await (const _ of session);
  });
  const { events, waits: _waits, ...observer } = diary();
  const client: ReconnectingClient<string | undefined> = reconnect({
    port: 9,
    ...SOON,
    observer,
    resetAfter: Infinity,
    async setUp(session): Promise<string | undefined> {
      const line = await session.readLine();
      if (line === "421 bye") client.redial();
      return line;
    },
  });
  await client.run((session, line) => {
    assertEquals([session.id, line], [2, "220 hello"]);
    client.close();
  });
  await client.close();
  assertEquals(events.slice(0, 5), [
    "dial 1 127.0.0.1:9",
    "start 1",
    "end 1 drain",
    "dial 1 127.0.0.1:9",
    "start 2",
  ]);
});

Deno.test("ReconnectingClient.redial() delivers what was sent before", bounded, async () => {
  const heard: string[] = [];
  await using _ = inMemory(async (session) => void heard.push(await readAll(session)));
  const client = reconnect({ port: 9, ...SOON });
  const session = await sessionOf(client);
  session.send("the last words");
  client.redial();
  await until(() => heard.length === 1);
  assertEquals([heard, (await session.closed).reason], [["the last words"], "drain"]);
  await client.close();
});

Deno.test("ReconnectingClient.redial() without a session does nothing", bounded, async () => {
  await using dialled = inMemory(echo);
  const client = reconnect({ port: 9, ...SOON });
  client.redial();
  const session = await sessionOf(client);
  await session.close();
  await until(() => client.session === undefined);
  client.redial();
  assertEquals(dialled.dials, 1);
  await client.close();
  client.redial();
  await assertDone(client);
});

Deno.test(
  "reconnect() moves to other servers while all are replaced in turn",
  overNet,
  async () => {
    const CLIENTS = 12;
    const QUESTIONS = 60;
    const options = { drainDelay: 1, shutdownTimeout: 300, goodbye: () => "421 bye\n" };
    const servers: Server[] = [0, 1, 2].map(() => serve({ port: 0, ...options }, echo));
    const ports = servers.map(portOf);
    let replaced = 0;
    const failures: unknown[] = [];
    const sessions: number[] = [];

    /** Asks all questions, each again in the next session if the server drained before it had read it. */
    const run = async (_: unknown, first: number): Promise<void> => {
      let asked = 0;
      const client = reconnect({
        addresses: [0, 1, 2].map((i) => ({ port: ports[(first + i) % 3]! })),
        resetAfter: Infinity,
        observer: { onDialError: (error) => void failures.push(error) },
      });
      await client.run(async (session) => {
        const answers = session.lines();
        while (asked < QUESTIONS || replaced < servers.length) {
          await session.send(`${asked}\n`);
          const answer = await answers.read();
          if (answer === "421 bye") return client.redial();
          assertEquals(answer, `${asked++}!`);
        }
        sessions.push(session.id);
        client.close();
      });
    };

    const clients = Promise.all(Array.from({ length: CLIENTS }, run));
    for (const [i, server] of servers.entries()) {
      await until(() => servers.reduce((all, { sessions }) => all + sessions.size, 0) === CLIENTS);
      await server.shutdown();
      servers[i] = serve({ port: ports[i]!, ...options }, echo);
      replaced++;
    }
    await clients;
    assertEquals(failures, []);
    // A client of the last server had to move once, and others up to three times.
    assertEquals(sessions.every((id) => id >= 2 && id <= 4), true, `${sessions}`);
    await Promise.all(servers.map((server) => server.shutdown({ drainDelay: 0 })));
  },
);
