import { setImmediate } from "node:timers";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { type SessionEnd, SessionEndedError } from "../../errors.ts";
import { Session } from "../../session.ts";
import { Deadlines, type Progress } from "../../session/deadlines.ts";
import { SessionGroup } from "../../session/group.ts";
import { memoryPair } from "../../transport/memory.ts";
import { isPending, testEach, until } from "../_transports.ts";

const QUIET: Progress = {
  bytesRead: 0,
  bytesWritten: 0,
  writing: false,
  frames: 0,
  unread: false,
  waiting: true,
  reading: true,
};

function deadlines(timeouts: Partial<Record<string, number>>): Deadlines {
  const none = {
    idleTimeout: Infinity,
    readIdleTimeout: Infinity,
    frameTimeout: Infinity,
    writeTimeout: Infinity,
    maxLifetime: Infinity,
    closeTimeout: Infinity,
    flushTimeout: Infinity,
    maxCloseTime: Infinity,
  };
  return new Deadlines({ ...none, ...timeouts }, 1000);
}

Deno.test(
  "Deadlines: idleTimeout counts from the last byte, either way",
  { permissions: "none" },
  () => {
    const due = deadlines({ idleTimeout: 100 });
    assertEquals(due.check(1050, QUIET), undefined);
    assertEquals(due.check(1099, { ...QUIET, bytesRead: 1 }), undefined);
    assertEquals(due.check(1198, { ...QUIET, bytesRead: 1 }), undefined);
    assertEquals(due.check(1199, { ...QUIET, bytesRead: 1, bytesWritten: 1 }), undefined);
    assertEquals(due.check(1299, { ...QUIET, bytesRead: 1, bytesWritten: 1 }), undefined);
    assertEquals(due.check(1300, { ...QUIET, bytesRead: 1, bytesWritten: 1 }), "idle");
  },
);

Deno.test("Deadlines: readIdleTimeout counts from the last byte of the peer", {
  permissions: "none",
}, () => {
  const due = deadlines({ readIdleTimeout: 100 });
  assertEquals(due.check(1050, { ...QUIET, bytesWritten: 1 }), undefined);
  assertEquals(due.check(1099, { ...QUIET, bytesRead: 1, bytesWritten: 2 }), undefined);
  assertEquals(due.check(1199, { ...QUIET, bytesRead: 1, bytesWritten: 3 }), undefined);
  assertEquals(due.check(1200, { ...QUIET, bytesRead: 1, bytesWritten: 4 }), "read-idle");
});

Deno.test("Deadlines: readIdleTimeout does not count while nothing is read", {
  permissions: "none",
}, () => {
  const due = deadlines({ readIdleTimeout: 100 });
  assertEquals(due.check(1050, { ...QUIET, reading: false }), undefined);
  assertEquals(due.check(9000, { ...QUIET, reading: false }), undefined);
  assertEquals(due.check(9100, QUIET), undefined);
  assertEquals(due.check(9101, QUIET), "read-idle");
});

Deno.test("Deadlines: writeTimeout counts only while a write makes no progress", {
  permissions: "none",
}, () => {
  const due = deadlines({ writeTimeout: 100 });
  assertEquals(due.check(1090, QUIET), undefined);
  assertEquals(due.check(1200, { ...QUIET, writing: true }), undefined); // it may have begun just now
  assertEquals(due.check(1299, { ...QUIET, writing: true, bytesWritten: 1 }), undefined);
  assertEquals(due.check(1399, { ...QUIET, writing: true, bytesWritten: 1 }), undefined);
  assertEquals(due.check(1400, { ...QUIET, writing: true, bytesWritten: 1 }), "write-stalled");
});

Deno.test("Deadlines: frameTimeout counts the waits for one frame, not its handler's work", {
  permissions: "none",
}, () => {
  const due = deadlines({ frameTimeout: 100 });
  const partial = { ...QUIET, unread: true };
  assertEquals(due.check(1100, partial), undefined);
  assertEquals(due.check(1160, { ...partial, bytesRead: 1 }), undefined); // a trickle is no way out
  assertEquals(due.check(1170, { ...partial, waiting: false }), undefined);
  assertEquals(due.check(9000, { ...partial, waiting: false }), undefined);
  assertEquals(due.check(9010, partial), undefined);
  assertEquals(due.check(9050, partial), undefined);
  assertEquals(due.check(9051, partial), "frame-stalled");
});

Deno.test("Deadlines: frameTimeout begins anew with each frame", { permissions: "none" }, () => {
  const due = deadlines({ frameTimeout: 100 });
  for (let i = 0; i < 10; i++) {
    assertEquals(due.check(1000 + i * 90, { ...QUIET, unread: true, frames: i }), undefined);
  }
});

Deno.test("Deadlines: maxLifetime counts from the beginning, whatever happens", {
  permissions: "none",
}, () => {
  const due = deadlines({ maxLifetime: 100 });
  assertEquals(due.check(1100, { ...QUIET, bytesRead: 1 }), undefined);
  assertEquals(due.check(1101, { ...QUIET, bytesRead: 2 }), "lifetime");
});

Deno.test("Deadlines: closeTimeout counts from the last byte, either way", {
  permissions: "none",
}, () => {
  const due = deadlines({ closeTimeout: 100, flushTimeout: 300, idleTimeout: 10 });
  due.close(2000);
  assertEquals(due.check(2100, QUIET), undefined);
  assertEquals(due.check(2101, { ...QUIET, bytesRead: 1 }), undefined);
  assertEquals(due.check(2201, { ...QUIET, bytesRead: 1, bytesWritten: 1 }), undefined);
  assertEquals(due.check(2301, { ...QUIET, bytesRead: 1, bytesWritten: 1 }), undefined);
  assertEquals(due.check(2302, { ...QUIET, bytesRead: 1, bytesWritten: 1 }), "write-stalled");
});

Deno.test("Deadlines: while output waits, a close is as patient as it was before", {
  permissions: "none",
}, () => {
  const due = deadlines({ closeTimeout: 100, flushTimeout: 300 });
  due.close(2000);
  assertEquals(due.check(2300, { ...QUIET, writing: true }), undefined);
  assertEquals(due.check(2301, { ...QUIET, writing: true }), "write-stalled");
});

Deno.test("Deadlines: maxCloseTime counts from the beginning of the close", {
  permissions: "none",
}, () => {
  const due = deadlines({ closeTimeout: 100, maxCloseTime: 150 });
  due.close(2000);
  assertEquals(due.check(2075, { ...QUIET, bytesRead: 1 }), undefined);
  assertEquals(due.check(2150, { ...QUIET, bytesRead: 2 }), undefined);
  assertEquals(due.check(2151, { ...QUIET, bytesRead: 3 }), "write-stalled");
});

testEach("Session ends as idle, and its waiting reading says so", async (open) => {
  await using opened = await open({ idleTimeout: 40 });
  const { session, peer } = opened;
  const error = await assertRejects(() => session.readLine(), SessionEndedError);
  assertEquals(error.reason, "idle");
  const end = await session.closed;
  assertEquals(end.reason, "idle");
  assert(end.duration >= 40, `after ${end.duration} ms`);
  assertEquals(await peer.countToClose(), 0);
});

testEach("Session.idleTimeout can be set while it lasts", async (open) => {
  await using opened = await open();
  const { session } = opened;
  assertEquals(session.idleTimeout, 600_000);
  assertThrows(() => session.idleTimeout = 0, RangeError, "idleTimeout must be more than 0 ms");
  session.idleTimeout = 30;
  assertEquals((await session.closed).reason, "idle");
});

testEach("Session ends a peer that is sent much and says nothing", async (open) => {
  await using opened = await open({ readIdleTimeout: 60, idleTimeout: 40 });
  const { session, peer } = opened;
  const taken = peer.countToClose();
  const line = assertRejects(() => session.readLine(), SessionEndedError);
  const error = await assertRejects(async () => {
    for (;;) {
      await session.send("news\n");
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }, SessionEndedError);
  assertEquals(error.reason, "read-idle");
  assertEquals((await line).reason, "read-idle");
  assertEquals((await session.closed).reason, "read-idle");
  await taken;
});

testEach("Session hears a peer although its handler does not read", async (open) => {
  await using opened = await open({ readIdleTimeout: 120 });
  const { session, peer } = opened;
  let sent = 0;
  const started = performance.now();
  while (performance.now() - started < 400) {
    await peer.send("x");
    sent++;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assertEquals(session.signal.aborted, false);
  await until(() => session.bytesRead === sent);
  assertEquals((await session.closed).reason, "read-idle"); // though it has said something that nobody has read
  assert((await session.closed).duration >= 400);
});

testEach("Session.readIdleTimeout can be set while it lasts", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  assertEquals(session.readIdleTimeout, Infinity);
  assertThrows(
    () => session.readIdleTimeout = 0,
    RangeError,
    "readIdleTimeout must be more than 0",
  );
  await peer.send("keep-alive 30\n");
  await session.readLine();
  session.readIdleTimeout = 30;
  assertEquals((await session.closed).reason, "read-idle");
});

testEach("readIdleTimeout leaves a peer alone that has finished its side", async (open) => {
  await using opened = await open({ readIdleTimeout: 20 });
  const { session, peer } = opened;
  await peer.closeWrite();
  assertEquals(await session.readLine(), undefined);
  await new Promise((resolve) => setTimeout(resolve, 100)); // what it has asked for takes its time
  await session.send("rose");
  const closed = session.close();
  assertEquals(await peer.textToEnd(), "rose");
  peer.close();
  assertEquals((await closed).reason, "peer");
}, { toHalfClosed: true });

testEach("readIdleTimeout does not count what the peer waits for the handler", async (open) => {
  await using opened = await open({ readIdleTimeout: 40, chunkSize: 65_536 });
  const { session, peer } = opened;
  const flood = peer.send("x".repeat(20_000_000)); // more than the systems and a session hold for it
  flood.catch(() => {});
  await new Promise((resolve) => setTimeout(resolve, 200)); // the handler works
  assertEquals(session.signal.aborted, false);
});

testEach("Session ends a peer that sends a byte of a line now and then", async (open) => {
  await using opened = await open({ frameTimeout: 60 });
  const { session, peer } = opened;
  const line = session.readLine();
  const trickle = (async () => {
    for (;;) {
      await peer.send("x");
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  })();
  trickle.catch(() => {}); // it ends with the session
  const error = await assertRejects(() => line, SessionEndedError);
  assertEquals(error.reason, "frame-stalled");
  assertEquals((await session.closed).reason, "frame-stalled");
  await trickle.catch(() => {});
});

testEach("Session does not count a slow handler as a stalled frame", async (open) => {
  await using opened = await open({ frameTimeout: 40 });
  const { session, peer } = opened;
  await peer.send("one\ntw");
  assertEquals(await session.readLine(), "one");
  await new Promise((resolve) => setTimeout(resolve, 150)); // the handler works
  const second = session.readLine();
  await peer.send("o\n");
  assertEquals(await second, "two");
});

testEach("Session ends a peer that takes no output", async (open) => {
  await using opened = await open({ writeTimeout: 60 });
  const { session } = opened;
  const error = await assertRejects(
    () => session.send(new Uint8Array(30_000_000)),
    SessionEndedError,
  );
  assertEquals(error.reason, "write-stalled");
  assertEquals((await session.closed).reason, "write-stalled");
});

testEach("Session ends at maxLifetime although it is busy", async (open) => {
  await using opened = await open({ maxLifetime: 60 });
  const { session, peer } = opened;
  const loop = (async () => {
    for await (const text of session) await session.send(text);
  })();
  const busy = (async () => {
    for (;;) {
      await peer.send("x");
      await peer.bytes(1);
    }
  })();
  busy.catch(() => {});
  const error = await assertRejects(() => loop, SessionEndedError);
  assertEquals(error.reason, "lifetime");
  await busy.catch(() => {});
  assert((await session.closed).duration >= 60);
});

testEach("Session with no timeouts at all just lives", async (open) => {
  await using opened = await open({
    idleTimeout: Infinity,
    frameTimeout: Infinity,
    writeTimeout: Infinity,
    closeTimeout: Infinity,
  });
  const line = opened.session.readLine();
  assert(await isPending(line));
  await opened.peer.send("rose\n");
  assertEquals(await line, "rose");
});

testEach("Session does not end as idle because the process was busy", async (open) => {
  await using opened = await open({ idleTimeout: 200 });
  const { session, peer } = opened;
  const line = session.readLine();
  await peer.send("ro");
  await new Promise((resolve) => setTimeout(resolve, 30)); // at least one sweep has seen it
  const started = performance.now();
  while (performance.now() - started < 400); // nobody can be heard meanwhile
  const rest = peer.send("se\n");
  assertEquals(await line, "rose");
  await rest;
});

Deno.test("SessionGroup.pace() loses no time that has gone by", { permissions: "none" }, () => {
  const { now } = performance;
  let time = 0;
  performance.now = () => time;
  try {
    const group = new SessionGroup<Session>();
    const session = new Session(memoryPair()[0], {}, group); // every second
    time = 900;
    group.pace(80); // every 10 ms
    assertEquals(group.now(), 900);
    time = 10_000; // it was stopped, or so it seems
    assertEquals(group.now(), 920);
    session.abort();
  } finally {
    performance.now = now;
  }
});

Deno.test("The sweep keeps its pace however many sessions are near a deadline", async () => {
  const { setTimeout } = globalThis;
  const { now } = performance;
  let time = 0;
  let due: { at: number; run: () => void } | undefined;
  performance.now = () => time;
  globalThis.setTimeout = ((run: () => void, delay: number) => {
    due = { at: time + delay, run };
    return 0;
  }) as unknown as typeof setTimeout;
  try {
    const group = new SessionGroup<Session>();
    const ended: Promise<SessionEnd>[] = [];
    let sweeps = 0;
    for (let second = 0; second < 100; second++) { // someone comes each second, and stays for an hour
      time = second * 1000;
      const [near] = memoryPair();
      const session = new Session(near, { maxLifetime: 3_600_000, idleTimeout: Infinity }, group);
      ended.push(session.closed);
    }
    while (group.members.length > 0) {
      time = due!.at;
      due!.run();
      sweeps++;
      await new Promise((resolve) => setImmediate(resolve)); // what has ended leaves
    }
    assert((await Promise.all(ended)).every(({ reason }) => reason === "lifetime"));
    assert(sweeps <= 3800, `${sweeps} sweeps in ${time / 1000} s`);
  } finally {
    performance.now = now;
    globalThis.setTimeout = setTimeout;
  }
});
