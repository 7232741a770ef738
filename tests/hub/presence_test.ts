import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { MalformedFrameError } from "../../errors.ts";
import { Hub, type HubOptions } from "../../hub/mod.ts";
import { Outgoing, PRESENCE } from "../../hub/message.ts";
import {
  decodePresence,
  encodePresence,
  type PresenceMessage,
} from "../../hub/presence_message.ts";
import { Presence } from "../../hub/presence.ts";
import { Session } from "../../session.ts";
import { HubNetwork } from "../../testing/mod.ts";
import { memoryPair } from "../../transport/memory.ts";
import { TestNetwork } from "./_bus.ts";

const permissions = "none";

/** Sessions that are aborted at the end. */
class Sessions implements Disposable {
  readonly #all: Session[] = [];

  open(): Session {
    const session = new Session(memoryPair()[0]);
    this.#all.push(session);
    return session;
  }

  [Symbol.dispose](): void {
    for (const session of this.#all) session.abort();
  }
}

/** What a hub is told of people. */
function told(news: string[]): HubOptions {
  return {
    onJoin: (group, { id }, isNew) => void news.push(`${group} ${isNew ? "+" : "="}${id}`),
    onLeave: (group, { id }) => void news.push(`${group} -${id}`),
  };
}

const ids = (hub: Hub, group = "hall"): string[] => [...hub.people(group)].map(({ id }) => id);

Deno.test("Hub.people() lists the people of a group, each once, while they are there", {
  permissions,
}, async () => {
  using sessions = new Sessions();
  const news: string[] = [];
  await using hub = new Hub(told(news));
  const [a, b, c] = [sessions.open(), sessions.open(), sessions.open()];
  hub.join("hall", a, { id: "anna", info: { age: 7 } });
  hub.join("hall", b, { id: "anna" });
  hub.join("hall", c);
  assertEquals([...hub.people("hall")], [{ id: "anna" }]);
  assertEquals([...hub.people("garden")], []);
  assertEquals([hub.person("hall", "anna"), hub.person("hall", "ben")], [
    { id: "anna" },
    undefined,
  ]);
  assertEquals(hub.person("garden", "anna"), undefined);
  hub.join("hall", c, { id: "carl", info: [1] });
  hub.join("hall", c, { id: "carl", info: [2] });
  assertEquals([...hub.people("hall")], [{ id: "anna" }, { id: "carl", info: [2] }]);
  hub.join("hall", c, { id: "dora" });
  hub.join("hall", c); // changes nothing
  hub.leave("hall", a);
  assertEquals(ids(hub), ["anna", "dora"]);
  b.abort();
  assertEquals(ids(hub), ["dora"]);
  assertEquals(news, ["hall +anna", "hall +carl", "hall -carl", "hall +dora", "hall -anna"]);
  hub.leave("hall", c);
  assertEquals([ids(hub), news.at(-1)], [[], "hall -dora"]);
});

Deno.test("onLeave() may join and leave, and everybody is where it says", {
  permissions,
}, async () => {
  using sessions = new Sessions();
  const [a, b, c] = [sessions.open(), sessions.open(), sessions.open()];
  let onLeave = (): void => {};
  await using hub = new Hub({
    onLeave(): void {
      const now = onLeave;
      onLeave = () => {};
      now();
    },
  });
  hub.join("hall", a, { id: "anna" });
  onLeave = () => { // the group ends and begins again
    hub.join("hall", b);
    hub.leave("hall", b);
    hub.join("hall", c);
  };
  hub.leave("hall", a);
  assertEquals([hub.size("hall"), [...hub.groupsOf(c)]], [1, ["hall"]]);

  hub.join("hall", a, { id: "anna" });
  hub.join("garden", a);
  onLeave = () => {
    hub.leave("garden", a);
    hub.join("street", a);
  };
  hub.leave("hall", a);
  assertEquals([...hub.groupsOf(a)], ["street"]);
  a.abort();
  c.abort();
  const { groups, memberships, sessions: count } = hub.stats();
  assertEquals([groups, memberships, count, hub.size("street")], [0, 0, 0, 0]);
});

for (
  const [what, change, people] of [
    ["leave the group", (hub, session) => hub.leave("hall", session), []],
    ["end its session", (_, session) => session.abort(), []],
    [
      "join another group",
      (hub, session) => {
        hub.join("garden", session);
        hub.leave("hall", session);
      },
      [],
    ],
    [
      "leave and come back",
      (hub, session) => {
        hub.leave("hall", session);
        hub.join("hall", session, { id: "carl" });
      },
      ["carl"],
    ],
    [
      "become somebody else",
      (hub, session) => hub.join("hall", session, { id: "carl" }),
      ["carl"],
    ],
  ] as [string, (hub: Hub, session: Session) => void, string[]][]
) {
  Deno.test(`A member whose id is changed may ${what} in onLeave()`, { permissions }, async () => {
    using sessions = new Sessions();
    const news: string[] = [];
    const hooks = told(news);
    let isOver = false;
    await using hub = new Hub({
      ...hooks,
      onLeave(group, person): void {
        hooks.onLeave!(group, person);
        if (!isOver) change(hub, a);
        isOver = true;
      },
    });
    const [a, other] = [sessions.open(), sessions.open()];
    hub.join("hall", other); // so that the group does not end
    hub.join("hall", a, { id: "anna" });
    hub.join("hall", a, { id: "ben" });
    assertEquals(ids(hub), people);
    assertEquals(news, ["hall +anna", "hall -anna", ...people.map((id) => `hall +${id}`)]);
    hub.leaveAll(a);
    assertEquals(ids(hub), []);
    assertEquals(news.length, 2 + 2 * people.length);
  });
}

Deno.test("Hub.join() refuses people that cannot be sent", { permissions }, async () => {
  using sessions = new Sessions();
  await using hub = new Hub({ maxInfoLength: 10 });
  const session = sessions.open();
  const wrong: [options: Record<string, unknown>, kind: ErrorConstructor, says: string][] = [
    [{ info: 1 }, TypeError, "info needs an id"],
    [{ id: "" }, RangeError, "id must have 1 to maxNameLength (256) characters, got 0"],
    [{ id: 7 }, TypeError, "id must be a string, got a number"],
    [{ id: "x", info: () => {} }, TypeError, "info must be a value of JSON, got a function"],
    [{ id: "x", info: 1n }, TypeError, ""],
    [{ id: "x", info: "123456789" }, RangeError, "maxInfoLength (10) characters as JSON, got 11"],
  ];
  for (const [options, kind, says] of wrong) {
    assertThrows(() => hub.join("hall", session, options), kind, says);
  }
  assertEquals(hub.size("hall"), 0);
});

Deno.test(
  "people of other processes are known soon, and gone when they leave or their process does",
  {
    permissions,
  },
  async () => {
    using sessions = new Sessions();
    const network = new HubNetwork();
    const [here, there]: string[][] = [[], []];
    const a = network.hub({ ...told(here!), presenceInterval: 1000 });
    const b = network.hub({ ...told(there!), presenceInterval: 1000 });
    a.join("hall", sessions.open(), { id: "anna", info: "first" });
    await network.advance(100);
    const ben = sessions.open();
    b.join("hall", ben, { id: "ben" });
    const both = sessions.open();
    b.join("hall", both, { id: "anna" });
    await network.advance(100);
    assertEquals([ids(a), ids(b)], [["anna", "ben"], ["ben", "anna"]]);
    assertEquals([here, there], [["hall +anna", "hall +ben"], ["hall +ben", "hall +anna"]]);
    b.leave("hall", ben);
    b.leave("hall", both);
    await network.advance(30);
    assertEquals([ids(a), ids(b)], [["anna"], []]);
    b.join("hall", both);
    await network.advance(100);
    assertEquals(ids(b), ["anna"]);
    b.join("hall", ben, { id: "ben" });
    await network.advance(100);
    assertEquals(ids(a), ["anna", "ben"]);
    network.kill(b);
    await network.advance(2000);
    assertEquals(ids(a), ["anna", "ben"]);
    await network.advance(2000);
    assertEquals(ids(a), ["anna"]);
    assertEquals(here, ["+anna", "+ben", "-ben", "+ben", "-ben"].map((one) => `hall ${one}`));
    assert(there!.includes("hall =anna")); // who was there already
  },
);

Deno.test("people who join while another hub asks are new", { permissions }, async () => {
  using sessions = new Sessions();
  const network = new HubNetwork({ delay: 0 });
  const news: string[] = [];
  const [a, b] = [network.hub(told(news)), network.hub()];
  a.join("hall", sessions.open(), { id: "anna" });
  await network.advance(10);
  b.join("hall", sessions.open(), { id: "ben" });
  await network.advance(100);
  assertEquals(news, ["hall +anna", "hall +ben"]);
});

Deno.test("a hub that closes tells that its people leave", { permissions }, async () => {
  using sessions = new Sessions();
  const network = new HubNetwork();
  const [a, b] = [network.hub(), network.hub()];
  a.join("hall", sessions.open(), { id: "anna" });
  b.join("hall", sessions.open(), { id: "ben" });
  await network.advance(1000);
  await a.close();
  await network.advance(30);
  assertEquals(ids(b), ["ben"]);
});

Deno.test(
  "thousands of people are told in messages of a limited size",
  { permissions },
  async () => {
    using sessions = new Sessions();
    const network = new HubNetwork();
    const [a, b, c] = [network.hub(), network.hub(), network.hub()];
    b.join("hall", sessions.open());
    await network.advance(100);
    for (let at = 0; at < 2500; at++) {
      a.join("hall", sessions.open(), { id: `p${at}`, info: "x".repeat(1000) });
    }
    c.join("hall", sessions.open());
    await network.advance(200);
    assertEquals([ids(b).length, ids(c).length], [2500, 2500]);
  },
);

Deno.test("people are told in messages that fit the bus, whatever is said of them", {
  permissions,
}, async () => {
  using sessions = new Sessions();
  const network = new HubNetwork();
  const errors: unknown[] = [];
  const onError = (error: unknown): void => void errors.push(error);
  const [a, b] = [network.hub({ maxInfoLength: 65_536, onError }), network.hub({ onError })];
  b.join("hall", sessions.open());
  for (let at = 0; at < 20; at++) {
    a.join("hall", sessions.open(), { id: `p${at}`, info: "\u20ac".repeat(65_534) });
  }
  await network.advance(200);
  assertEquals([ids(b).length, errors], [20, []]);
});

Deno.test("who has missed a change asks for all people", { permissions }, () => {
  const asked: unknown[] = [];
  const presence = new Presence(1, {
    maxPeople: 100,
    now: () => 0,
    publish: (message) => void asked.push(message),
    isMember: () => true,
    nextVersion: () => 1,
    onDue: () => {},
    onJoin: () => {},
    onLeave: () => {},
  });
  const known = (): string[] => [...presence.people].map(({ id }) => id);
  const change = (from: number, version: number, count: number, id: string): void =>
    presence.onMessage(2, { kind: "change", from, version, count, joined: [{ id }], left: [] });
  change(0, 3, 1, "a");
  change(3, 4, 2, "b");
  assertEquals(known(), ["a", "b"]);
  presence.onMessage(2, { kind: "beat", version: 4, count: 2 });
  presence.publish(true);
  assertEquals(asked, []);
  change(5, 6, 4, "d");
  presence.publish(true);
  presence.onMessage(2, { kind: "beat", version: 6, count: 4 });
  presence.publish(true);
  assertEquals([known(), asked], [["a", "b"], [{ kind: "ask", of: 2 }, { kind: "ask", of: 2 }]]);
  const people = (...ids: string[]) => ids.map((id) => ({ id }));
  presence.onMessage(2, {
    kind: "all",
    version: 6,
    count: 3,
    isFirst: true,
    joined: people("b", "c"),
  });
  assertEquals(known(), ["a", "b"]);
  presence.onMessage(2, { kind: "all", version: 6, count: 3, isFirst: false, joined: people("d") });
  assertEquals(known().sort(), ["b", "c", "d"]);
});

Deno.test(
  "many changes of a large group are told without telling of everybody",
  { permissions },
  () => {
    let told: PresenceMessage[] = [];
    let version = 0;
    const make = (sender: number): Presence =>
      new Presence(sender, {
        maxPeople: 100,
        now: () => 0,
        publish: (message) => void told.push(message),
        isMember: () => true,
        nextVersion: () => ++version,
        onDue: () => {},
        onJoin: () => {},
        onLeave: () => {},
      });
    const [here, there] = [make(1), make(2)];
    const tell = (): PresenceMessage[] => {
      told = [];
      here.publish(true);
      const messages = told;
      for (const message of messages) there.onMessage(1, message);
      return messages;
    };
    const idsOf = ({ people }: Presence): string[] => [...people].map(({ id }) => id).sort();
    const members = Array.from({ length: 1000 }, (_, at) => ({ id: `${at}` }));
    for (const member of members) here.enter(member, member);
    assertEquals(new Set(tell().map(({ kind }) => kind)), new Set(["all"]));
    for (
      const [joins, leaves, messages] of [[50, 50, 1], [130, 170, 3], [0, 101, 2], [250, 0, 3]]
    ) {
      for (const member of members.splice(0, leaves)) here.leave(member);
      for (let at = 0; at < joins!; at++) {
        const member = { id: `${version} ${at}` };
        members.push(member);
        here.enter(member, member);
      }
      assertEquals(tell().map(({ kind }) => kind), Array(messages).fill("change"));
      assertEquals(idsOf(there), idsOf(here));
    }
    for (const member of members.splice(10)) here.leave(member); // the others are fewer
    assertEquals(tell().map(({ kind }) => kind), ["all"]);
    assertEquals(idsOf(there), idsOf(here));
    told = [];
    there.publish(true);
    assertEquals(told, []); // it has missed nothing
  },
);

Deno.test("messages about presence that are malformed are told, and change nothing", {
  permissions,
}, async () => {
  using sessions = new Sessions();
  const errors: unknown[] = [];
  const bus = new TestNetwork().bus();
  await using hub = new Hub({ bus, onError: (error) => void errors.push(error) });
  await hub.join("hall", sessions.open(), { id: "anna" });
  const change = { kind: "change", version: 1, from: 0, count: 1, joined: [{ id: "x" }], left: [] };
  const wrong: unknown[] = [
    ...[null, 7, [], {}, { kind: "beat" }, { kind: "nod", version: 1, count: 1 }],
    ...[{ kind: "ask", of: "me" }, { ...change, joined: [null] }, { ...change, joined: {} }],
    ...[{ ...change, left: [1] }, { ...change, from: "0" }, { ...change, count: 0.5 }],
  ];
  const payloads = wrong.map((one) => new TextEncoder().encode(JSON.stringify(one)));
  payloads.push(new Uint8Array([0xff]), new Uint8Array(0));
  for (const [at, payload] of payloads.entries()) {
    const batch = new Outgoing(PRESENCE, "hall", { key: "", payload });
    bus.listener!.onMessage(batch.encode({ sender: 5, epoch: 1, number: at + 1, elapsed: 0 }));
  }
  assertEquals(errors.length, payloads.length);
  for (const error of errors) assertInstanceOf(error, MalformedFrameError);
  assertEquals(ids(hub), ["anna"]);
  assert(decodePresence(encodePresence(change as never)));
});
