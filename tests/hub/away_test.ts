// Sessions that join and leave again and again while the bus is away or stands still, and take no memory.

import { assert, assertEquals } from "@std/assert";
import type { BusHistory } from "../../hub/mod.ts";
import { Hub } from "../../hub/mod.ts";
import { sessionPair } from "../../testing/mod.ts";
import { bounded, settle } from "../_serving.ts";
import { TestBus, TestNetwork } from "./_bus.ts";

const offline = { ...bounded, permissions: "none" } as const;

/** A bus that notes what it is asked for, and answers nothing until it is told to. */
class AwayBus extends TestBus {
  subscriptions = 0;
  unsubscriptions = 0;
  reads = 0;
  readonly answer = Promise.withResolvers<void>();
  readonly history: BusHistory | undefined;

  constructor(hasHistory = false) {
    super(new TestNetwork());
    if (!hasHistory) return;
    const read = (): Promise<void> => {
      this.reads++;
      return this.isReady ? Promise.resolve() : Promise.reject(new Error("the connection is lost"));
    };
    this.history = {
      publish: () => true,
      read: () => read().then(() => ({ entries: [], isComplete: true, isLast: true })),
      tail: () => read().then(() => "1"),
    };
  }

  override async subscribe(group: string): Promise<void> {
    this.subscriptions++;
    await this.answer.promise;
    await super.subscribe(group);
  }

  override unsubscribe(group: string): void {
    this.unsubscriptions++;
    super.unsubscribe(group);
  }
}

Deno.test(
  "a bus that is away is asked for a bounded number of groups",
  offline,
  async () => {
    const bus = new AwayBus();
    const hub = new Hub({ bus, maxGroupsPerSession: 1000 });
    const [client, session] = sessionPair();
    const joined: Promise<void>[] = [];
    for (let at = 0; at < 10_000; at++) {
      joined.push(hub.join(`${at % 3000}`, session));
      hub.leave(`${at % 3000}`, session);
    }
    assertEquals([bus.subscriptions, bus.unsubscriptions], [256, 0]);
    await Promise.all(joined); // who leaves waits no longer
    const stay = Array.from({ length: 600 }, (_, at) => `${at * 5}`);
    const staying = Promise.all(stay.map((group) => hub.join(group, session)));
    await settle();
    assertEquals([bus.subscriptions, bus.unsubscriptions], [256, 0]);
    bus.answer.resolve();
    await staying;
    await settle();
    assertEquals([...bus.groups].sort(), stay.sort());
    assert(bus.subscriptions < 900, `${bus.subscriptions}`);
    hub.leaveAll(session);
    assertEquals(bus.groups.size, 0);
    for (let turn = 0; turn < 3; turn++) { // the last word counts
      for (const group of stay) hub.join(group, session);
      for (const group of stay.slice(turn)) hub.leave(group, session);
    }
    await settle();
    assertEquals([...bus.groups].sort(), stay.slice(0, 2).sort());
    await Promise.all([client.close(), session.close(), hub.close()]);
  },
);

Deno.test(
  "a history that is away is not read for those who have left",
  offline,
  async () => {
    const bus = new AwayBus(true);
    bus.answer.resolve();
    const errors: unknown[] = [];
    const hub = new Hub({ bus, onError: (error) => void errors.push(error) });
    const [[client, session], [other, stays], [third, late]] = [
      sessionPair(),
      sessionPair(),
      sessionPair(),
    ];
    await hub.join("hall", stays);
    bus.isReady = false;
    const before = bus.reads;
    const joined: Promise<void>[] = [];
    for (let at = 0; at < 10_000; at++) {
      joined.push(hub.join("hall", session, at % 2 === 0 ? { last: 10 } : { since: "5" }));
      for (let turn = 0; turn < 9; turn++) await null; // until it reads
      hub.leave("hall", session);
    }
    await settle();
    assert(bus.reads - before < 100, `${bus.reads - before}`);
    await Promise.all(joined); // who leaves waits no longer
    const waits = hub.join("hall", late, { last: 10 });
    await settle();
    assert(bus.reads - before < 100);
    bus.isReady = true;
    await waits;
    await settle();
    assert(bus.reads - before < 100, `${bus.reads - before}`);
    assertEquals(errors, []);
    await hub.close();
    for (const one of [client, session, other, stays, third, late]) one.abort();
  },
);
