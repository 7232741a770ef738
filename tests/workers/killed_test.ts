import { assert, assertEquals, assertGreater, assertMatch } from "@std/assert";
import { setTimeout as sleep } from "node:timers/promises";
import { type Session, SessionEndedError } from "../../mod.ts";
import type { WorkersServer } from "../../workers/mod.ts";
import { until } from "../_serving.ts";
import { dial, dialEach, kill, serveCommands, stop, withWorkers } from "./_workers.ts";

const KILLS = 4;

async function threadOf(client: Session): Promise<number> {
  await client.send("thread\n");
  const thread = await client.readLine();
  assertMatch(thread ?? "the end of input", /^\d+$/);
  return Number(thread);
}

/** Asks all the time, and is always answered by the same worker. */
async function talk(client: Session, isOver: () => boolean): Promise<number> {
  const thread = await threadOf(client);
  for (let answers = 0;; answers++) {
    if (isOver()) return answers;
    assertEquals(await threadOf(client), thread);
    await sleep(1);
  }
}

/** Comes and goes all the time. Whoever is in the queue of a worker that dies is reset; nobody is refused. */
async function visit(server: WorkersServer, isOver: () => boolean): Promise<number> {
  for (let visits = 0;; visits++) {
    if (isOver()) return visits;
    const client = await dial(server);
    try {
      await threadOf(client);
    } catch (error) {
      assert(error instanceof SessionEndedError, String(error));
    }
    client.abort();
    await client.closed;
    await sleep(1);
  }
}

/** A session in a thread that was started after another one: they are numbered. */
async function dialAfter(server: WorkersServer, thread: number): Promise<[Session, number]> {
  for (;;) {
    const client = await dial(server);
    const own = await threadOf(client);
    if (own > thread) return [client, own];
    client.abort();
    await client.closed;
  }
}

Deno.test(
  "serveWorkers() serves on under load while a worker is killed every second",
  withWorkers,
  async () => {
    const { server, deaths } = await serveCommands({ workers: 3 });
    const [victim, ...others] = await dialEach(server, 3);
    let newest = Math.max(...await Promise.all([victim!, ...others].map(threadOf)));
    let isOver = false;
    const work = [
      ...others.map((client) => talk(client, () => isOver)),
      ...others.map(() => visit(server, () => isOver)),
    ];
    let next = victim!;
    for (let kills = 1; kills <= KILLS; kills++) {
      await Promise.race([sleep(1000), ...work]); // which fails if they do
      await kill(next);
      await until(() => deaths.length === kills);
      const worker = deaths.at(-1)![0];
      await until(() => server.stats().workers[worker]!.state === "serving");
      [next, newest] = await dialAfter(server, newest);
    }
    isOver = true;
    for (const count of await Promise.all(work)) assertGreater(count, 100);
    assertEquals(deaths.length, KILLS);
    await stop(server, [next, ...others]);
  },
);
