import { assert, assertEquals, assertInstanceOf, assertLess, assertThrows } from "@std/assert";
import { lengthPrefixed } from "../../codecs/length_prefixed.ts";
import { connect, type ConnectOptions } from "../../connect/connect.ts";
import { MemoryLimitError, type SessionEnd } from "../../errors.ts";
import type { MemoryPressureEvent, ServerObserver } from "../../serve/observer.ts";
import { serve, type ServeOptions, type Server } from "../../serve/serve.ts";
import { prepare, type PreparedMessage, Session } from "../../session.ts";
import { type Connection, type Listener, memoryListener } from "../../transport/mod.ts";
import { ask, bounded, clock, echo, overNet, portOf, settle, until } from "../_serving.ts";
import { canUnix } from "../_permissions.ts";
import { makeTempDir } from "../_temp_dir.ts";
import { ca, localhost, overTls } from "../_tls_serving.ts";

const MIB = 1024 * 1024;
const LIMIT = 8 * MIB;

interface Told {
  steps: string[];
  events: MemoryPressureEvent[];
  ends: SessionEnd[];
  observer: ServerObserver;
}

function told(): Told {
  const steps: string[] = [];
  const events: MemoryPressureEvent[] = [];
  const ends: SessionEnd[] = [];
  return {
    steps,
    events,
    ends,
    observer: {
      onMemoryPressure: (event) => {
        steps.push(event.pressure);
        events.push(event);
      },
      onSessionEnd: (_, end) => void ends.push(end),
    },
  };
}

/** Each way in: what the server listens on, and how its clients come. */
const WAYS: [name: string, ignore: boolean, run: (body: Body) => Promise<void>][] = [
  ["memory", false, (body) => {
    const listener = memoryListener();
    return body({ listener }, () => Promise.resolve(new Session(listener.connect(), ENDLESS)));
  }],
  ["TCP", overNet.ignore, (body) => body({ port: 0 }, dialling())],
  ["TLS", overTls.ignore, (body) => body({ port: 0, tls: localhost }, dialling({ tls: { ca } }))],
  ["Unix", !canUnix, async (body) => {
    await using dir = await makeTempDir();
    const path = `${dir.path}/test.sock`;
    await body({ path }, () => connect({ path, ...ENDLESS }));
  }],
];

const ENDLESS = { maxBufferedOutput: 64 * MIB };

type Dial = (server: Server) => Promise<Session>;
type Body = (place: ServeOptions, dial: Dial) => Promise<void>;

function dialling(options: ConnectOptions = {}): Dial {
  return (server) => connect({ port: portOf(server), ...ENDLESS, ...options });
}

function testEachWay(name: string, body: Body): void {
  for (const [way, ignore, run] of WAYS) {
    Deno.test(`${name} (${way})`, { ...bounded, ignore }, () => run(body));
  }
}

/** Answers each frame with its length. */
async function measure(session: Session): Promise<void> {
  for await (const frame of session.frames(lengthPrefixed())) {
    await session.send(`${frame.length}\n`);
  }
}

function frameOf(size: number): PreparedMessage {
  return prepare(new Uint8Array(size), lengthPrefixed());
}

testEachWay(
  "serve() reads those who hold most in turn while memory is short",
  async (place, dial) => {
    const { steps, ends, observer } = told();
    const SIZE = 500_000;
    const options = { ...place, maxBufferMemory: LIMIT, idleTimeout: 1000, observer };
    await using server = serve(options, measure);
    const clients = await Promise.all(Array.from({ length: 60 }, () => dial(server)));
    for (const client of clients) client.send(frameOf(SIZE)); // 30 MB
    const answers = await Promise.all(clients.map((client) => client.readLine()));
    assertEquals(new Set(answers), new Set([`${SIZE}`]));
    assertEquals(steps[0], "reading-paused");
    await until(() => steps.at(-1) === "none");
    assertEquals(server.stats().memory.paused, 0);
    assertEquals(ends, []);
    for (const client of clients) await client.close();
  },
);

testEachWay("serve() serves others beside those who fill its memory", async (place, dial) => {
  const { steps, ends, observer } = told();
  const options = { ...place, maxBufferMemory: LIMIT, frameTimeout: 2000, observer };
  await using server = serve(options, measure);
  const good = await dial(server);
  const greedy = await Promise.all(Array.from({ length: 60 }, () => dial(server)));
  const half = new Uint8Array(500_000);
  new DataView(half.buffer).setUint32(0, 1_000_000);
  for (const client of greedy) client.send(half.slice()); // 30 MB
  await until(() => steps.length > 0);
  let highest = 0;
  for (let size = 0; ends.length < 60; size++) {
    highest = Math.max(highest, server.stats().memory.held);
    good.send(frameOf(size));
    assertEquals(await good.readLine(), `${size}`);
    if (size % 10 === 9) await settle();
  }
  assert(highest > LIMIT / 2 && highest < LIMIT * 3 / 2, `${highest} bytes were held`);
  for (const { reason } of ends) assert(["frame-stalled", "limit"].includes(reason), reason);
  await until(() => steps.at(-1) === "none");
  for (const client of greedy) client.abort();
  await good.close();
});

/** Sends each session what it asks for, without waiting for it to be taken. */
async function deliver(session: Session): Promise<void> {
  for await (const line of session.lines()) {
    for (let left = Number(line); left > 0; left -= 10_000) {
      session.send(new Uint8Array(Math.min(left, 10_000)));
    }
  }
}

/** Far more than the system takes for a client that does not read. */
const MUCH = 100 * MIB;

testEachWay("serve() ends who holds most once all hold too much", async (place, dial) => {
  const { steps, ends, observer } = told();
  const options = { ...place, maxBufferMemory: LIMIT, maxBufferedOutput: 2 * MUCH, observer };
  await using server = serve(options, deliver);
  const good = await dial(server);
  const greedy = await dial(server);
  await greedy.send(`${MUCH}\n`);
  await until(() => ends.length > 0);
  const [{ reason, cause } = {}] = ends;
  assertEquals(reason, "limit");
  assertInstanceOf(cause, MemoryLimitError);
  assertEquals(cause.limit, LIMIT);
  assert(cause.held > LIMIT * 3 / 4 && cause.held < LIMIT * 2, `${cause.held} bytes were held`);
  assert(steps.includes("sessions-ended"), `${steps}`);
  await until(() => steps.at(-1) === "none");
  assertEquals(server.stats().memory.ended, 1);
  await good.send("3\n");
  assertEquals(await good.readExactly(3), new Uint8Array(3));
  greedy.abort();
  await good.close();
});

testEachWay(
  "serve() limits what is read of peers whom no reading waits for",
  async (place, dial) => {
    const { steps, observer } = told();
    // For the sake of heartbeats, the sweep reads up to 64 KiB of each.
    const heartbeat = { interval: 200, message: () => undefined };
    const options = { ...place, maxBufferMemory: LIMIT, heartbeat, observer };
    await using server = serve(options, (session) => session.closed);
    const clients = await Promise.all(Array.from({ length: 300 }, () => dial(server)));
    for (const client of clients) client.send(new Uint8Array(200_000));
    let highest = 0;
    await until(() => {
      highest = Math.max(highest, server.stats().memory.held);
      return steps.length > 0;
    });
    for (let round = 0; round < 20; round++) {
      await settle();
      highest = Math.max(highest, server.stats().memory.held);
    }
    assert(highest < LIMIT * 2, `${highest} bytes were held`);
    server.abort(); // it does not read what would tell it that the clients have gone
    for (const client of clients) client.abort();
  },
);

Deno.test("serve() tells each step, once, and what all hold", bounded, async () => {
  const { events, ends, observer } = told();
  const listener = memoryListener();
  const options = { listener, maxBufferMemory: LIMIT, maxBufferedOutput: MUCH, observer };
  await using server = serve(options, deliver);
  const clients = [1, 2, 3].map(() => new Session(listener.connect()));
  const [one, two, three] = clients;
  one!.send(`${MIB}\n`);
  two!.send(`${4 * MIB}\n`);
  await until(() => events.length === 1);
  three!.send(`${MIB}\n`);
  await until(() => events.length === 2);
  one!.send(`${MIB}\n`);
  await until(() => events.length === 5);
  assertEquals(events.map(({ pressure, limit, ended }) => [pressure, limit, ended]), [
    ["reading-paused", LIMIT, 0],
    ["accepting-paused", LIMIT, 0],
    ["sessions-ended", LIMIT, 1],
    ["reading-paused", LIMIT, 0],
    ["none", LIMIT, 0],
  ]);
  const parts = events.map(({ held }) => held / LIMIT);
  assert(parts[0]! > 5 / 8 && parts[1]! > 3 / 4 && parts[4]! < 1 / 2, `${parts}`);
  await until(() => ends.length > 0);
  assertEquals(ends.map(({ cause }) => (cause as MemoryLimitError).name), ["MemoryLimitError"]);
  const { held, ...rest } = server.stats().memory;
  assertEquals(rest, { pressure: "none", paused: 0, ended: 1 });
  assertLess(held, 4 * MIB);
  for (const client of clients) client.abort();
});

for (const isPatient of [true, false]) {
  const until_ = isPatient ? "until it is given back" : "and after a while ends who holds most";
  Deno.test(`serve() accepts nobody while memory is short, ${until_}`, bounded, async () => {
    using time = clock();
    const { steps, ends, observer } = told();
    const listener = memoryListener();
    const options = { listener, maxBufferMemory: LIMIT, maxBufferedOutput: MUCH, observer };
    await using server = serve(options, async (session) => {
      const line = await session.readLine();
      if (line === "much") session.send("x".repeat(6.5 * MIB));
      else await session.send(`${line}!\n`);
      await session.closed;
    });
    const greedy = new Session(listener.connect());
    await greedy.send("much\n");
    await until(() => steps.at(-1) === "accepting-paused");
    const second = new Session(listener.connect()); // it is waited for already
    assertEquals(await ask(second, "rose"), "rose!");
    const third = new Session(listener.connect());
    const answer = ask(third, "think");
    await settle();
    assertEquals(server.stats().accepted, 2);
    if (isPatient) greedy.abort();
    else {
      await until(() => {
        time.now += 10;
        return steps.includes("sessions-ended");
      });
    }
    assertEquals(await answer, "think!");
    assertEquals(steps.slice(0, 2), ["reading-paused", "accepting-paused"]);
    assertEquals(steps.includes("sessions-ended"), !isPatient);
    assertEquals([steps.at(-1), ends[0]!.reason], ["none", isPatient ? "peer" : "limit"]);
    for (const client of [greedy, second, third]) client.abort();
  });
}

Deno.test(
  "serve() counts what many sessions are sent of the same memory once",
  bounded,
  async () => {
    const { events, ends, observer } = told();
    const listener = memoryListener();
    const options = { listener, maxBufferMemory: LIMIT, observer };
    const same = new Uint8Array(900_000);
    const prepared = prepare(new Uint8Array(900_000));
    await using server = serve(options, async (session) => {
      session.send(session.id % 2 === 0 ? same : prepared);
      await session.closed;
    });
    const clients = Array.from({ length: 50 }, () => new Session(listener.connect()));
    await until(() => server.sessions.size === 50);
    await settle();
    const { held } = server.stats().memory;
    assert(held >= 1_800_000 && held < 2_000_000, `${held} bytes are held`);
    assertEquals([events, ends], [[], []]);
    for (const client of clients) {
      const [session] = server.sessions; // the same as nobody else is sent
      if (client === clients[0]) session!.send(new Uint8Array(100_000));
      client.abort();
    }
  },
);

Deno.test(
  "serve() ends a session that is sent more at once than all may hold",
  bounded,
  async () => {
    const { ends, observer } = told();
    const listener = memoryListener();
    const failures: unknown[] = [];
    let endedAtOnce = 0;
    const options = { listener, maxBufferMemory: LIMIT, observer };
    await using server = serve(options, async (session) => {
      const sent = session.send(new Uint8Array(LIMIT * 7 / 8 + 1));
      endedAtOnce = server.stats().memory.ended;
      await sent.catch((error) => failures.push(error.cause));
    });
    const client = new Session(listener.connect());
    await until(() => ends.length > 0);
    assertEquals(ends.map(({ reason }) => reason), ["limit"]);
    assertInstanceOf(failures[0], MemoryLimitError);
    assertEquals(failures[0].limit, LIMIT);
    assertEquals(endedAtOnce, 1);
    client.abort();
  },
);

Deno.test("serve() accepts again as soon as it has ended who held too much", bounded, async () => {
  const { steps, observer } = told();
  const listener = memoryListener();
  const options = { listener, maxBufferMemory: LIMIT, observer };
  await using server = serve(options, async (session) => {
    await session.readLine();
    session.send(new Uint8Array(0.9 * MIB));
    await session.closed;
  });
  const clients = Array.from({ length: 8 }, () => new Session(listener.connect()));
  await until(() => server.sessions.size === 8);
  for (const client of clients) client.send("\n"); // 7.2 MiB
  await until(() => steps.length >= 4);
  assertEquals(steps, ["reading-paused", "accepting-paused", "sessions-ended", "reading-paused"]);
  assertEquals(server.stats().memory.ended, 3);
  for (const client of clients) client.abort();
});

Deno.test("serve() ends who is stalled before who holds more and goes on", bounded, async () => {
  const { ends, observer } = told();
  const listener = memoryListener();
  const options = { listener, maxBufferMemory: LIMIT, frameTimeout: 60_000, observer };
  await using server = serve(options, measure);
  const stalled = Array.from({ length: 12 }, () => new Session(listener.connect(), ENDLESS));
  const half = new Uint8Array(300_000);
  new DataView(half.buffer).setUint32(0, 400_000);
  for (const client of stalled) client.send(half.slice()); // 3.6 MB
  await until(() => server.stats().bytesRead === 12 * half.length);
  const good = new Session(listener.connect(), ENDLESS);
  const SIZE = 4_000_000;
  const frame = new Uint8Array(SIZE + 4);
  new DataView(frame.buffer).setUint32(0, SIZE);
  const answer = good.readLine();
  for (let at = 0; at < frame.length; at += 100_000) {
    await good.send(frame.subarray(at, at + 100_000));
  }
  assertEquals(await answer, `${SIZE}`);
  assert(ends.length > 0 && ends.length <= 12, `${ends.length} sessions were ended`);
  for (const { reason, cause } of ends) {
    assertEquals(reason, "limit");
    assert((cause as MemoryLimitError).held < MIB);
  }
  for (const client of [...stalled, good]) client.abort();
});

Deno.test("serve() ends one of those who wait for each other", bounded, async () => {
  const { ends, observer } = told();
  const listener = memoryListener();
  const options = { listener, maxBufferMemory: LIMIT, frameTimeout: 600_000, observer };
  await using _server = serve(options, measure);
  const SIZE = 4_000_000;
  const clients = Array.from({ length: 4 }, () => new Session(listener.connect(), ENDLESS));
  const answers = clients.map((client) => client.readLine());
  for (const client of clients) client.send(frameOf(SIZE)); // all of them have come halfway once none has room
  const results = await Promise.allSettled(answers);
  const served = results.filter(({ status }) => status === "fulfilled");
  assertEquals(served.length + ends.length, 4);
  assert(served.length > 0, "nobody was served");
  for (const { reason } of ends) assertEquals(reason, "limit");
  for (const client of clients) client.abort();
});

/** A listener whose connections take nothing before a promise resolves, even if they are closed. */
function writingSlowly(listener: Listener, written: Promise<void>): Listener {
  return {
    addr: listener.addr,
    close: () => listener.close(),
    async accept(): Promise<Connection> {
      const connection = await listener.accept();
      return {
        remoteAddr: connection.remoteAddr,
        localAddr: connection.localAddr,
        read: (buffer) => connection.read(buffer),
        write: ({ length }) => written.then(() => length),
        closeWrite: () => connection.closeWrite(),
        close: () => connection.close(),
      };
    },
  };
}

Deno.test("serve() counts what ended sessions are still writing", bounded, async () => {
  const { ends, observer } = told();
  const listener = memoryListener();
  const written = Promise.withResolvers<void>();
  const slow = writingSlowly(listener, written.promise);
  await using server = serve({ listener: slow, maxBufferMemory: LIMIT, observer }, (session) => {
    session.send(new Uint8Array(5 * MIB));
    session.abort();
  });
  const client = new Session(listener.connect());
  await until(() => server.stats().accepted === 1);
  const before = [server.stats().memory.held, ends.length];
  written.resolve();
  await until(() => ends.length === 1);
  assertEquals([before, server.stats().memory.held], [[5 * MIB, 0], 0]);
  client.abort();
});

for (const isLarge of [false, true]) {
  Deno.test(
    `serve() ends ${
      isLarge ? "who holds much" : "nobody who holds little"
    } for what ended sessions are still writing`,
    bounded,
    async () => {
      const { ends, observer } = told();
      const listener = memoryListener();
      const written = Promise.withResolvers<void>();
      const slow = writingSlowly(listener, written.promise);
      let sent = 0;
      const options = { listener: slow, maxBufferMemory: LIMIT, observer };
      await using server = serve(options, async (session) => {
        const { value: line } = await session.lines().next();
        session.send(new Uint8Array(Number(line) * MIB));
        sent++;
        if (Number(line) > 2) session.abort();
        await session.closed;
      });
      const clients = [3.3, 3.3, 0.2, isLarge ? 1.5 : 0.3].map((size) => ({
        session: new Session(listener.connect()),
        size,
      }));
      await until(() => server.sessions.size === 4);
      for (const [at, { session, size }] of clients.entries()) {
        session.send(`${size}\n`);
        await until(() => sent > at);
      }
      const before = ends.map(({ reason }) => reason);
      written.resolve();
      await until(() => server.sessions.size === 2 - before.length);
      assertEquals([before, server.stats().memory.ended], isLarge ? [["limit"], 1] : [[], 0]);
      for (const { session } of clients) session.abort();
    },
  );
}

Deno.test("serve() counts the layers of TLS up to a quarter of its limit", {
  ...bounded,
  ignore: overTls.ignore,
}, async () => {
  const options = { port: 0, tls: localhost, maxBufferMemory: LIMIT };
  await using server = serve(options, (session) => session.closed);
  const dial = dialling({ tls: { ca } });
  const held: number[] = [];
  const clients: Session[] = [];
  for (const count of [10, 100]) {
    while (clients.length < count) clients.push(await dial(server));
    await until(() => server.sessions.size === count);
    held.push(server.stats().memory.held);
  }
  assertEquals([held, server.stats().memory.pressure], [[10 * 32 * 1024, LIMIT / 4], "none"]);
  server.abort(); // it does not read what would tell it that the clients have gone
  for (const client of clients) client.abort();
});

Deno.test("serve() counts memory for each server by itself", bounded, async () => {
  const one = told();
  const two = told();
  const listeners = [memoryListener(), memoryListener()] as const;
  const options = { maxBufferMemory: LIMIT, maxBufferedOutput: MUCH };
  await using serverOne = serve(
    { ...options, listener: listeners[0], observer: one.observer },
    deliver,
  );
  await using serverTwo = serve(
    { ...options, listener: listeners[1], observer: two.observer },
    deliver,
  );
  const clients = listeners.map((listener) => new Session(listener.connect()));
  for (const client of clients) client.send(`${4.5 * MIB}\n`);
  await until(() => [serverOne, serverTwo].every((server) => server.stats().memory.held > 4 * MIB));
  await settle();
  assertEquals([one.steps, two.steps], [[], []]);
  for (const client of clients) client.abort();
});

Deno.test("serve() holds any amount where maxBufferMemory is Infinity", bounded, async () => {
  const { steps, observer } = told();
  const listener = memoryListener();
  const options = { listener, maxBufferMemory: Infinity, maxBufferedOutput: 4 * MUCH, observer };
  await using server = serve(options, deliver);
  const client = new Session(listener.connect());
  await client.send(`${300 * MIB}\n`); // over the default
  await until(() => server.stats().memory.held > 299 * MIB);
  await settle();
  assertEquals(steps, []);
  client.abort();
});

Deno.test("serve() refuses a maxBufferMemory that makes no sense", () => {
  for (const maxBufferMemory of [0, 8 * MIB - 1, 1e9 + 0.5, NaN, -Infinity]) {
    assertThrows(() => serve({ port: 0, maxBufferMemory }, echo), RangeError, "maxBufferMemory");
  }
});
