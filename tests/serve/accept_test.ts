import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { connect } from "../../connect/connect.ts";
import { acceptAll } from "../../serve/acceptor.ts";
import { serve, type Server } from "../../serve/serve.ts";
import { Session } from "../../session.ts";
import {
  type Address,
  type Connection,
  type Listener,
  memoryListener,
  memoryPair,
} from "../../transport/mod.ts";
import { canRun } from "../_permissions.ts";
import {
  ask,
  assertNoDescriptorLeft,
  bounded,
  clock,
  echo,
  overNet,
  overNetCounting,
  portOf,
  recorder,
  settle,
  until,
} from "../_serving.ts";

const canStorm = !overNetCounting.ignore && await canRun("python3");

/** A listener whose accepts come to what the test says. */
class ScriptedListener implements Listener {
  readonly addr: Address = { transport: "memory", name: "scripted" };
  /** How often it was asked. */
  accepts = 0;
  #accept: PromiseWithResolvers<Connection> = Promise.withResolvers();

  accept(): Promise<Connection> {
    this.accepts++;
    this.#accept = Promise.withResolvers();
    return this.#accept.promise;
  }

  give(connection: Connection): void {
    this.#accept.resolve(connection);
  }

  fail(error: unknown): void {
    this.#accept.reject(error);
  }

  close(): void {
    this.fail(new Deno.errors.BadResource("closed"));
  }
}

/** Timers that fire when the test says so. */
class FakeTimers implements Disposable {
  readonly #real = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout };
  readonly #waiting = new Map<number, [callback: () => void, delay: number]>();
  #nextId = 1;

  constructor() {
    const set = (callback: () => void, delay: number): number => {
      this.#waiting.set(this.#nextId, [callback, delay]);
      return this.#nextId++;
    };
    const clear = (id: number): void => void this.#waiting.delete(id);
    Object.assign(globalThis, { setTimeout: set, clearTimeout: clear });
  }

  /** What is waited for, in milliseconds. */
  get delays(): number[] {
    return [...this.#waiting.values()].map(([, delay]) => delay);
  }

  fire(): void {
    const due = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const [callback] of due) callback();
  }

  [Symbol.dispose](): void {
    Object.assign(globalThis, this.#real);
  }
}

Deno.test("serve() waits longer each time that accepting fails", bounded, async () => {
  using timers = new FakeTimers();
  const listener = new ScriptedListener();
  const seen = recorder();
  const server = serve({ listener, observer: seen }, echo);
  let accepts = 1;
  const delays = [5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000];
  for (const delay of delays) {
    assertEquals(listener.accepts, accepts);
    listener.fail(new Error("no descriptors"));
    await settle();
    assertEquals([listener.accepts, timers.delays], [accepts, [delay]]);
    timers.fire();
    await settle();
    accepts++;
  }
  assertEquals(server.stats().acceptErrors, delays.length);
  assertEquals(
    seen.events.slice(1),
    delays.map((delay) => `accept Error: no descriptors ${delay}`),
  );
  await server.shutdown();
});

Deno.test("serve() stops waiting to accept when it shuts down", bounded, async () => {
  using timers = new FakeTimers();
  const listener = new ScriptedListener();
  const server = serve({ listener, shutdownTimeout: Infinity, onError: () => {} }, echo);
  listener.fail(new Error("no descriptors"));
  await settle();
  assertEquals(timers.delays, [5]);
  await server.shutdown();
  assertEquals([server.state, listener.accepts, timers.delays], ["closed", 1, []]);
});

Deno.test("serve() forgets earlier failures once it has accepted", bounded, async () => {
  const listener = new ScriptedListener();
  const seen = recorder();
  const server = serve({ listener, observer: seen }, () => {});
  for (let i = 1; i <= 2; i++) {
    listener.fail(new Error("no descriptors"));
    await until(() => listener.accepts === i + 1);
  }
  const [client, connection] = memoryPair();
  listener.give(connection);
  await until(() => listener.accepts === 4);
  listener.fail(new Error("again"));
  await until(() => listener.accepts === 5);
  client.close();
  await server.shutdown();
  assertEquals(seen.events.filter((event) => event.startsWith("accept")), [
    "accept Error: no descriptors 5",
    "accept Error: no descriptors 10",
    "accept Error: again 5",
  ]);
});

Deno.test("serve() reports no clients that were gone before the accept", bounded, async () => {
  using timers = new FakeTimers();
  const { NotConnected, ConnectionReset, ConnectionAborted } = Deno.errors;
  const listener = new ScriptedListener();
  const seen = recorder();
  const server = serve({ listener, observer: seen }, echo);
  let accepts = 1;
  for (const Kind of [NotConnected, ConnectionReset, ConnectionAborted, NotConnected]) {
    listener.fail(new Kind("gone"));
    await settle();
    assertEquals([listener.accepts, timers.delays], [++accepts, []]);
  }
  await server.shutdown();
  assertEquals(server.stats().acceptErrors, 0);
  assertEquals(seen.events, ["listening", "draining", "closed"]);
});

const STORM = `
import socket, struct, sys
for _ in range(200):
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.connect(("127.0.0.1", int(sys.argv[1])))
    client.close()
`;

/** 200 clients that connect and reset at once. */
async function storm(port: number): Promise<void> {
  const { success, stderr } = await new Deno.Command("python3", {
    args: ["-c", STORM, `${port}`],
    stdin: "null",
  }).output();
  assert(success, new TextDecoder().decode(stderr));
}

/** Asks again and again until `over`, at least once, and returns how often. */
async function keepAsking(client: Session, over: Promise<unknown>): Promise<number> {
  let isOver = false;
  over.then(() => isOver = true);
  let answers = 0;
  do {
    assertEquals(await ask(client, `question ${answers}`), `question ${answers}!`);
    answers++;
  } while (!isOver);
  return answers;
}

Deno.test("serve() continues after clients that connect and reset", {
  ...overNetCounting,
  ignore: !canStorm,
}, async () => {
  await assertNoDescriptorLeft(async () => {
    const told: unknown[] = [];
    const server = serve({ port: 0, onError: (error) => void told.push(error) }, echo);
    const port = portOf(server);
    const clients = await Promise.all(Array.from({ length: 10 }, () => connect({ port })));
    const over = storm(port);
    await Promise.all(clients.map((client) => keepAsking(client, over)));
    await over;
    const late = await connect({ port });
    assertEquals(await ask(late, "rose"), "rose!");
    await Promise.all([...clients, late].map((client) => client.close()));
    await until(() => server.sessions.size === 0);
    assertEquals(told, []);
    await server.shutdown();
  });
});

Deno.test(
  "serve() goes on after clients that leave what they were sent",
  overNetCounting,
  async () => {
    await assertNoDescriptorLeft(async () => {
      const seen = recorder();
      const server = serve({ port: 0, observer: seen }, async (session) => {
        await session.send("welcome!\n");
        await echo(session);
      });
      const port = portOf(server);
      const good = await connect({ port });
      assertEquals(await good.readLine(), "welcome!");
      const rude = Array.from({ length: 200 }, async () => {
        const client = await Deno.connect({ port });
        await until(() => server.stats().accepted > 200); // all of them are in
        client.close(); // over unread input: a reset
      });
      await keepAsking(good, Promise.all(rude));
      await Promise.all(rude);
      await until(() => server.sessions.size === 1);
      assertEquals(await ask(good, "rose"), "rose!");
      await good.close();
      await server.shutdown();
      const count = (pattern: RegExp): number =>
        seen.events.filter((event) => pattern.test(event)).length;
      assertEquals([count(/^end/), count(/^(accept|handler)/)], [201, 0]);
    });
  },
);

Deno.test(
  "serve() serves a thousand clients at once, each with what is its own",
  overNet,
  async () => {
    const CLIENTS = 1000;
    const seen = recorder();
    const server = serve({ port: 0, observer: seen }, async (session) => {
      await session.send("welcome!");
      for await (const name of session) {
        if (name === "exit") break;
        await session.send(`hello, ${name}!`);
      }
    });
    const meet = async (client: Session, text: string): Promise<void> => {
      const bytes = await client.readExactly(new TextEncoder().encode(text).length);
      assertEquals(new TextDecoder().decode(bytes), text);
    };
    const allAreThere = until(() => server.stats().accepted === CLIENTS);
    await Promise.all(Array.from({ length: CLIENTS }, async (_, i) => {
      await using client = await connect({ port: portOf(server), connectTimeout: Infinity });
      await meet(client, "welcome!");
      await allAreThere;
      for (const name of ["rose", "jo", "ann", "zoë", "李"]) {
        await client.send(`${name} ${i}`);
        await meet(client, `hello, ${name} ${i}!`);
      }
      await client.send("exit");
      assertEquals(await client.readLine(), undefined);
    }));
    await until(() => server.sessions.size === 0);
    await server.shutdown();
    const { accepted, refused, acceptErrors, handlerErrors } = server.stats();
    assertEquals([accepted, refused, acceptErrors, handlerErrors], [CLIENTS, 0, 0, 0]);
    assertEquals(seen.events.filter((event) => event.endsWith("local")).length, CLIENTS);
  },
);

/** What accepting fails with then. */
function noDescriptor(): Error {
  return Object.assign(new Error("Too many open files (os error 24)"), { code: "EMFILE" });
}

/** A server that has these many silent sessions. */
async function crowded(count: number): Promise<{
  server: Server;
  listener: ScriptedListener;
  clients: Connection[];
  events: string[];
}> {
  const listener = new ScriptedListener();
  const seen = recorder();
  const server = serve({ listener, observer: seen }, echo);
  const clients: Connection[] = [];
  for (let i = 1; i <= count; i++) {
    const [client, connection] = memoryPair();
    clients.push(client);
    listener.give(connection);
    await until(() => listener.accepts === i + 1);
  }
  return { server, listener, clients, events: seen.events };
}

Deno.test(
  "serve() ends the newest session when descriptors run out, and has one less from then on",
  bounded,
  async () => {
    using _time = clock(); // stands still
    const { server, listener, clients, events } = await crowded(10);
    listener.fail(noDescriptor());
    await until(() => server.stats().acceptErrors === 1);
    assertEquals([server.sessions.size, listener.accepts], [9, 11]);
    assertEquals(events.slice(-2)[0], "end 10 limit");
    assertMatch(events.at(-1)!, /^accept Error: Too many open files \(os error 24\) \d+$/);
    await assertRejects(() => clients[9]!.read(new Uint8Array(1)), Deno.errors.ConnectionReset);
    clients[9]!.close();
    await settle();
    assertEquals(listener.accepts, 11); // the one that is free stays free
    clients[0]!.close();
    await until(() => listener.accepts === 12);
    listener.give(memoryPair()[1]);
    await until(() => server.sessions.size === 9);
    await settle();
    assertEquals(listener.accepts, 12);
    server.abort();
    await server.finished;
  },
);

Deno.test(
  "serve() ends no session that has heard something when descriptors run out",
  bounded,
  async () => {
    using _time = clock(); // stands still
    const { server, listener, clients } = await crowded(10);
    await clients[9]!.write(new TextEncoder().encode("rose"));
    await until(() => server.stats().bytesRead === 4);
    listener.fail(noDescriptor());
    await until(() => server.stats().acceptErrors === 1);
    assertEquals(server.sessions.size, 10);
    clients[0]!.close();
    await until(() => server.sessions.size === 9);
    await settle();
    assertEquals(listener.accepts, 11); // so one is free from now on
    clients[1]!.close();
    await until(() => listener.accepts === 12);
    server.abort();
    await server.finished;
  },
);

Deno.test("serve() ends no session when others have taken the descriptors", bounded, async () => {
  const { server, listener } = await crowded(8);
  listener.fail(noDescriptor());
  await until(() => listener.accepts === 10);
  assertEquals([server.sessions.size, server.stats().acceptErrors], [8, 1]);
  server.abort();
  await server.finished;
});

Deno.test(
  "serve() sees again and again, at longer intervals, whether there are more descriptors",
  bounded,
  async () => {
    using timers = new FakeTimers();
    using time = clock();
    const listener = new ScriptedListener();
    let isStopping = false;
    const told: number[] = [];
    const accepting = acceptAll(listener, {
      isStopping: () => isStopping,
      isWaiting: () => false,
      isSuspended: () => false,
      count: () => 10,
      nextChange: () => new Promise(() => {}),
      onConnection: () => true,
      onExhausted: () => {},
      onError: (_error, retryIn) => void told.push(retryIn),
    });
    /** Runs out, and lets the time pass after which it is tried again. */
    const runOut = async (): Promise<void> => {
      const { accepts } = listener;
      listener.fail(noDescriptor());
      await settle();
      while (listener.accepts === accepts) {
        time.now += timers.delays[0]!;
        timers.fire();
        await settle();
      }
    };
    for (let i = 0; i < 8; i++) await runOut();
    // 5 ms have gone by meanwhile.
    assertEquals(told, [995, 1995, 3995, 7995, 15_995, 31_995, 59_995, 59_995]);
    time.now += 60_001; // there was enough for long
    await runOut();
    assertEquals(told.at(-1), 1000);
    isStopping = true;
    listener.fail(new Error("stop"));
    await accepting;
  },
);

Deno.test("serve() yields while a listener reports only resets", async () => {
  let accepts = 0;
  let closed = false;
  const server = serve({
    listener: {
      addr: { transport: "memory", name: "resets" },
      accept: () => {
        accepts++;
        return Promise.reject(
          closed ? new Deno.errors.BadResource() : new Deno.errors.ConnectionReset(),
        );
      },
      close: () => closed = true,
    },
  }, () => {});
  // No timer would fire if nobody else had a turn.
  do await new Promise((resolve) => setTimeout(resolve, 1)); while (accepts <= 1000);
  await server.shutdown();
  assertEquals(server.stats().acceptErrors, 0);
});

Deno.test("serve() does not look at options that are changed afterwards", async () => {
  const listener = memoryListener();
  const options = { listener, chunkSize: 10 };
  await using server = serve(options, (session) => session.send("welcome!"));
  options.chunkSize = -1;
  await using client = new Session(listener.connect());
  assertEquals((await client.text().next()).value, "welcome!");
  assertEquals(server.stats().accepted, 1);
});
