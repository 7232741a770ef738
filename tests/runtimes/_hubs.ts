import { strict as assert } from "node:assert";
import {
  connect,
  type NetAddr,
  OutputLimitError,
  type Session,
  type SessionEnd,
} from "@parley/tcp";
import { serveAdmin } from "@parley/tcp/admin";
import { type Bus, type BusListener, Hub } from "@parley/tcp/hub";
import { HubNetwork, sessionPair } from "@parley/tcp/testing";
import { serveWorkers } from "@parley/tcp/workers";
import { ask } from "./_operations.ts";
import { dial, expectLine, type Scenarios, until, withServer } from "./_harness.ts";

/** A bus between the hubs of this thread, which loses what it is told to lose. */
class LocalBus implements Bus {
  static readonly #all = new Set<LocalBus>();
  static isLosing = false;
  readonly isReady = true;
  readonly #groups = new Set<string>();
  #listener: BusListener | undefined;

  start(listener: BusListener): void {
    this.#listener = listener;
    LocalBus.#all.add(this);
  }

  publish(group: string, message: Uint8Array): boolean {
    if (LocalBus.isLosing) return true;
    for (const other of LocalBus.#all) {
      if (other !== this && other.#groups.has(group)) other.#listener!.onMessage(message);
    }
    return true;
  }

  subscribe(group: string): Promise<void> {
    this.#groups.add(group);
    return Promise.resolve();
  }

  unsubscribe(group: string): void {
    this.#groups.delete(group);
  }

  close(): Promise<void> {
    LocalBus.#all.delete(this);
    return Promise.resolve();
  }
}

/** Joins a group, and publishes each line there for the others. */
function chat(hub: Hub): (session: Session) => Promise<void> {
  return async (session) => {
    await hub.join("hall", session);
    await session.send("joined\n");
    for await (const line of session.lines()) {
      hub.publish("hall", `${line}\n`, { except: session });
    }
  };
}

/** Publishes to a peer that reads nothing until it misses messages, and lets it read all the others. */
async function missMessages(
  slow: "drop-newest" | "drop-oldest" | "conflate",
): Promise<{ first: string; last: string; published: number }> {
  const hub = new Hub({ slow });
  const rest = "x".repeat(16_000);
  return await withServer({}, async (session) => {
    hub.join("news", session);
    await session.send("joined\n");
    for await (const _ of session.lines());
  }, async (server) => {
    const client = await dial(server);
    await expectLine(client, "joined");
    const [member] = hub.members("news");
    let published = 0;
    while (hub.droppedOf(member!) < 10) {
      hub.publish("news", `${++published} ${rest}\n`);
      await new Promise((resolve) => setTimeout(resolve));
    }
    const dropped = hub.droppedOf(member!);
    const stats = hub.stats();
    assert.equal(dropped, stats.dropped + stats.replaced);
    assert.equal(stats.replaced > 0, slow === "conflate");
    const lines: string[] = [];
    while (lines.length < published - dropped) {
      lines.push((await client.readLine())!.split(" ")[0]!);
    }
    const numbers = lines.map(Number);
    assert.deepEqual(numbers, numbers.toSorted((a, b) => a - b));
    client.abort();
    await until(() => hub.size("news") === 0);
    await hub.close();
    return { first: lines[0]!, last: lines.at(-1)!, published };
  });
}

export const hubs: Scenarios = {
  "a hub delivers to the members of a group, until they leave": async () => {
    const hub = new Hub();
    await withServer({}, chat(hub), async (server) => {
      const [anna, ben, cleo] = [await dial(server), await dial(server), await dial(server)];
      for (const one of [anna, ben, cleo]) await expectLine(one, "joined");
      assert.equal(hub.size("hall"), 3);
      await anna.send("rose\n");
      await expectLine(ben, "rose");
      await expectLine(cleo, "rose");
      await ben.close();
      await until(() => hub.size("hall") === 2);
      await cleo.send("tulip\n");
      await expectLine(anna, "tulip"); // and not what it has said itself
      for (const one of [anna, cleo]) one.abort();
      await until(() => hub.stats().groups === 0);
    });
    await hub.close();
  },

  "a slow member misses the newest messages, or the oldest, or gets the latest value": async () => {
    const newest = await missMessages("drop-newest");
    assert.notEqual(newest.last, `${newest.published}`);
    for (const policy of ["drop-oldest", "conflate"] as const) {
      const { first, last, published } = await missMessages(policy);
      assert.deepEqual([first, last], ["1", `${published}`]);
    }
  },

  "a slow member that must miss nothing ends": async () => {
    const hub = new Hub();
    const ends: SessionEnd[] = [];
    const observer = { onSessionEnd: (_: Session, end: SessionEnd) => void ends.push(end) };
    await withServer({ maxBufferedOutput: 100_000, observer }, chat(hub), async (server) => {
      const client = await dial(server);
      await expectLine(client, "joined");
      while (hub.size("hall") === 1) {
        hub.publish("hall", `${"x".repeat(16_000)}\n`);
        await new Promise((resolve) => setTimeout(resolve));
      }
      await until(() => ends.length === 1);
      assert(ends[0]!.cause instanceof OutputLimitError, String(ends[0]!.cause));
      client.abort();
    });
    await hub.close();
  },

  "two hubs share their groups by a bus, which tells of what it has lost": async () => {
    const gaps: unknown[] = [];
    const onGap = (...gap: unknown[]): void => void gaps.push(gap);
    const here = new Hub({ bus: new LocalBus() });
    const there = new Hub({ bus: new LocalBus(), onGap });
    await withServer({}, chat(here), (one) =>
      withServer({}, chat(there), async (other) => {
        const [anna, ben] = [await dial(one), await dial(other)];
        for (const session of [anna, ben]) await expectLine(session, "joined");
        for (const line of ["1", "2", "3"]) {
          LocalBus.isLosing = line === "2";
          here.publish("hall", `${line}\n`);
          await new Promise((resolve) => setTimeout(resolve)); // the bus gets what a turn publishes at its end
        }
        for (const line of ["1", "2", "3"]) await expectLine(anna, line);
        for (const line of ["1", "3"]) await expectLine(ben, line);
        assert.deepEqual(gaps, [["hall", 2, 2]]);
        assert.equal(there.stats().lost, 1);
        for (const session of [anna, ben]) session.abort();
      }));
    await Promise.all([here.close(), there.close()]);
  },

  "hubs know who is in a group, on a simulated network": async () => {
    const network = new HubNetwork();
    const [here, there] = [network.hub(), network.hub()];
    const [client1, anna] = sessionPair();
    const [client2, ben] = sessionPair();
    here.join("hall", anna, { id: "anna", info: { mood: "fine" } });
    there.join("hall", ben, { id: "ben" });
    await network.advance(100);
    assert.deepEqual([...there.people("hall")].map(({ id }) => id).toSorted(), ["anna", "ben"]);
    assert.deepEqual(there.person("hall", "anna")!.info, { mood: "fine" });
    network.kill(here);
    await network.advance(30_000);
    assert.deepEqual([...there.people("hall")].map(({ id }) => id), ["ben"]);
    for (const session of [client1, client2, anna, ben]) session.abort();
  },

  "the hubs of workers share their groups, and an admin server shows their sessions": async () => {
    const module = new URL("./_hub_service.ts", import.meta.url).href;
    const server = serveWorkers(module, { port: 0, workers: 2, onError: () => {} });
    const { port } = await server.listening as NetAddr;
    const admin = serveAdmin({ port: 0 }, { chat: server });
    await admin.listening;
    const sessions: Session[] = [];
    const threads = new Set<string>();
    while (threads.size < 2) {
      const session = await connect({ port });
      sessions.push(session);
      threads.add((await session.readLine())!);
    }
    await sessions.at(-1)!.send("rose\n");
    for (const session of sessions) await expectLine(session, "rose");
    const { status, text } = await ask(admin, "/sessions.json");
    assert.equal(status, 200);
    const page = JSON.parse(text);
    assert.equal(page.sessions.length, sessions.length);
    const workers = page.sessions.map(({ worker }: { worker: number }) => worker);
    assert.equal(new Set(workers).size, 2);
    for (const session of sessions) session.abort();
    await Promise.all([server.shutdown(), admin.close()]);
  },
};
