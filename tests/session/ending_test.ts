import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertNotStrictEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { SessionEndedError } from "../../errors.ts";
import { Session } from "../../session.ts";
import type { Connection } from "../../transport/connection.ts";
import { memoryPair } from "../../transport/memory.ts";
import { ConnectionOver } from "../_serving.ts";
import { collect, isPending, type Peer, testEach, testEachReset, until } from "../_transports.ts";

const MIB = 1024 * 1024;

testEach("Session.close() delivers what was sent, then the end of input", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  session.send("x".repeat(500_000));
  const closed = session.close();
  assertEquals((await peer.textToEnd()).length, 500_000);
  peer.close();
  const end = await closed;
  assertEquals(end.reason, "local");
  assert(end.duration > 0);
  assertStrictEquals(await session.closed, end);
  assertEquals([session.bytesWritten, session.bytesBuffered], [500_000, 0]);
});

testEach(
  "Session.close() loses nothing of 3 MB to a peer that floods and is not read",
  async (open) => {
    await using opened = await open({ closeTimeout: 60_000 });
    const { session, peer } = opened;
    const message = new Uint8Array(3_000_000).map((_, i) => i * 13);
    const flood = peer.send(new Uint8Array(20 * MIB)); // does not read before it has written all of this
    session.send(message);
    const closed = session.close();
    await flood;
    const received = await peer.bytes(message.length);
    assert(received.every((byte, i) => byte === message[i]));
    assertEquals(await peer.countToEnd(), 0);
    peer.close();
    assertEquals((await closed).reason, "local");
  },
);

testEach("Session.close() destroys no reply although input was left unread", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  await peer.send("one\n" + "never read\n".repeat(1000));
  assertEquals(await session.readLine(), "one");
  session.send("y".repeat(50_000));
  const closed = session.close();
  await until(() => session.bytesBuffered === 0);
  assertEquals((await peer.textToEnd()).length, 50_000);
  peer.close();
  await closed;
});

testEach(
  "Session.close() gives up after closeTimeout on a peer that stops reading",
  async (open) => {
    await using opened = await open({ closeTimeout: 50 });
    const { session } = opened;
    session.send(new Uint8Array(20 * MIB));
    const end = await session.close();
    assertEquals(end.reason, "write-stalled");
    assert(session.bytesWritten < 20 * MIB);
  },
);

testEach(
  "Session.close() gives up after closeTimeout on a peer that has all and never ends",
  async (open) => {
    await using opened = await open({ closeTimeout: 50 });
    const { session, peer } = opened;
    session.send("bye");
    const end = await session.close();
    assertEquals(end.reason, "local");
    assertEquals(await peer.textToEnd(), "bye");
  },
);

/** Takes all output, 256 KiB at a time with a pause after each, in which it may say something. */
async function takeSlowly(peer: Peer, count: number, sends: boolean): Promise<void> {
  const step = 256 * 1024;
  for (let left = count; left > 0; left -= step) {
    await peer.bytes(Math.min(left, step));
    await new Promise((resolve) => setTimeout(resolve, 10));
    if (sends) await peer.send("x");
  }
}

for (const sends of [false, true]) {
  testEach(
    `Session.close() waits for a slow reader${sends ? " that also writes" : ""}`,
    async (open) => {
      await using opened = await open({ closeTimeout: 300 });
      const { session, peer } = opened;
      const sent = session.send(new Uint8Array(16 * MIB)); // takes the peer 0.6 s or more
      const closed = session.close();
      await takeSlowly(peer, 16 * MIB, sends);
      await sent;
      assertEquals(await peer.countToEnd(), 0);
      peer.close();
      assertEquals((await closed).reason, "local");
    },
  );
}

testEach("Session.close() gives up after maxCloseTime, whatever the peer does", async (open) => {
  await using opened = await open({ closeTimeout: 3_600_000, maxCloseTime: 60 });
  const { session, peer } = opened;
  session.send("bye");
  const closed = session.close();
  const talk = (async () => {
    for (;;) {
      await peer.send("and another thing\n");
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  })();
  talk.catch(() => {}); // once it is closed
  const end = await closed;
  assertEquals(end.reason, "local"); // all output was taken
  assert(end.duration >= 60, `after ${end.duration} ms`);
  await talk.catch(() => {});
});

testEach("Session.close() has the reason peer once the peer has finished", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  await peer.send("bye");
  await peer.closeWrite();
  assertEquals(await collect(session), ["bye"]);
  session.send("bye to you");
  const closed = session.close();
  assertEquals(await peer.textToEnd(), "bye to you");
  assertEquals((await closed).reason, "peer");
});

testEach("Session.close() ends a waiting reading with the reason local", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  const line = session.readLine();
  const closed = session.close();
  const error = await assertRejects(() => line, SessionEndedError);
  assertEquals(error.reason, "local");
  assertStrictEquals(await assertRejects(() => session.readLine()), error);
  peer.close();
  await closed;
});

testEach("Session.close() and abort() can be called again and after each other", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  const closed = session.close();
  session.close();
  assert(await isPending(closed)); // the peer has not ended
  session.abort(new Error("hurry"));
  session.abort();
  const end = await closed;
  assertEquals(end, { reason: "local", duration: end.duration });
  session.close();
  assertStrictEquals(await session.close(), end);
  assertEquals(await peer.textToEnd(), "");
});

testEach("Session.abort() during close() is the reason if output is lost by it", async (open) => {
  await using opened = await open();
  const { session } = opened;
  session.send(new Uint8Array(20 * MIB));
  const closed = session.close();
  const cause = new Error("no time");
  session.abort(cause);
  const end = await closed;
  assertEquals([end.reason, end.cause], ["local", cause]);
});

testEach("Session.abort() ends at once, with its reason as the cause", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  const reason = new Error("enough");
  const reading = session.lines().next();
  const sending = session.send(new Uint8Array(20 * MIB));
  session.abort(reason);
  for (
    const promise of [reading, sending, session.flush(), session.send("x"), session.readLine()]
  ) {
    const error = await assertRejects(() => promise, SessionEndedError);
    assertEquals([error.reason, error.cause], ["local", reason]);
  }
  const end = await session.closed;
  assertEquals([end.reason, end.cause], ["local", reason]);
  peer.close();
});

testEach("Session.abort() lets the peer see that it was cut off", async (open) => {
  await using opened = await open();
  const { session, peer, cuts } = opened;
  session.send("half a reply");
  await session.flush();
  session.abort();
  assertEquals(await peer.text(12), "half a reply");
  if (!cuts) return assertEquals(await peer.countToEnd(), 0); // nothing there can tell
  const error = await assertRejects(() => peer.countToEnd());
  const { ConnectionReset, UnexpectedEof } = Deno.errors;
  assert(error instanceof ConnectionReset || error instanceof UnexpectedEof, `${error}`);
});

for (const way of ["closed", "half-closed"]) {
  testEach(`A session that is aborted once it has ${way} destroys nothing`, async (open) => {
    await using opened = await open();
    const { session, peer } = opened;
    session.send("x".repeat(50_000));
    if (way === "closed") session.close();
    await session.closeWrite();
    session.abort();
    assertEquals((await peer.textToEnd()).length, 50_000);
    assertEquals((await session.closed).reason, "local");
  });
}

testEach(
  "Session.signal aborts when the session ends, whenever it is first asked for",
  async (open) => {
    for (const early of [true, false]) {
      await using opened = await open();
      const { session, peer } = opened;
      let aborted = 0;
      if (early) session.signal.addEventListener("abort", () => aborted++);
      const closed = session.close();
      assertEquals(aborted, early ? 1 : 0);
      assert(session.signal.aborted);
      assertInstanceOf(session.signal.reason, SessionEndedError);
      assertEquals(session.signal.reason.reason, "local");
      peer.close();
      await closed;
    }
  },
);

testEach("The end of input is no end of the session", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  await peer.send("question");
  await peer.closeWrite();
  assertEquals(await collect(session), ["question"]);
  assertEquals(await collect(session), []);
  assertEquals(session.signal.aborted, false);
  await session.send("answer");
  await session.closeWrite();
  assertEquals(await peer.textToEnd(), "answer");
});

/** Sends until it fails, as it does some time after the peer is gone. */
async function sendInVain(session: Session): Promise<SessionEndedError> {
  return await assertRejects(async () => {
    for (;;) {
      await session.send("x".repeat(1000));
      await session.flush();
      await new Promise((resolve) => setTimeout(resolve));
    }
  }, SessionEndedError);
}

testEach("What the peer said last is read although a write has failed", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  await peer.send("552 too big\nbye");
  peer.close();
  const failure = await sendInVain(session);
  assertEquals(failure.reason, "peer");
  assertStrictEquals(await assertRejects(() => session.send("more")), failure);
  assertStrictEquals(session.signal.reason, failure);
  assertEquals(await session.readLine(), "552 too big");
  const rest = session.bytes();
  assertEquals((await rest.next()).value, new TextEncoder().encode("bye"));
  assertStrictEquals(await assertRejects(() => rest.next()), failure);
  const end = await session.closed;
  assertEquals([end.reason, end.cause], ["peer", failure.cause]);
}, { hearsOut: true });

testEach("A loop hears what the peer said last, then why the session has ended", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  await peer.send("1\n2\n3\n");
  const heard: string[] = [];
  let failure: unknown;
  const error = await assertRejects(async () => {
    for await (const line of session.lines()) {
      heard.push(line);
      if (line !== "1") continue;
      await peer.send("552 too big\n");
      peer.close();
      failure = await sendInVain(session);
    }
  });
  assertEquals(heard, ["1", "2", "3", "552 too big"]);
  assertStrictEquals(error, failure);
  await session.closed;
}, { hearsOut: true });

testEach("What the peer said last is kept although nobody reads yet", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  const last = `552 ${"too big ".repeat(6000)}`;
  await peer.send(`${last}\n`);
  peer.close();
  const failure = await sendInVain(session);
  await session.closed; // it does not wait for readings
  assertEquals(await session.readLine(), last);
  assertStrictEquals(await assertRejects(() => session.readLine()), failure);
}, { hearsOut: true });

/** A connection that takes no output, and has as much input as is asked for. */
function broken(size: number, cause: Error): [connection: Connection, read: () => number] {
  const [near] = memoryPair();
  let read = 0;
  const connection: Connection = {
    remoteAddr: near.remoteAddr,
    localAddr: near.localAddr,
    read: async (buffer) => {
      if (read === size) return null;
      const count = Math.min(buffer.length, size - read);
      buffer.fill(7, 0, count);
      read += count;
      await Promise.resolve();
      return count;
    },
    write: () => Promise.reject(cause),
    closeWrite: () => Promise.resolve(),
    close: () => {},
  };
  return [connection, () => read];
}

Deno.test("A bounded amount of last input waits, and none of it is lost", async () => {
  const cause = new Deno.errors.BrokenPipe("gone");
  const [connection, read] = broken(3_000_000, cause);
  const session = new Session(connection);
  session.send("x");
  await assertRejects(() => session.flush(), SessionEndedError);
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setTimeout(resolve));
  assert(read() >= 64 * 1024 && read() <= 256 * 1024, `${read()} bytes were read for nobody`);
  let heard = 0;
  const error = await assertRejects(async () => {
    for await (const chunk of session.bytes({ borrow: true })) {
      await new Promise((resolve) => setTimeout(resolve)); // what is lent stays as it is
      assert(chunk.every((byte) => byte === 7));
      heard += chunk.length;
      chunk.fill(0);
    }
  }, SessionEndedError);
  assertEquals([heard, error.cause], [3_000_000, cause]);
  assertEquals((await session.closed).cause, cause);
});

Deno.test("A session that reads its last input ends at once when it is closed", async () => {
  for (const way of ["close", "abort"] as const) {
    const cause = new Deno.errors.BrokenPipe("gone");
    const [connection] = broken(Infinity, cause);
    const session = new Session(connection);
    const failure = await sendInVain(session);
    session[way]();
    const end = await session.closed;
    assertEquals([end.reason, end.cause], ["peer", cause]);
    if (way === "close") assertStrictEquals(await assertRejects(() => session.readLine()), failure);
  }
});

Deno.test("A session reads its last input for closeTimeout at most", async () => {
  const [near, far] = memoryPair();
  const cause = new Error("odd");
  const session = new Session(
    Object.assign(new ConnectionOver(near), { write: () => Promise.reject(cause) }),
    { closeTimeout: 40 },
  );
  const line = session.readLine();
  session.send("x");
  const error = await assertRejects(() => line, SessionEndedError);
  assertEquals([error.reason, error.cause], ["error", cause]);
  assert((await session.closed).duration >= 40);
  far.close();
});

testEach("await using closes a session", async (open) => {
  await using opened = await open();
  {
    await using session = opened.session;
    await session.send("bye");
    opened.peer.closeWrite();
  }
  assertEquals(await opened.peer.textToEnd(), "bye");
}, { toHalfClosed: true });

testEachReset("A handler that only sends learns of a reset", async (open) => {
  // The shortest timeout sets the pace of the sweep that looks.
  await using opened = await open({ writeTimeout: 80 });
  const { session } = opened;
  const ended = new Promise((resolve) => session.signal.addEventListener("abort", resolve));
  await new Promise((resolve) => setTimeout(resolve, 60));
  await opened.reset();
  await ended;
  assertEquals((await session.closed).reason, "peer");
});

testEach("The read that watches for a reset loses nothing and splits nothing", async (open) => {
  await using opened = await open({ writeTimeout: 40 });
  const { session, peer } = opened;
  await new Promise((resolve) => setTimeout(resolve, 50));
  await peer.send("x".repeat(1000));
  await until(() => session.bytesRead === 1000); // nobody reads, yet it has come
  await peer.send("y".repeat(5000));
  await peer.closeWrite();
  const chunks = await collect(session);
  assertEquals(chunks[0], "x".repeat(1000));
  assertEquals(chunks.slice(1).join(""), "y".repeat(5000));
});

testEach("Session.closed waits until the descriptor is free", async (open) => {
  await using opened = await open();
  const { session } = opened;
  const reading = session.readLine();
  session.abort();
  let closed = false;
  session.closed.then(() => closed = true);
  await reading.catch(() => {});
  assertEquals(closed, false); // the read that was outstanding has yet to be given up
  await session.closed;
});

Deno.test(
  "Session shows addresses, IPv4-mapped ones as IPv4",
  { permissions: "none" },
  async () => {
    const [near] = memoryPair();
    const connection: Connection = {
      remoteAddr: { transport: "tcp", hostname: "::ffff:192.0.2.7", port: 1234 },
      localAddr: { transport: "tcp", hostname: "::1", port: 80 },
      read: (buffer) => near.read(buffer),
      write: (data) => near.write(data),
      closeWrite: () => near.closeWrite(),
      close: () => near.close(),
    };
    const session = new Session(connection);
    assertEquals(session.remoteAddr, { transport: "tcp", hostname: "192.0.2.7", port: 1234 });
    assertEquals(session.localAddr, { transport: "tcp", hostname: "::1", port: 80 });
    assert(Math.abs(session.startedAt.getTime() - Date.now()) < 60_000);
    assertEquals(session.id, 1);
    session.abort();
    await session.closed;
  },
);

Deno.test("A connection that throws or gives up in unusual ways ends the session with its error", async () => {
  const odd = new Error("odd");
  const ways: [Partial<Connection>, (session: Session) => Promise<unknown>][] = [
    [{ read: () => Promise.reject(odd) }, (session) => session.readLine()],
    [{
      read: () => {
        throw odd;
      },
    }, (session) => session.readLine()],
    [{
      write: () => {
        throw odd;
      },
    }, (session) => (session.send("x"), session.flush())],
    [{ write: () => Promise.reject(odd) }, (session) => (session.send("x"), session.flush())],
  ];
  for (const [way, use] of ways) {
    const [near] = memoryPair();
    // What the peer says last is waited for.
    const session = new Session(Object.assign(new ConnectionOver(near), way), { closeTimeout: 20 });
    const error = await assertRejects(() => use(session), SessionEndedError);
    assertEquals([error.reason, error.cause], ["error", odd]);
    assertEquals((await session.closed).reason, "error");
  }
  const [near] = memoryPair();
  const session = new Session(
    Object.assign(new ConnectionOver(near), { write: () => Promise.resolve(0) }),
  );
  session.send("x");
  const error = await assertRejects(() => session.flush(), SessionEndedError);
  assertInstanceOf(error.cause, Deno.errors.WriteZero);
  await session.closed;
});

Deno.test("a connection that miscounts its bytes ends the session", async () => {
  const counts = [NaN, -1, 1.5, 4097, Infinity, undefined, "3"] as number[];
  for (const [index, count] of counts.entries()) {
    const got = typeof count === "number" ? count : ["undefined", "a string"][index - 5];
    const ways: [Partial<Connection>, (session: Session) => Promise<unknown>, string][] = [
      [
        { read: () => Promise.resolve(count) },
        (session) => session.bytes().next(),
        "read() of a connection must give 0 to 4096 bytes",
      ],
      [
        { write: () => Promise.resolve(count) },
        (session) => (session.send("abc"), session.flush()),
        "write() of a connection must give 0 to 3 bytes",
      ],
    ];
    for (const [way, use, says] of ways) {
      const [near] = memoryPair();
      const session = new Session(Object.assign(new ConnectionOver(near), way), {
        chunkSize: 4096,
      });
      const error = await assertRejects(() => use(session), SessionEndedError);
      assertInstanceOf(error.cause, RangeError);
      assertEquals([error.reason, error.cause.message], ["error", `${says}, got ${got}`]);
      await session.closed;
      assertEquals([session.bytesRead, session.bytesWritten], [0, 0]);
    }
  }
});

Deno.test("a connection that reports a wrong number of bytes ends the session", async () => {
  const ways: [Partial<Connection>, string][] = [
    [
      { readLent: (size, borrower) => borrower.onInput(new Uint8Array(size + 1)) },
      "readLent() of a connection must give 0 to 4096 bytes, got 4097",
    ],
    ...[NaN, -1, 1.5, 4].map((count): [Partial<Connection>, string] => [
      { writeNow: () => count },
      `write() of a connection must give 0 to 3 bytes, got ${count}`,
    ]),
    [{ writeNow: () => undefined as unknown as number }, "Cannot read properties of undefined"],
  ];
  for (const [way, says] of ways) {
    const [near] = memoryPair();
    const session = new Session(Object.assign(new ConnectionOver(near), way), { chunkSize: 4096 });
    session.send("abc");
    await session.bytes().next().catch(() => {});
    const { reason, cause } = await session.closed;
    assertEquals(reason, "error");
    assert((cause as Error).message.startsWith(says), (cause as Error).message);
    assertEquals(session.bytesRead, 0);
  }
});

Deno.test(
  "Session options out of range are refused by name and value",
  { permissions: "none" },
  () => {
    const bad: [Record<string, unknown>, string][] = [
      [{ chunkSize: 0 }, "chunkSize must be an integer from 1 to 65536, got 0"],
      [{ chunkSize: 65537 }, "got 65537"],
      [{ chunkSize: "1024" }, "chunkSize must be a number, got a string"],
      [{ highWaterMark: 0.5 }, "highWaterMark must be an integer from 1 to 1073741824, got 0.5"],
      [{ maxBufferedOutput: 1000 }, "maxBufferedOutput must be an integer from 65536 to"],
      [{ idleTimeout: 0 }, "idleTimeout must be more than 0 ms (Infinity for none), got 0"],
      [{ frameTimeout: -1 }, "frameTimeout must be more than 0 ms (Infinity for none), got -1"],
      [{ writeTimeout: NaN }, "writeTimeout must be more than 0 ms (Infinity for none), got NaN"],
      [{ maxLifetime: "1s" }, "maxLifetime must be a number of milliseconds, got a string"],
      [{ closeTimeout: null }, "closeTimeout"],
    ];
    for (const [options, message] of bad.slice(0, -1)) {
      const [near] = memoryPair();
      const error = assertThrows(() => new Session(near, options));
      assert(error instanceof RangeError || error instanceof TypeError);
      assert(error.message.includes(message), error.message);
    }
  },
);

Deno.test("Sessions without a server share nothing", async () => {
  const [left, right] = memoryPair();
  const [a, b] = [new Session(left), new Session(right)];
  assertEquals([a.id, b.id], [1, 1]);
  assertNotStrictEquals(a.draining, b.draining);
  assertEquals(a.draining.aborted, false);
  await Promise.all([a.close(), b.close()]);
});

testEach("Sessions whose signals abort each other leave nothing behind", async (open) => {
  await using one = await open();
  await using two = await open();
  one.session.signal.addEventListener("abort", () => two.session.abort());
  two.session.signal.addEventListener("abort", () => one.session.abort());
  assertEquals((await one.session.close()).reason, "local"); // and the sanitizers find no timer
  await two.session.closed;
});

testEach("Session.idleTimeout set after the end starts nothing", async (open) => {
  await using opened = await open();
  opened.session.abort();
  await opened.session.closed;
  opened.session.idleTimeout = 3_600_000; // a timer would be found by the sanitizers
});
