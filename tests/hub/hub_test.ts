import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import fc from "fast-check";
import { lines } from "../../codecs/mod.ts";
import { GroupLimitError, OutputLimitError } from "../../errors.ts";
import { Hub, type HubOptions, type SlowPolicy } from "../../hub/mod.ts";
import { prepare, Session } from "../../session.ts";
import { sessionPair } from "../../testing/mod.ts";
import { memoryPair } from "../../transport/memory.ts";
import { capturePrinted, clock, settle } from "../_serving.ts";

const permissions = "none";

/** A session of a hub, and its client. */
function people(count: number): { client: Session; session: Session }[] {
  return Array.from({ length: count }, () => {
    const [client, session] = sessionPair();
    return { client, session };
  });
}

async function closeAll(all: { client: Session; session: Session }[]): Promise<void> {
  await Promise.all(all.flatMap(({ client, session }) => [client.close(), session.close()]));
}

Deno.test(
  "Hub.publish() reaches the members of the group, once each, except the one that is left out",
  {
    permissions,
  },
  async () => {
    await using hub = new Hub();
    const all = people(4);
    const [a, b, c, d] = all as [typeof all[0], typeof all[0], typeof all[0], typeof all[0]];
    for (const { session } of [a, b, c]) {
      hub.join("hall", session);
      hub.join("hall", session);
    }
    hub.join("garden", c.session);
    hub.join("garden", d.session);
    assert(hub.publish("hall", "text\n"));
    assert(hub.publish("hall", new TextEncoder().encode("bytes\n"), { except: a.session }));
    assert(hub.publish("hall", "frame", { codec: lines() }));
    assert(hub.publish("garden", prepare("prepared\n")));
    assert(hub.publish("nowhere", "lost\n"));
    assertEquals([...hub.members("hall")], [a.session, b.session, c.session]);
    assertEquals([hub.size("hall"), hub.size("garden"), hub.size("nowhere")], [3, 2, 0]);
    assertEquals([...hub.groupsOf(c.session)], ["hall", "garden"]);
    assertEquals([...hub.groupsOf(d.client)], []);
    for (const { session } of all) await session.closeWrite();
    const got = await Promise.all(all.map(({ client }) => Array.fromAsync(client.lines())));
    assertEquals(got, [
      ["text", "frame"],
      ["text", "bytes", "frame"],
      ["text", "bytes", "frame", "prepared"],
      ["prepared"],
    ]);
    await closeAll(all);
  },
);

Deno.test("Hub.publish() copies the bytes that it is given", { permissions }, async () => {
  await using hub = new Hub();
  const [person] = people(1) as [{ client: Session; session: Session }];
  hub.join("hall", person.session);
  const bytes = new Uint8Array(20_000).fill(1);
  hub.publish("hall", bytes);
  bytes.fill(2);
  assertEquals(await person.client.readExactly(20_000), new Uint8Array(20_000).fill(1));
  await closeAll([person]);
});

Deno.test("a group of a Hub ends with its last member, and a session that ends leaves", {
  permissions,
}, async () => {
  await using hub = new Hub();
  const all = people(2);
  const [a, b] = all.map(({ session }) => session) as [Session, Session];
  hub.join("hall", a);
  hub.join("hall", b);
  hub.join("garden", a);
  assertEquals(counts(hub), { groups: 2, sessions: 2, memberships: 3 });
  hub.leave("garden", b);
  hub.leave("garden", a);
  hub.leave("garden", a);
  assertEquals(counts(hub), { groups: 1, sessions: 2, memberships: 2 });
  hub.join("garden", a);
  a.abort();
  await a.closed;
  assertEquals(counts(hub), { groups: 1, sessions: 1, memberships: 1 });
  assertEquals([...hub.members("hall")], [b]);
  await hub.join("hall", a); // which has ended
  assertEquals(counts(hub), { groups: 1, sessions: 1, memberships: 1 });
  hub.leaveAll(b);
  hub.leaveAll(b);
  assertEquals(counts(hub), { groups: 0, sessions: 0, memberships: 0 });
  await closeAll(all);
});

function counts(hub: Hub): Record<string, number> {
  const { groups, sessions, memberships } = hub.stats();
  return { groups, sessions, memberships };
}

Deno.test(
  "Hub.leave() leaves no listener at the signal of a session",
  { permissions },
  async () => {
    await using hub = new Hub();
    const [person] = people(1) as [{ client: Session; session: Session }];
    const { session } = person;
    let listeners = 0;
    const add = session.signal.addEventListener.bind(session.signal);
    const remove = session.signal.removeEventListener.bind(session.signal);
    session.signal.addEventListener = (...args: unknown[]) => {
      listeners++;
      (add as (...args: unknown[]) => void)(...args);
    };
    session.signal.removeEventListener = (...args: unknown[]) => {
      listeners--;
      (remove as (...args: unknown[]) => void)(...args);
    };
    for (let round = 0; round < 3; round++) {
      for (const group of ["a", "b", "c"]) hub.join(group, session);
      assertEquals(listeners, 1);
      for (const group of ["a", "b", "c"]) hub.leave(group, session);
      assertEquals(listeners, 0);
    }
    await closeAll([person]);
  },
);

Deno.test("a message that is published while another one is delivered follows it at every member", {
  permissions,
}, async () => {
  await using hub = new Hub();
  const limits = { highWaterMark: 64 * 1024, maxBufferedOutput: 64 * 1024 };
  const [client, first] = sessionPair({ capacity: 1, right: limits });
  first.send("x".repeat(64 * 1024));
  const all = people(2);
  hub.join("hall", first);
  for (const { session } of all) hub.join("hall", session);
  // The first member ends in the middle of the delivery, since it has too little room.
  first.signal.addEventListener("abort", () => hub.publish("hall", "second\n"));
  hub.publish("hall", "the first message\n");
  for (const { client, session } of all) {
    await session.closeWrite();
    assertEquals(await Array.fromAsync(client.lines()), ["the first message", "second"]);
  }
  await Promise.all([client.close(), first.closed]);
  await closeAll(all);
});

Deno.test("Hub limits groups, groups of a session, and names", { permissions }, async () => {
  await using hub = new Hub({ maxGroups: 3, maxGroupsPerSession: 2, maxNameLength: 4 });
  const all = people(2);
  const [a, b] = all.map(({ session }) => session) as [Session, Session];
  hub.join("one", a);
  hub.join("two", a);
  const error = assertThrows(() => hub.join("thre", a), GroupLimitError);
  assertEquals([error.option, error.limit], ["maxGroupsPerSession", 2]);
  assertEquals(error.message, "no further group for the session: maxGroupsPerSession is 2");
  hub.join("one", a); // it is there already
  hub.join("thre", b);
  const full = assertThrows(() => hub.join("four", b), GroupLimitError);
  assertEquals([full.option, full.limit], ["maxGroups", 3]);
  assertEquals(counts(hub), { groups: 3, sessions: 2, memberships: 3 });
  hub.join("one", b);
  for (const name of ["", "12345", "five!", 7, undefined, "\ud800"]) {
    const wrong = name as string;
    const type = typeof name === "string" && name !== "\ud800" ? RangeError : TypeError;
    assertThrows(() => hub.join(wrong, a), type, "group must");
    assertThrows(() => hub.publish(wrong, ""), type, "group must");
    if (name !== "" && name !== undefined) {
      assertThrows(() => hub.publish("one", "", { key: wrong }), type, "key must");
    }
  }
  assertThrows(() => hub.join("one", {} as Session), TypeError, "session must be a Session");
  assertThrows(() => hub.publish("one", 7 as unknown as string), TypeError, "a number");
  await closeAll(all);
});

Deno.test("Hub without onError prints 10 errors within 10 s, and how many it has left out", {
  permissions,
}, async () => {
  using time = clock();
  let count = 0;
  await using hub = new Hub({
    onJoin(): never {
      throw new Error(`fault ${++count}`);
    },
  });
  const session = new Session(memoryPair()[0]);
  using printed = capturePrinted();
  for (let n = 0; n < 100; n++) hub.join("hall", session, { id: `${n}` });
  assertEquals(printed.texts.length, 10);
  assertMatch(printed.texts[0]!, /^Error: fault 1\n +at /);
  time.now += 10_000;
  hub.join("hall", session, { id: "last" });
  assertEquals(printed.texts.length, 12);
  assertMatch(printed.texts[10]!, /^Error: fault 101\n +at /);
  assertEquals(printed.texts[11], "90 more errors of the hub were not printed");
  assertEquals(hub.stats().errors, 101);
  session.abort();
});

Deno.test("Hub checks its options", { permissions }, () => {
  const wrong: [HubOptions, string][] = [
    [{ slow: "drop" as SlowPolicy }, 'slow must be "end" or "drop-newest"'],
    [{ maxWaiting: 0 }, "maxWaiting must be"],
    [{ maxGroups: 0 }, "maxGroups must be"],
    [{ maxGroupsPerSession: 1.5 }, "maxGroupsPerSession must be"],
    [{ maxNameLength: 1025 }, "maxNameLength must be"],
    [{ maxBacklog: -1 }, "maxBacklog must be"],
    [{ bus: {} as never }, "start of bus must be a function"],
    [{ onGap: 1 as never }, "onGap must be a function"],
    [{ tracer: { traceparent: () => "" } as never }, "onDelivery of tracer must be a function"],
  ];
  for (const [options, says] of wrong) {
    const error = assertThrows(() => new Hub(options), Error);
    assertStringIncludes(error.message, says);
  }
  const hub = new Hub({ slow: () => "none" as SlowPolicy });
  const session = new Session(memoryPair()[0]);
  assertThrows(() => hub.join("a", session), RangeError, 'slow("a") must be');
  assertEquals(counts(hub), { groups: 0, sessions: 0, memberships: 0 });
  session.abort();
});

Deno.test(
  "Hub.close() ends the groups, not the sessions, and nothing follows",
  { permissions },
  async () => {
    const hub = new Hub();
    const [person] = people(1) as [{ client: Session; session: Session }];
    hub.join("hall", person.session);
    await hub.close();
    await hub.close();
    assertEquals(counts(hub), { groups: 0, sessions: 0, memberships: 0 });
    assertThrows(() => hub.join("hall", person.session), TypeError, "the hub is closed");
    assertThrows(() => hub.publish("hall", "text"), TypeError, "the hub is closed");
    await person.session.send("still there\n");
    assertEquals(await person.client.readLine(), "still there");
    await closeAll([person]);
  },
);

/** A session whose peer reads nothing until it is told to, and a fast one, in a group. */
async function slowPair(slow: HubOptions["slow"]): Promise<{
  hub: Hub;
  session: Session;
  /** Reads everything, and returns the lines. */
  read(): Promise<string[]>;
  [Symbol.asyncDispose](): Promise<void>;
}> {
  const hub = new Hub({ slow: slow!, maxWaiting: 40_000 });
  const [client, session] = sessionPair({ capacity: 1000, right: { maxBufferedOutput: 100_000 } });
  hub.join("ticker", session);
  await settle();
  return {
    hub,
    session,
    async read(): Promise<string[]> {
      const lines: string[] = [];
      for await (const line of client.lines()) {
        lines.push(line.slice(0, 6).trim());
        if (line === "end") break;
      }
      return lines;
    },
    async [Symbol.asyncDispose](): Promise<void> {
      client.abort();
      session.abort();
      await Promise.all([client.closed, session.closed, hub.close()]);
    },
  };
}

const KIB = (text: string): string => text.padEnd(1023) + "\n";

Deno.test(
  "a slow session ends at its output limit with the policy end",
  { permissions },
  async () => {
    await using slow = await slowPair("end");
    for (let at = 0; at < 200; at++) slow.hub.publish("ticker", KIB(`${at}`));
    const { cause } = await slow.session.closed;
    assert(cause instanceof OutputLimitError);
    assertEquals(slow.hub.size("ticker"), 0);
  },
);

Deno.test("drop-newest drops what has no room", { permissions }, async () => {
  await using slow = await slowPair("drop-newest");
  for (let at = 0; at < 100; at++) slow.hub.publish("ticker", KIB(`${at}`));
  const kept = Math.floor(40_000 / 1024);
  assertEquals(slow.hub.droppedOf(slow.session), 100 - kept);
  assertEquals([slow.hub.stats().dropped, slow.hub.stats().replaced], [100 - kept, 0]);
  slow.session.send("end\n");
  const expected = Array.from({ length: kept }, (_, at) => `${at}`);
  assertEquals(await slow.read(), [...expected, "end"]);
});

Deno.test("drop-oldest drops the oldest messages that wait", { permissions }, async () => {
  await using slow = await slowPair("drop-oldest");
  for (let at = 0; at < 100; at++) slow.hub.publish("ticker", KIB(`${at}`));
  const [sent, kept] = [16, Math.floor(40_000 / (1024 + 128))];
  assertEquals(slow.hub.droppedOf(slow.session), 100 - sent - kept);
  slow.hub.publish("ticker", "x".repeat(50_000)); // larger than all that may wait
  assertEquals(slow.hub.droppedOf(slow.session), 100 - sent - kept + 1);
  const reading = slow.read();
  while (slow.session.bytesBuffered > 0) await settle();
  slow.hub.publish("ticker", "end\n");
  const expected = Array.from({ length: 100 }, (_, at) => `${at}`);
  assertEquals(await reading, [...expected.slice(0, sent), ...expected.slice(-kept), "end"]);
});

Deno.test("conflate keeps the latest message of each key", { permissions }, async () => {
  await using slow = await slowPair((group) => group === "ticker" ? "conflate" : "drop-oldest");
  slow.hub.join("news", slow.session);
  for (let at = 0; at < 16; at++) slow.hub.publish("ticker", KIB(`f${at}`), { key: "filler" });
  for (let at = 0; at < 10; at++) {
    slow.hub.publish("ticker", KIB(`a${at}`), { key: "a" });
    slow.hub.publish("ticker", KIB(`b${at}`), { key: "b" });
    slow.hub.publish("ticker", KIB(`-${at}`));
    slow.hub.publish("news", KIB(`n${at}`), { key: "a" });
  }
  const { dropped, replaced } = slow.hub.stats();
  assertEquals([dropped, replaced, slow.hub.droppedOf(slow.session)], [0, 27, 27]);
  const reading = slow.read();
  while (slow.session.bytesBuffered > 0) await settle();
  slow.hub.publish("ticker", "end\n");
  const filler = Array.from({ length: 16 }, (_, at) => `f${at}`);
  const news = Array.from({ length: 10 }, (_, at) => `n${at}`);
  assertEquals(await reading, [...filler, "a9", "b9", "-9", ...news, "end"]);
});

for (const slow of ["drop-oldest", "conflate"] as const) {
  Deno.test(`small messages for a slow session take bounded memory: ${slow}`, {
    permissions,
  }, async () => {
    await using pair = await slowPair(slow);
    for (let at = 0; at < 16; at++) pair.hub.publish("ticker", KIB(`${at}`), { key: "filler" });
    for (const text of ["", "x"]) {
      for (let at = 0; at < 1000; at++) {
        pair.hub.publish("ticker", text, { key: `${at}`.padEnd(200) });
      }
    }
    const size = slow === "conflate" ? 128 + "6 ticker".length + 200 : 128;
    const kept = Math.floor(40_000 / (size + 1));
    assertEquals(pair.hub.droppedOf(pair.session), 2000 - kept);
  });
}

Deno.test("a slow session that ends drops what waits for it", { permissions }, async () => {
  await using slow = await slowPair("drop-oldest");
  for (let at = 0; at < 50; at++) slow.hub.publish("ticker", KIB(`${at}`));
  slow.session.abort();
  await slow.session.closed;
  slow.hub.publish("ticker", "nobody gets this\n");
  assertEquals(counts(slow.hub), { groups: 0, sessions: 0, memberships: 0 });
  await assertRejects(() => slow.session.send("x"));
});

for (const policy of ["drop-newest", "drop-oldest", "conflate"] as const) {
  Deno.test(`${policy} keeps the order and loses nothing unnoticed, however the peer reads`, {
    permissions,
  }, async () => {
    const step = fc.record({
      size: fc.integer({ min: 10, max: 9_000 }),
      key: fc.constantFrom("a", "b", "c"),
      read: fc.constantFrom(0, 0, 1000, 20_000),
      turns: fc.nat({ max: 3 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 60 }), async (steps) => {
        await using hub = new Hub({ slow: policy, maxWaiting: 30_000 });
        const [client, session] = sessionPair({ capacity: 1000 });
        hub.join("ticker", session);
        let got = "";
        const read = async (count: number): Promise<void> => {
          got += new TextDecoder().decode(await client.readExactly(count));
        };
        for (const [at, { size, key, read: count, turns }] of steps.entries()) {
          hub.publish("ticker", `${at} ${key}`.padEnd(size - 1) + "\n", { key });
          const arrived = session.bytesWritten - new Blob([got]).size;
          if (count > 0) await read(Math.min(count, arrived));
          for (let turn = 0; turn < turns; turn++) await settle();
          assert(session.bytesBuffered <= (policy === "drop-newest" ? 30_000 : 16 * 1024 + 9_000));
        }
        const dropped = hub.droppedOf(session);
        const rest = Array.fromAsync(client.text());
        while (session.bytesBuffered > 0) await settle();
        await settle();
        while (session.bytesBuffered > 0) await settle();
        session.close();
        got += (await rest).join("");
        await Promise.all([client.close(), session.closed]);
        const arrived = got.trim().split(/\s*\n/).map((line) => line.split(" "));
        assertEquals(arrived.length + dropped, steps.length);
        const keys = policy === "conflate" ? ["a", "b", "c"] : ["a b c"];
        for (const key of keys) {
          const numbers = arrived.filter((line) => key.includes(line[1]!)).map(([at]) =>
            Number(at)
          );
          assertEquals(numbers, numbers.toSorted((a, b) => a - b));
          const last = steps.findLastIndex((step) => key.includes(step.key));
          if (policy !== "drop-newest") assertEquals(numbers.at(-1) ?? -1, last);
        }
      }),
      { numRuns: 50 },
    );
  });
}
