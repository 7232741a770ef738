import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import { lines } from "../../codecs/lines.ts";
import { type EndReason, SessionEndedError } from "../../errors.ts";
import { type Goodbye, prepare, Session, type SessionOptions } from "../../session.ts";
import { memoryPair } from "../../transport/memory.ts";
import { collect, type Opened, type Peer, testEach, until } from "../_transports.ts";

const MIB = 1024 * 1024;

/** A goodbye that notes what it was called with. */
function noted(): [Goodbye, EndReason[]] {
  const reasons: EndReason[] = [];
  return [(reason) => {
    reasons.push(reason);
    return "421 timeout\n";
  }, reasons];
}

/** What ends a session by each deadline. */
const DEADLINES: Partial<Record<EndReason, SessionOptions>> = {
  "idle": { idleTimeout: 30 },
  "read-idle": { readIdleTimeout: 30 },
  "frame-stalled": { frameTimeout: 30 },
  "lifetime": { maxLifetime: 30 },
};

for (const [reason, options] of Object.entries(DEADLINES)) {
  testEach(`A goodbye is the last that the peer gets before ${reason}`, async (open) => {
    const [goodbye, reasons] = noted();
    await using opened = await open({ ...options, goodbye });
    const { session, peer } = opened;
    await session.send("220 hello\n");
    await peer.send("half a li");
    const ended = new Promise((resolve) => session.signal.addEventListener("abort", resolve));
    const error = await assertRejects(() => session.readLine(), SessionEndedError);
    assertEquals(error.reason, reason);
    await ended;
    await assertRejects(() => session.send("too late\n"), SessionEndedError, reason);
    assertEquals(await peer.textToEnd(), "220 hello\n421 timeout\n");
    peer.close();
    const end = await session.closed;
    assertEquals([end.reason, end.cause, reasons], [reason, undefined, [reason]]);
    assertEquals(session.goodbye, undefined);
  });
}

testEach("A goodbye may be text, bytes, or a prepared frame", async (open) => {
  const bytes = new TextEncoder().encode("bye\n");
  for (const message of ["bye\n", bytes, prepare("bye"), prepare("bye", lines())]) {
    await using opened = await open({ maxLifetime: 20, goodbye: () => message });
    assertEquals((await opened.peer.textToEnd()).trim(), "bye");
    opened.peer.close();
    assertEquals((await opened.session.closed).reason, "lifetime");
  }
});

testEach("A goodbye waits for a send that is under way, and nothing follows it", async (open) => {
  const [goodbye] = noted();
  await using opened = await open({ maxLifetime: 60, closeTimeout: 60_000, goodbye });
  const { session, peer } = opened;
  const sent = session.send(new Uint8Array(16 * MIB).fill(0x78));
  const streamed = assertRejects(async () => {
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      session.send("more").catch(() => {});
      if (session.signal.aborted) await session.send("and more");
    }
  }, SessionEndedError);
  await until(() => session.signal.aborted);
  const text = await peer.textToEnd();
  assertEquals(text.slice(0, 16 * MIB).replaceAll("x", ""), "");
  const tail = text.slice(16 * MIB);
  assert(/^(more)*421 timeout\n$/.test(tail), tail);
  peer.close();
  await sent; // it was written as a whole
  assertEquals((await streamed).reason, "lifetime");
  assertEquals((await session.closed).reason, "lifetime");
});

/** Sends a byte now and then until the connection is closed. */
async function trickle({ peer }: Opened): Promise<void> {
  for (;;) {
    await peer.send("x");
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

testEach("A goodbye is bounded by closeTimeout, whatever the peer sends", async (open) => {
  for (const closes of [false, true]) {
    const goodbye = (): string => {
      if (closes) session.close();
      return "bye";
    };
    await using opened = await open({ maxLifetime: 30, closeTimeout: 60, goodbye });
    const { session } = opened;
    const talk = trickle(opened).catch(() => {});
    const end = await session.closed;
    assertEquals(end.reason, closes ? "local" : "lifetime");
    assert(end.duration >= 90, `${end.duration} ms`);
    await talk;
  }
});

testEach("A goodbye is bounded by closeTimeout, although the peer takes nothing", async (open) => {
  const options = { maxLifetime: 30, closeTimeout: 60, goodbye: () => "bye" };
  await using opened = await open(options);
  const { session } = opened;
  const lost = assertRejects(() => session.send(new Uint8Array(30 * MIB)), SessionEndedError);
  const end = await session.closed;
  assertEquals([end.reason, (await lost).reason], ["lifetime", "lifetime"]);
  assert(session.bytesWritten < 30 * MIB);
});

/** Ends of a session that are no deadline, or where nothing can be sent. */
const MUTE: Record<string, {
  options?: SessionOptions;
  act(session: Session, peer: Peer): unknown;
  reason: EndReason;
}> = {
  "abort()": { act: (session) => session.abort(), reason: "local" },
  "close()": {
    act(session, peer): void {
      session.close();
      peer.closeWrite();
    },
    reason: "local",
  },
  "a peer that has left": {
    async act(session, peer): Promise<void> {
      await peer.closeWrite();
      await collect(session);
      session.close();
    },
    reason: "peer",
  },
  "writeTimeout": {
    options: { writeTimeout: 30 },
    act: (session) => void session.send(new Uint8Array(30 * MIB)),
    reason: "write-stalled",
  },
  "too much output": {
    options: { highWaterMark: 1000, maxBufferedOutput: 5000 },
    act(session): void {
      while (!session.signal.aborted) session.send("x".repeat(100_000));
    },
    reason: "limit",
  },
  "a deadline after closeWrite()": {
    options: { maxLifetime: 30 },
    act: (session) => void session.closeWrite(),
    reason: "lifetime",
  },
};

for (const [name, { options, act, reason }] of Object.entries(MUTE)) {
  testEach(`A goodbye is not said at ${name}`, async (open) => {
    const [goodbye, reasons] = noted();
    await using opened = await open({ ...options, goodbye });
    const { session, peer } = opened;
    await act(session, peer);
    assertEquals([(await session.closed).reason, reasons], [reason, []]);
  }, { toHalfClosed: name === "a peer that has left" });
}

testEach("A session without a last message ends at once, as without a goodbye", async (open) => {
  for (const message of [undefined, "", new Uint8Array(0)]) {
    let calls = 0;
    const goodbye = () => {
      calls++;
      return message;
    };
    const options = { maxLifetime: 30, closeTimeout: 3_600_000, goodbye };
    await using opened = await open(options);
    const { session, peer } = opened;
    assertEquals([(await session.closed).reason, calls], ["lifetime", 1]);
    assertEquals(await peer.countToClose(), 0);
  }
});

testEach("What a goodbye throws is the cause of the end", async (open) => {
  const fault = new Error("no such language");
  const options: SessionOptions = {
    idleTimeout: 30,
    closeTimeout: 3_600_000,
    goodbye: () => {
      throw fault;
    },
  };
  await using opened = await open(options);
  const error = await assertRejects(() => opened.session.readLine(), SessionEndedError);
  assertEquals([error.reason, error.cause], ["idle", fault]);
  const end = await opened.session.closed;
  assertEquals([end.reason, end.cause], ["idle", fault]);
});

Deno.test("A goodbye that returns what cannot be sent is a TypeError", async () => {
  const wrong: [() => unknown, string][] = [
    [() => 7, "got a number"],
    [() => null, "got null"],
    [() => Promise.reject(new Error("never seen")), "got an object of class Promise"],
  ];
  for (const [give, got] of wrong) {
    const [near] = memoryPair();
    const session = new Session(near, { maxLifetime: 20, goodbye: () => give() as string });
    const { reason, cause } = await session.closed;
    assertEquals(reason, "lifetime");
    assertInstanceOf(cause, TypeError);
    assert(cause.message.endsWith(got), cause.message);
  }
  const session = new Session(memoryPair()[0]);
  assertThrows(
    () => session.goodbye = "bye" as unknown as Goodbye,
    TypeError,
    "goodbye must be a function, got a string",
  );
  session.abort();
});

testEach("A goodbye can be set and taken off at any time", async (open) => {
  await using opened = await open({ idleTimeout: 30, goodbye: () => "not this one" });
  const { session, peer } = opened;
  session.goodbye = undefined;
  let replies = 1;
  session.goodbye = (reason) => `${reason} after ${replies} replies`;
  replies++;
  assertEquals(await peer.textToEnd(), "idle after 2 replies");
  peer.close();
  await session.closed;

  await using other = await open({ idleTimeout: 30, goodbye: () => "not this one either" });
  other.session.goodbye = undefined;
  assertEquals(await other.peer.countToClose(), 0);
  await other.session.closed;
});

testEach("A goodbye may end the session itself", async (open) => {
  for (const way of ["abort", "close"] as const) {
    await using opened = await open({ maxLifetime: 20, closeTimeout: 3_600_000 });
    const { session, peer } = opened;
    let calls = 0;
    session.goodbye = () => {
      calls++;
      session[way]();
      return "never sent";
    };
    session.send(new Uint8Array(16 * MIB)).catch(() => {});
    await until(() => calls === 1);
    const count = await peer.countToClose().catch(() => 0); // by a reset, in memory
    if (way === "close") assertEquals(count, 16 * MIB);
    peer.close();
    assertEquals([(await session.closed).reason, calls], ["local", 1]);
  }
});

testEach("A goodbye may be sent by send() as well, before it returns", async (open) => {
  await using opened = await open({ maxLifetime: 20 });
  const { session, peer } = opened;
  const replies = session.lines();
  session.goodbye = () => {
    replies.send("421 timeout");
    replies.send("goodbye");
    return undefined;
  };
  assertEquals(await peer.textToEnd(), "421 timeout\ngoodbye\n");
  peer.close();
  assertEquals((await session.closed).reason, "lifetime");
});

testEach("Session.abort() ends a session at once that says goodbye", async (open) => {
  const options = { maxLifetime: 20, closeTimeout: 3_600_000, goodbye: () => "bye" };
  await using opened = await open(options);
  const { session, peer } = opened;
  assertEquals(await peer.text(3), "bye");
  session.abort();
  assertEquals((await session.closed).reason, "lifetime");
});

Deno.test("A goodbye that is more than may be buffered ends the session as a limit", async () => {
  const [near] = memoryPair();
  const session = new Session(near, {
    maxLifetime: 20,
    highWaterMark: 1000,
    maxBufferedOutput: 5000,
    goodbye: () => "x".repeat(6000),
  });
  assertEquals((await session.closed).reason, "limit");
});

Deno.test("A goodbye is not sent in plaintext while TLS begins", async () => {
  const [near, far] = memoryPair();
  const [goodbye, reasons] = noted();
  const session = new Session(near, { maxLifetime: 30, goodbye });
  const upgraded = assertRejects(
    () => session.upgradeTls({ serverName: "localhost" }),
    SessionEndedError,
    "lifetime",
  );
  assertEquals((await session.closed).reason, "lifetime");
  await upgraded;
  assertEquals(reasons, []);
  far.close();
});
