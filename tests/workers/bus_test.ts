import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { setImmediate } from "node:timers";
import { MessageChannel } from "node:worker_threads";
import { Hub } from "../../hub/mod.ts";
import type { Session } from "../../mod.ts";
import { serveWorkers, workerBus, type WorkersServer } from "../../workers/mod.ts";
import { WorkerBus } from "../../workers/bus.ts";
import { settle, until } from "../_serving.ts";
import { dialEach, kill, service, stop, withWorkers } from "./_workers.ts";

interface Started {
  server: WorkersServer;
  /** One in each worker. */
  clients: Session[];
}

async function start(workers: number): Promise<Started> {
  const server = serveWorkers(service("_hub"), { port: 0, workers });
  await server.listening;
  return { server, clients: await dialEach(server, workers) };
}

/** Sends a command and returns its answer. Messages of groups that come before it go to `others`. */
async function ask(client: Session, command: string, others: string[] = []): Promise<string> {
  await client.send(`${command}\n`);
  return (await read(client, (line) => line.startsWith("= "), others)).slice(2);
}

/** Reads to a certain line. Those before it go to `others`. */
async function read(
  client: Session,
  isWanted: (line: string) => boolean,
  others: string[] = [],
): Promise<string> {
  for await (const line of client.lines()) {
    if (isWanted(line)) return line;
    others.push(line);
  }
  throw new Error("the server has closed");
}

Deno.test(
  "workerBus() carries messages to members in other workers, once each and in order",
  withWorkers,
  async () => {
    const { server, clients } = await start(3);
    for (const client of clients) {
      assertEquals(await ask(client, "join hall"), "joined hall");
      assertEquals(
        await ask(client, "second"),
        "TypeError: workerBus() is the bus of another hub already: a worker has one hub",
      );
    }
    const rounds = 100;
    for (let at = 0; at < rounds; at++) {
      for (const [who, client] of clients.entries()) client.send(`say hall ${who}:${at}\n`);
    }
    for (const [who, client] of clients.entries()) {
      const got: string[] = [];
      const answers = rounds + (clients.length - 1) * rounds;
      for await (const line of client.lines()) {
        got.push(line);
        if (got.length === answers) break;
      }
      assert(got.filter((line) => line === "= true").length === rounds);
      for (const other of clients.keys()) {
        const numbers = got.filter((line) => line.startsWith(`${other}:`));
        const expected = Array.from(
          { length: other === who ? 0 : rounds },
          (_, at) => `${other}:${at}`,
        );
        assertEquals(numbers, expected);
      }
    }
    await stop(server, clients);
  },
);

Deno.test(
  "a worker that has died leaves the bus, and the next one joins it",
  withWorkers,
  async () => {
    const { server, clients: [a, b] } = await start(2);
    await ask(a!, "join hall");
    await ask(b!, "join hall");
    await kill(b!);
    await until(() => {
      const { workers } = server.stats();
      return workers.some(({ deaths }) => deaths > 0) &&
        workers.every(({ state }) => state === "serving");
    });
    assertEquals(await ask(a!, "flood hall 5000 1024"), "0"); // more than may be on its way to a worker
    const fresh = await dialEach(server, 2);
    const old = await ask(a!, "thread");
    const clients = [];
    for (const client of fresh) {
      if (await ask(client, "thread") !== old) clients.push(client);
    }
    const [next] = clients;
    await ask(next!, "join hall");
    assertEquals(await ask(a!, "say hall welcome"), "true");
    assertEquals(await next!.readLine(), "welcome");
    await ask(next!, "say hall thanks");
    await read(a!, (line) => line === "thanks");
    await stop(server, [a!, b!, ...fresh]);
  },
);

Deno.test(
  "what a busy worker cannot take is bounded and told, to it and to the sender",
  withWorkers,
  async () => {
    const { server, clients: [a, b] } = await start(2);
    await ask(b!, "join hall");
    b!.send("spin 1000\n");
    await a!.send("flood hall 12000 1024\n"); // 12 MiB
    const untaken = Number((await a!.readLine())!.slice(2));
    assert(untaken > 7000 && untaken < 8500, `${untaken}`);
    const got: string[] = [];
    await read(b!, (line) => line === "= undefined", got); // of spin
    while (got.length < 12000 - untaken) await ask(b!, "thread", got);
    assertEquals(await ask(a!, "say hall 12000"), "true");
    assertEquals(await b!.readLine(), "12000");
    const numbers = got.map(Number);
    assertEquals(numbers, numbers.toSorted((x, y) => x - y));
    const missed = (await ask(b!, "gaps")).split(", ").flatMap((gap) => {
      const [, from, to] = gap.split(" ").map(Number) as [number, number, number];
      return Array.from({ length: to - from + 1 }, (_, at) => from - 1 + at);
    });
    assertEquals(missed.length, untaken);
    assertEquals(new Set([...numbers, ...missed]).size, 12000);
    assertEquals(await ask(a!, "flood hall 3000 1024"), "0");
    await stop(server, [a!, b!]);
  },
);

/** Buses of one thread, connected as those of workers are, and what their hubs have got. */
class Buses {
  readonly all: WorkerBus[] = [];
  readonly got: string[][] = [];

  constructor(count: number) {
    for (let at = 0; at < count; at++) this.add();
  }

  add(): void {
    const bus = new WorkerBus();
    const ports = this.all.map((other) => {
      const { port1, port2 } = new MessageChannel();
      other.connect([port1]);
      return port2;
    });
    bus.connect(ports);
    const got: string[] = [];
    this.all.push(bus);
    this.got.push(got);
    bus.start({
      onMessage: (message) => void got.push(new TextDecoder().decode(message)),
      onStateChange: () => {},
      onStored: () => {},
      onReconnect: () => {},
      onError: (error) => {
        throw error;
      },
    });
  }

  async close(): Promise<void> {
    await Promise.all(this.all.map((bus) => bus.close()));
  }
}

/** Waits for a promise. The ports of buses do not keep the process alive. */
async function alive(promise: Promise<unknown>): Promise<void> {
  let isSettled = false;
  promise.finally(() => isSettled = true);
  await until(() => isSettled);
}

Deno.test("a bus of workers loses no message of a group that is subscribed, and repeats none", {
  permissions: "none",
}, async () => {
  const step = fc.record({
    who: fc.nat({ max: 2 }),
    group: fc.constantFrom("a", "b"),
    does: fc.constantFrom(
      "join",
      "join",
      "leave",
      "publish",
      "publish",
      "wait",
      "turn",
      "turn",
      "add",
    ),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const buses = new Buses(3);
      /** The subscriptions that are effective, and all of them. */
      const joined = new Set<string>();
      const wanted = new Set<string>();
      const expected: string[][] = [[], [], []];
      for (const [at, { who, group, does }] of steps.entries()) {
        const bus = buses.all[who]!;
        const place = `${who}${group}`;
        if (does === "join" && !wanted.has(place)) {
          wanted.add(place);
          bus.subscribe(group).then(() => wanted.has(place) && joined.add(place));
        } else if (does === "leave" && wanted.delete(place)) {
          joined.delete(place);
          bus.unsubscribe(group);
        } else if (does === "publish" && bus.isReady) {
          const message = `${group}${at}`;
          assert(bus.publish(group, new TextEncoder().encode(message)));
          for (const other of [0, 1, 2].filter((other) => other !== who)) {
            if (joined.has(`${other}${group}`)) expected[other]!.push(message);
          }
        } else if (does === "wait") await settle();
        else if (does === "turn") await new Promise((resolve) => setImmediate(resolve));
        else if (does === "add" && buses.all.length < 5) buses.add();
      }
      const isDone = (): boolean =>
        expected.every((all, at) => all.every((one) => buses.got[at]!.includes(one)));
      for (let turn = 0; turn < 1000 && !isDone(); turn++) await settle();
      assert(isDone(), JSON.stringify([buses.got, expected]));
      for (const all of buses.got) assertEquals(new Set(all).size, all.length);
      await buses.close();
    }),
    { numRuns: 100 },
  );
});

Deno.test(
  "a bus of workers sends nothing to those without members",
  { permissions: "none" },
  async () => {
    const buses = new Buses(3);
    const [a, b, c] = buses.all as [WorkerBus, WorkerBus, WorkerBus];
    await alive(Promise.all([b.subscribe("b"), c.subscribe("c")]));
    for (const group of ["a", "b", "c"]) a.publish(group, new TextEncoder().encode(group));
    b.unsubscribe("b");
    await alive(b.subscribe("c"));
    for (const group of ["b", "c"]) a.publish(group, new TextEncoder().encode(group));
    await until(() => buses.got[1]!.length === 2 && buses.got[2]!.length === 2);
    assertEquals(buses.got, [[], ["b", "c"], ["c", "c"]]);
    await buses.close();
  },
);

Deno.test(
  "a bus of workers waits until it knows the other workers",
  { permissions: "none" },
  async () => {
    const bus = new WorkerBus();
    bus.start({
      onMessage: () => {},
      onStateChange: () => {},
      onStored: () => {},
      onReconnect: () => {},
      onError: () => {},
    });
    let isSubscribed = false;
    bus.subscribe("hall").then(() => isSubscribed = true);
    await settle();
    assertEquals([bus.isReady, isSubscribed], [false, false]);
    bus.connect([]);
    await settle();
    assertEquals([bus.isReady, isSubscribed], [true, true]);
    await bus.close();
  },
);

Deno.test(
  "a bus of workers that closes sends what was published",
  { permissions: "none" },
  async () => {
    const buses = new Buses(2);
    const [a, b] = buses.all as [WorkerBus, WorkerBus];
    await alive(b.subscribe("hall"));
    a.publish("hall", new TextEncoder().encode("good-bye"));
    await a.close();
    await until(() => buses.got[1]!.length === 1);
    assertEquals(buses.got[1], ["good-bye"]);
    await buses.close();
  },
);

Deno.test("workerBus() is undefined outside of a worker of serveWorkers()", async () => {
  assertEquals(workerBus(), undefined);
  await using hub = new Hub({ bus: workerBus() });
  assert(hub.publish("hall", "text"));
});
