import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { setImmediate } from "node:timers";
import { turn } from "../../session/turn.ts";
import { lengthPrefixed } from "../../codecs/length_prefixed.ts";
import { SessionEndedError } from "../../errors.ts";
import { serve } from "../../serve/serve.ts";
import { Session } from "../../session.ts";
import { memoryListener, memoryPair } from "../../transport/memory.ts";
import { bounded } from "../_serving.ts";
import { testEach } from "../_transports.ts";

/** So many messages that whoever works them off without a break takes many milliseconds. */
const MANY = 500_000;
const lineFeeds = (count: number): Uint8Array => new Uint8Array(count).fill(0x0a);

/** Counts how often the event loop comes round. */
function rounds(): { count: number; stop(): void } {
  let isStopped = false;
  const counter = { count: 0, stop: () => void (isStopped = true) };
  const onRound = () => {
    counter.count++;
    if (!isStopped) setImmediate(onRound);
  };
  setImmediate(onRound);
  return counter;
}

/** Ways of reading that take a byte a time. */
const WAYS: Record<string, (session: Session) => Promise<number>> = {
  "text()": async (session) => {
    let count = 0;
    for await (const _ of session) if (++count === MANY) break;
    return count;
  },
  "lines()": async (session) => {
    let count = 0;
    for await (const _ of session.lines()) if (++count === MANY) break;
    return count;
  },
  "frames()": async (session) => {
    let count = 0;
    for await (const _ of session.frames(lengthPrefixed({ width: 1, adjustment: -10 }))) {
      if (++count === MANY) break;
    }
    return count;
  },
  "frames().read()": async (session) => {
    const frames = session.frames(lengthPrefixed({ width: 1, adjustment: -10 }));
    let count = 0;
    while (count < MANY) {
      await frames.read();
      count++;
    }
    return count;
  },
  "readLine()": async (session) => {
    let count = 0;
    while (count < MANY && await session.readLine() !== undefined) count++;
    return count;
  },
  "readExactly()": async (session) => {
    let count = 0;
    while (count < MANY) count += (await session.readExactly(1)).length;
    return count;
  },
};

for (const [way, read] of Object.entries(WAYS)) {
  testEach(
    `Session.${way} lets the event loop have its turn while much is unread`,
    async (open) => {
      await using opened = await open({ chunkSize: 1 });
      const { session } = opened;
      session.unread(lineFeeds(MANY + 1));
      const loop = rounds();
      assertEquals(await read(session), MANY);
      loop.stop();
      assert(loop.count >= 10, `the event loop came round ${loop.count} times`);
      assertEquals(await session.readExactly(1), Uint8Array.of(0x0a));
    },
  );
}

Deno.test("Sessions share the time that a turn of the event loop may take", bounded, async () => {
  // Each has too little to take long by itself.
  const sessions = Array.from({ length: 400 }, () => new Session(memoryPair()[0]));
  for (const session of sessions) session.unread(lineFeeds(1000));
  const loop = rounds();
  await Promise.all(sessions.map(async (session) => {
    for (let count = 0; count < 1000; count++) await session.readLine();
  }));
  loop.stop();
  assert(loop.count >= 10, `the event loop came round ${loop.count} times`);
  for (const session of sessions) session.abort();
});

testEach("Session is answered while another works off what never ends", async (open) => {
  await using opened = await open();
  const busy = new Session(memoryPair()[0]);
  let isAnswered = false;
  const flood = (async () => {
    for (let count = 0; count < 5_000_000 && !isAnswered; count += MANY) {
      busy.unread(lineFeeds(MANY));
      for (let i = 0; i < MANY; i++) await busy.readLine();
    }
    return isAnswered;
  })();
  const answering = (async () => {
    for await (const line of opened.session.lines()) await opened.session.send(`${line}!\n`);
  })();
  await opened.peer.send("hello\n");
  assertEquals(await opened.peer.text(7), "hello!\n");
  isAnswered = true;
  assert(await flood);
  await opened.peer.closeWrite();
  await answering;
  busy.abort();
});

/** Numbered lines, more than a turn can take. */
const numbered = new TextEncoder().encode(
  Array.from({ length: MANY }, (_, i) => `${i}\n`).join(""),
);

interface Rest {
  /** What the reading that rests is going to give. */
  resting: Promise<unknown>;
  /** The number of the line that this would be. */
  next: number;
}

/** Reads numbered lines until a reading rests. */
async function untilRest(read: () => Promise<unknown>, from = 0): Promise<Rest> {
  for (let next = from;; next++) {
    const resting = read();
    if (turn.isOver) return { resting, next };
    assertEquals(await resting, `${next}`);
  }
}

testEach("A reading that rests can be aborted or left, and loses nothing", async (open) => {
  await using opened = await open();
  const { session } = opened;
  session.unread(numbered);
  const frames = session.lines();

  const abort = new AbortController();
  let rest = await untilRest(() => frames.read({ signal: abort.signal }));
  const reason = new Error("enough");
  abort.abort(reason);
  assertStrictEquals(await rest.resting.catch((error) => error), reason);

  rest = await untilRest(() => frames.read(), rest.next);
  await assertRejects(() => session.readLine(), TypeError, "one at a time");
  assertEquals(await rest.resting, `${rest.next}`);

  rest = await untilRest(() => frames.read(), rest.next + 1);
  await frames.return();
  assertEquals(await rest.resting, undefined);

  rest = await untilRest(() => frames.read(), rest.next);
  session.unread(new TextEncoder().encode("in front\n"));
  assertEquals(await rest.resting, "in front");

  let { next } = rest;
  for await (const line of frames) {
    if (line !== `${next++}`) throw new Error(`${line} came too soon`);
    if (next === MANY) break;
  }
});

testEach(
  "A reading that rests is told of the end of input after what came before",
  async (open) => {
    await using opened = await open();
    const { session, peer } = opened;
    session.unread(new TextEncoder().encode("cut"));
    session.unread(numbered);
    const frames = session.lines();
    const { resting, next } = await untilRest(() => frames.read());
    await peer.closeWrite();
    assertEquals(await resting, `${next}`);
    let count = next + 1;
    for await (const line of frames) {
      if (line !== (count < MANY ? `${count}` : "cut")) throw new Error(`${line} came too soon`);
      count++;
    }
    assertEquals(count, MANY + 1);
  },
);

testEach("A reading that rests ends with its session", async (open) => {
  for (const end of ["abort", "close"] as const) {
    await using opened = await open();
    const { session, peer } = opened;
    session.unread(numbered);
    const frames = session.lines();
    const { resting } = await untilRest(() => frames.read());
    session[end]();
    await assertRejects(() => resting, SessionEndedError, "local");
    await assertRejects(() => frames.read(), SessionEndedError, "local");
    peer.close();
    await session.closed;
  }
});

Deno.test("A deferred reading gets what came before its peer was lost, then the error", async () => {
  const [near, far] = memoryPair();
  let reads = 0;
  const session = new Session({
    remoteAddr: near.remoteAddr,
    localAddr: near.localAddr,
    read: (buffer) => {
      reads++;
      return near.read(buffer);
    },
    write: () => Promise.reject(new Deno.errors.BrokenPipe("the peer is gone")),
    closeWrite: () => near.closeWrite(),
    close: () => near.close(),
  });
  session.unread(numbered);
  const frames = session.lines();
  const { resting, next } = await untilRest(() => frames.read());
  far.close();
  session.send("hello");
  await session.flush().catch(() => {});
  assert(session.signal.aborted);
  assertEquals(await resting, `${next}`);
  let count = next + 1;
  await assertRejects(
    async () => {
      for await (const line of frames) {
        assertEquals(line, `${count++}`);
        if (count === MANY / 2) assertEquals(reads, 0); // there is enough
      }
    },
    SessionEndedError,
    "BrokenPipe",
  );
  assertEquals(count, MANY);
  await session.closed;
});

Deno.test(
  "Server.shutdown() lets a reading that rests come to what has arrived",
  bounded,
  async () => {
    const listener = memoryListener();
    const isResting = Promise.withResolvers<void>();
    let count = 0;
    const thrown = Promise.withResolvers<unknown>();
    const server = serve({ listener, shutdownTimeout: Infinity }, async (session) => {
      session.unread(numbered);
      const frames = session.lines();
      const { resting, next } = await untilRest(() => frames.next().then(({ value }) => value));
      isResting.resolve();
      assertEquals(await resting, `${next}`);
      count = next + 1;
      try {
        for await (const line of frames) assertEquals(line, `${count++}`);
      } catch (error) {
        thrown.resolve(error);
        throw error;
      }
    });
    const client = new Session(listener.connect());
    await isResting.promise;
    server.shutdown();
    const error = await thrown.promise;
    assertInstanceOf(error, SessionEndedError);
    assertEquals(error.reason, "drain");
    assertEquals(count, MANY);
    await client.close();
    await server.finished;
  },
);
