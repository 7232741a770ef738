import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import fc from "fast-check";
import { MalformedFrameError } from "../../errors.ts";
import { type Clock, SYSTEM_CLOCK } from "../../hub/clock.ts";
import { Hub, type HubOptions } from "../../hub/mod.ts";
import { EndedGaps, Gaps, Numbering } from "../../hub/numbering.ts";
import type { Session } from "../../session.ts";
import { sessionPair } from "../../testing/mod.ts";
import { settle } from "../_serving.ts";
import { type TestBus, TestNetwork } from "./_bus.ts";

const permissions = "none";

interface Member {
  hub: Hub;
  bus: TestBus;
  session: Session;
  client: Session;
  gaps: [group: string, from: number, to: number][];
  errors: unknown[];
  states: boolean[];
  /** Leaves nothing open, and returns the lines that have arrived. */
  end(): Promise<string[]>;
}

/** A hub with a member in the group `hall`, on a bus. What it publishes is on the bus at once. */
async function member(
  network: TestNetwork,
  options: HubOptions = {},
  clock: Partial<Clock> = {},
): Promise<Member> {
  const bus = network.bus();
  const gaps: Member["gaps"] = [];
  const errors: unknown[] = [];
  const states: boolean[] = [];
  const hub = new Hub({
    bus,
    onGap: (group, from, to) => void gaps.push([group, from, to]),
    onError: (error) => void errors.push(error),
    onBusChange: (isReady) => void states.push(isReady),
    ...options,
  }, { ...SYSTEM_CLOCK, soon: (call) => call(), ...clock });
  const [client, session] = sessionPair();
  await hub.join("hall", session);
  return {
    ...{ hub, bus, session, client, gaps, errors, states },
    async end(): Promise<string[]> {
      session.closeWrite();
      const lines = await Array.fromAsync(client.lines());
      await Promise.all([client.close(), session.close(), hub.close()]);
      assert(bus.isClosed);
      return lines;
    },
  };
}

Deno.test(
  "a message reaches the members of a group in all processes once, with all that belongs to it",
  {
    permissions,
  },
  async () => {
    const network = new TestNetwork();
    const [a, b] = [await member(network), await member(network)];
    a.hub.publish("hall", "from a\n", { except: a.session });
    b.hub.publish("hall", "from b\n");
    b.hub.publish("elsewhere", "nobody is here\n");
    assertEquals([a.hub.stats().received, b.hub.stats().received], [1, 1]);
    assertEquals(await a.end(), ["from b"]);
    assertEquals(await b.end(), ["from a", "from b"]);
    assertEquals([a.errors, b.errors, a.gaps, b.gaps], [[], [], [], []]);
  },
);

Deno.test("a hub subscribes only to groups that have members", { permissions }, async () => {
  const network = new TestNetwork();
  const a = await member(network);
  assertEquals([...a.bus.groups], ["hall"]);
  const { promise, resolve } = Promise.withResolvers<void>();
  a.bus.subscribing = promise;
  let isJoined = false;
  a.hub.join("garden", a.session).then(() => isJoined = true);
  await settle();
  assertEquals([...a.bus.groups, isJoined], ["hall", "garden", false]);
  resolve();
  await settle();
  assert(isJoined);
  a.hub.leave("hall", a.session);
  assertEquals([...a.bus.groups], ["garden"]);
  await a.end();
  assertEquals([...a.bus.groups], []);
});

Deno.test(
  "what is lost is told as a gap, what arrives twice or late is ignored",
  { permissions },
  async () => {
    const network = new TestNetwork();
    const [a, b] = [await member(network), await member(network)];
    const late: (() => void)[] = [];
    const carry = { now: (deliver: () => void) => deliver(), never: () => {} };
    const fate: ((deliver: () => void) => void)[] = [
      carry.now,
      carry.never,
      carry.never,
      carry.now,
      (deliver) => late.push(deliver),
      (deliver) => {
        deliver();
        deliver();
      },
      carry.now,
    ];
    network.carry = (deliver, to) => to === a.bus ? undefined : fate.shift()!(deliver);
    for (let at = 1; at <= 7; at++) a.hub.publish("hall", `${at}\n`);
    for (const deliver of late) deliver();
    assertEquals(b.gaps, [["hall", 2, 3], ["hall", 5, 5]]);
    const { received, lost, ignored } = b.hub.stats();
    assertEquals({ received, lost, ignored }, { received: 4, lost: 3, ignored: 2 });
    await a.end();
    assertEquals(await b.end(), ["1", "4", "6", "7"]);
  },
);

Deno.test(
  "a gap before the first message that arrives is told, unless it was before the subscription",
  {
    permissions,
  },
  async () => {
    const network = new TestNetwork();
    let now = 1000;
    const clock = { now: () => now };
    const a = await member(network, {}, clock);
    a.hub.publish("hall", "1\n");
    now += 10;
    const late = await member(network, {}, clock);
    now += 10;
    a.hub.publish("hall", "2\n");
    assertEquals(late.gaps, []);
    const early = await member(network, {}, clock);
    const carry = network.carry;
    network.carry = (deliver, to) => to === early.bus ? undefined : deliver();
    now += 5;
    a.hub.publish("hall", "3\n");
    network.carry = carry;
    now += 5;
    a.hub.publish("hall", "4\n");
    assertEquals([early.gaps, late.gaps], [[["hall", 1, 3]], []]);
    await a.end();
    assertEquals(await early.end(), ["4"]);
    assertEquals(await late.end(), ["2", "3", "4"]);
  },
);

Deno.test(
  "what has arrived before a group ends and begins again is no gap, and does not arrive again",
  {
    permissions,
  },
  async () => {
    const network = new TestNetwork();
    let now = 1000;
    const clock = { now: () => now };
    const [a, b] = [await member(network, {}, clock), await member(network, {}, clock)];
    const { carry } = network;
    for (const at of [1, 2, 3]) a.hub.publish("hall", `${at}\n`);
    b.hub.leave("hall", b.session);
    a.hub.publish("hall", "4\n");
    now += 10;
    await b.hub.join("hall", b.session);
    now += 10;
    const late: (() => void)[] = [];
    network.carry = (deliver, to) => to === b.bus ? late.push(deliver) : undefined;
    a.hub.publish("hall", "5\n");
    network.carry = carry;
    now += 10;
    a.hub.publish("hall", "6\n");
    for (const deliver of late) deliver();
    assertEquals(b.gaps, [["hall", 4, 5]]);
    b.hub.leave("hall", b.session);
    a.hub.publish("hall", "7\n");
    now += 10;
    await b.hub.join("hall", b.session);
    a.hub.publish("hall", "8\n");
    assertEquals(b.gaps.length, 1);
    const { received, lost, ignored } = b.hub.stats();
    assertEquals({ received, lost, ignored }, { received: 5, lost: 2, ignored: 1 });
    await a.end();
    assertEquals(await b.end(), ["1", "2", "3", "6", "8"]);
  },
);

Deno.test("EndedGaps forgets the groups that have ended first", { permissions }, () => {
  const ended = new EndedGaps();
  const gapsOf = (senders: number): Gaps => {
    const gaps = new Gaps();
    for (let sender = 1; sender <= senders; sender++) {
      gaps.note({ sender, epoch: 1, number: 1, elapsed: 0, count: 1 }, { now: () => 0 });
    }
    return gaps;
  };
  const [first, second, third] = [gapsOf(4000), gapsOf(4000), gapsOf(2001)];
  ended.keep("first", first!);
  ended.keep("second", second!);
  assertEquals([ended.take("first"), ended.take("first")], [first, undefined]);
  ended.keep("first", first!);
  ended.keep("third", third!);
  assertEquals(["first", "second", "third"].map((name) => ended.take(name)), [
    ...[first, undefined, third],
  ]);
});

Deno.test(
  "local delivery goes on while the bus is away, and what is published waits within a limit",
  {
    permissions,
  },
  async () => {
    const network = new TestNetwork();
    const [a, b] = [await member(network, { maxBacklog: 300 }), await member(network)];
    a.bus.isReady = false;
    const taken = Array.from({ length: 20 }, (_, at) => a.hub.publish("hall", `${at}\n`));
    const waiting = taken.indexOf(false);
    assert(waiting > 3 && waiting < 20);
    assert(taken.slice(waiting).every((isTaken) => !isTaken));
    const { backlog, unpublished, isBusReady } = a.hub.stats();
    assert(backlog <= 300 && backlog > 200, `${backlog}`);
    assertEquals([unpublished, isBusReady], [20 - waiting, false]);
    a.bus.isReady = true;
    a.bus.isReady = true;
    assert(a.hub.publish("hall", "back\n"));
    assertEquals([a.hub.stats().backlog, a.states], [0, [false, true]]);
    assertEquals(b.gaps, [["hall", waiting + 1, 20]]);
    const all = Array.from({ length: 20 }, (_, at) => `${at}`);
    assertEquals(await a.end(), [...all, "back"]);
    assertEquals(await b.end(), [...all.slice(0, waiting), "back"]);
  },
);

Deno.test("what is published when the bus is back does not overtake what waits", {
  permissions,
}, async () => {
  const network = new TestNetwork();
  const [a, b] = [await member(network), await member(network)];
  a.bus.isReady = false;
  for (const at of [1, 2, 3]) a.hub.publish("hall", `${at}\n`);
  let isFirst = true;
  network.carry = (deliver, to) => {
    deliver();
    if (isFirst && to === b.bus) {
      isFirst = false;
      a.hub.publish("hall", "4\n");
    }
  };
  a.bus.isReady = true;
  assertEquals([a.gaps, b.gaps], [[], []]);
  await a.end();
  assertEquals(await b.end(), ["1", "2", "3", "4"]);
});

Deno.test(
  "what was lost before the first message is told even if the sender's messages have waited",
  {
    permissions,
  },
  async () => {
    const network = new TestNetwork();
    let now = 1000;
    const clock = { now: () => now };
    const a = await member(network, {}, clock);
    a.bus.isReady = false;
    a.hub.publish("hall", "1\n");
    now += 1000;
    a.hub.publish("hall", "2\n");
    now += 1000;
    const carry = network.carry;
    const b = await member(network, {}, clock);
    const c = await member(network, {}, clock);
    now += 1000;
    let copies = 0;
    network.carry = (deliver, to) => to === b.bus && copies++ === 0 ? undefined : deliver();
    a.bus.isReady = true; // b gets the second message only
    network.carry = (deliver, to) => to === c.bus ? deliver() : undefined;
    const d = await member(network, {}, clock);
    now += 10;
    network.carry = carry;
    a.hub.publish("hall", "3\n");
    assertEquals([b.gaps, c.gaps, d.gaps], [[["hall", 1, 1]], [], []]);
    const e = await member(network, {}, clock);
    a.bus.isReady = false;
    a.hub.publish("hall", "4\n");
    now += 1000;
    network.carry = () => {};
    a.bus.isReady = true;
    network.carry = carry;
    now += 10;
    a.hub.publish("hall", "5\n");
    assertEquals(e.gaps, [["hall", 1, 4]]);
    for (const { end } of [a, b, c, d, e]) await end();
  },
);

Deno.test(
  "Gaps counts what is missing at the beginning of an epoch, and ignores what is of an earlier one",
  {
    permissions,
  },
  () => {
    const gaps = new Gaps();
    gaps.subscribedAt = 100;
    const note = (epoch: number, number: number, sender = 1): number => {
      return gaps.note({ sender, epoch, number, elapsed: 50, count: 1 }, { now: () => 120 });
    };
    const told = [note(1, 7), note(1, 8), note(3, 3), note(2, 9), note(3, 4), note(1, 5, 2)];
    assertEquals(told, [0, 0, 2, -1, 0, 0]);
  },
);

Deno.test("a Hub counts what the bus does not take, and says what is too large for it", {
  permissions,
}, async () => {
  const a = await member(new TestNetwork());
  a.bus.takes = false;
  a.hub.publish("hall", "1\n");
  assertEquals(a.hub.stats().unpublished, 1);
  assertThrows(
    () => a.hub.publish("hall", "x".repeat(10_000)),
    RangeError,
    "a message has at most 10000 bytes on this bus, got 10034 with its header",
  );
  a.bus.takes = true;
  assert(a.hub.publish("hall", "x".repeat(9_965) + "\n"));
  assertEquals((await a.end()).map(({ length }) => length), [1, 9_965]);
});

Deno.test("a hub reports what is no message of a hub, and what functions of its options throw", {
  permissions,
}, async () => {
  const problem = new Error("no gap wanted");
  const network = new TestNetwork();
  const a = await member(network);
  const b = await member(network, {
    onGap: () => {
      throw problem;
    },
  });
  b.bus.listener!.onMessage(new Uint8Array(5));
  b.bus.listener!.onError("the bus says so");
  network.carry = () => {};
  a.hub.publish("hall", "1\n");
  a.hub.publish("hall", "2\n");
  network.carry = (deliver) => deliver();
  a.hub.publish("hall", "3\n");
  assertInstanceOf(b.errors[0], MalformedFrameError);
  assertEquals(b.errors.slice(1), ["the bus says so", problem]);
  assertEquals(b.hub.stats().errors, 3);
  await a.end();
  assertEquals(await b.end(), ["3"]);
});

Deno.test("a bus that throws or rejects is told, and harms no one", { permissions }, async () => {
  const a = await member(new TestNetwork());
  const [thrown, rejected] = [new Error("cannot publish"), new Error("cannot subscribe")];
  a.bus.publish = () => {
    throw thrown;
  };
  a.hub.publish("hall", "1\n");
  a.bus.subscribing = Promise.reject(rejected);
  await a.hub.join("garden", a.session);
  assertEquals(a.errors, [thrown, rejected]);
  assertEquals(a.hub.stats().unpublished, 1);
  assertEquals(await a.end(), ["1"]);
});

Deno.test(
  "a hub that has forgotten the numbers of a group begins a higher epoch, which is no gap",
  {
    permissions,
  },
  () => {
    const numbering = new Numbering(1, 3);
    const gaps = new Map<string, Gaps>();
    const random = fc.sample(fc.nat({ max: 9 }), { numRuns: 1000, seed: 1 });
    for (const [now, at] of random.entries()) {
      const group = `group ${at}`;
      const seen = gaps.get(group) ?? new Gaps();
      seen.subscribedAt = 0;
      gaps.set(group, seen);
      const count = 1 + at % 3;
      const number = numbering.next(group, now, count);
      assertEquals(seen.note({ ...number, count }, { now: () => now }), 0);
    }
  },
);
