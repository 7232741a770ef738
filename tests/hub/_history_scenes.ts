// What the buses with a history have to do, with a real broker between hubs.

import { assert, assertEquals } from "@std/assert";
import type { Hub, JoinOptions } from "../../hub/mod.ts";
import type { Session } from "../../session.ts";
import { sessionPair } from "../../testing/mod.ts";
import { until } from "../_serving.ts";
import { type Broker, NAMES, Side } from "./_brokers.ts";

/** A further member of a group. */
class Visitor implements AsyncDisposable {
  readonly session: Session;
  readonly lines: string[] = [];
  readonly joined: Promise<void>;
  readonly #client: Session;
  readonly #reading: Promise<void>;

  constructor(hub: Hub, group: string, options: JoinOptions) {
    [this.#client, this.session] = sessionPair();
    this.#reading = this.#read();
    this.joined = hub.join(group, this.session, options);
  }

  async #read(): Promise<void> {
    for await (const line of this.#client.lines()) this.lines.push(line);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.session.closeWrite();
    await this.#reading;
    await Promise.all([this.#client.close(), this.session.close()]);
  }
}

/** The texts of some numbers, `from` and `to` included. */
function numbers(from: number, to: number): string[] {
  return Array.from({ length: to - from + 1 }, (_, at) => `${from + at}`);
}

function publishNumbers(hub: Hub, group: string, from: number, to: number): void {
  for (const number of numbers(from, to)) assert(hub.publish(group, `${number}\n`));
}

/** Those who come later get what they ask for, whatever the group is called. */
async function replay(broker: Broker): Promise<void> {
  await using a = new Side(await broker.bus("parley", {}));
  await using b = new Side(await broker.bus("parley", {}));
  await using other = new Side(await broker.bus("other", {}));
  for (const name of NAMES) {
    publishNumbers(a.hub, name, 1, 5);
    await using all = new Visitor(b.hub, name, { last: 100 });
    await until(() => all.lines.length === 5); // all of them are stored
    await using last = new Visitor(b.hub, name, { last: 3 });
    await using none = new Visitor(other.hub, name, { last: 100 });
    await Promise.all([all.joined, last.joined, none.joined]);
    await until(() => last.lines.length === 3);
    const since = b.hub.position(name, last.session)!;
    b.hub.leaveAll(last.session);
    publishNumbers(b.hub, name, 6, 8);
    await until(() => all.lines.length === 8);
    await using back = new Visitor(a.hub, name, { since });
    await back.joined;
    publishNumbers(a.hub, name, 9, 10);
    await until(() => all.lines.length === 10 && back.lines.length === 5);
    assertEquals(last.lines, numbers(3, 5));
    assertEquals(all.lines, numbers(1, 10));
    assertEquals(back.lines, numbers(6, 10));
    assertEquals(none.lines, []);
  }
  for (const { errors, gaps } of [a, b, other]) assertEquals([errors, gaps], [[], []]);
}

/** Sessions come while much is published, here and elsewhere, and each one gets everything once. */
async function join(broker: Broker): Promise<void> {
  await using a = new Side(await broker.bus("parley", {}));
  await using b = new Side(await broker.bus("parley", {}));
  await Promise.all([a, b].map(({ hub, session }) => hub.join("hall", session)));
  const visitors: Visitor[] = [];
  const filler = "-".repeat(200);
  const turns = 20;
  for (let turn = 0; turn < turns; turn++) {
    for (const [name, { hub }] of [["a", a], ["b", b]] as const) {
      for (let i = 0; i < 10; i++) hub.publish("hall", `${name} ${turn * 10 + i} ${filler}\n`);
    }
    const { hub } = turn % 2 === 0 ? a : b;
    const options = turn % 4 < 2 ? { last: 10_000 } : { since: "0" };
    visitors.push(new Visitor(hub, "hall", options));
    await new Promise((resolve) => setTimeout(resolve));
  }
  await Promise.all(visitors.map(({ joined }) => joined));
  await until(() => visitors.every(({ lines }) => lines.length >= 20 * turns));
  for (const { lines } of visitors) {
    for (const name of ["a", "b"]) {
      const own = lines.filter((line) => line.startsWith(name)).map((line) => line.split(" ")[1]!);
      assertEquals(own, numbers(0, 10 * turns - 1));
    }
  }
  for (const { errors, gaps } of [a, b]) assertEquals([errors, gaps], [[], []]);
  for (const visitor of visitors) await visitor[Symbol.asyncDispose]();
}

/** The broker is killed and comes back: what was published meanwhile arrives, and what was on its way. */
async function outage(broker: Broker): Promise<void> {
  await using a = new Side(await broker.bus("parley", {}));
  await using b = new Side(await broker.bus("parley", {}));
  await Promise.all([a, b].map(({ hub, session }) => hub.join("hall", session)));
  publishNumbers(a.hub, "hall", 1, 100);
  await until(() => b.lines.length === 100);
  const since = b.hub.position("hall", b.session)!;
  publishNumbers(a.hub, "hall", 101, 400);
  await broker.kill();
  await until(() => !a.hub.stats().isBusReady && !b.hub.stats().isBusReady);
  publishNumbers(a.hub, "hall", 401, 600);
  await until(() => a.lines.length === 600); // in the same process, it goes on
  await using late = new Visitor(b.hub, "hall", { since });
  await broker.restart();
  await until(() => b.lines.length >= 600 && late.lines.length >= 500);
  await late.joined;
  publishNumbers(a.hub, "hall", 601, 610);
  await until(() => b.lines.length >= 610 && late.lines.length >= 510 && a.lines.length === 610);
  assertEquals(b.lines, numbers(1, 610));
  assertEquals(late.lines, numbers(101, 610));
  assertEquals([a.gaps, b.gaps, b.hub.stats().lost], [[], [], 0]);
}

/** The broker stands still: who comes waits, and nothing is lost. */
async function stall(broker: Broker): Promise<void> {
  await using a = new Side(await broker.bus("parley", {}));
  await using b = new Side(await broker.bus("parley", {}));
  await Promise.all([a, b].map(({ hub, session }) => hub.join("hall", session)));
  publishNumbers(a.hub, "hall", 1, 10);
  await until(() => b.lines.length === 10);
  broker.signal("SIGSTOP");
  await using late = new Visitor(a.hub, "hall", { last: 5 });
  await using gone = new Visitor(a.hub, "hall", { last: 5 });
  publishNumbers(a.hub, "hall", 11, 500);
  a.hub.leaveAll(gone.session);
  await gone.joined.catch(() => {}); // does not wait for the broker
  broker.signal("SIGCONT");
  await until(() => b.lines.length === 500 && late.lines.at(-1) === "500");
  await late.joined;
  publishNumbers(b.hub, "hall", 501, 501);
  await until(() => late.lines.at(-1) === "501" && b.lines.length === 501);
  assertEquals(b.lines, numbers(1, 501));
  assertEquals(late.lines, numbers(+late.lines[0]!, 501));
  assert(+late.lines[0]! >= 6 && late.lines.length >= 6, `${late.lines[0]}`);
  assertEquals(gone.lines, []);
  assertEquals([a.gaps, b.gaps, a.errors, b.errors], [[], [], [], []]);
}

/** What is not kept any more is told. */
async function forget(broker: Broker): Promise<void> {
  await using a = new Side(await broker.bus("parley", { maxMessages: 100 }));
  await using b = new Side(await broker.bus("parley", { maxMessages: 100 }));
  await Promise.all([a, b].map(({ hub, session }) => hub.join("hall", session)));
  publishNumbers(a.hub, "hall", 1, 10);
  await until(() => b.lines.length === 10);
  const since = b.hub.position("hall", b.session)!;
  publishNumbers(a.hub, "hall", 11, 1000);
  await until(() => b.lines.length === 1000);
  await using late = new Visitor(b.hub, "hall", { since });
  await late.joined;
  await using liar = new Visitor(b.hub, "hall", {
    since: "18446744073709551615-18446744073709551615",
  });
  await liar.joined;
  publishNumbers(a.hub, "hall", 1001, 1001);
  await until(() => late.lines.at(-1) === "1001" && liar.lines.length === 1);
  const first = +late.lines[0]!;
  assert(first > 700 && first <= 901, `${first}`);
  assertEquals(late.lines, numbers(first, 1001));
  assertEquals(b.gaps, [[0, 0], [0, 0]]);
  assertEquals([a.errors, b.errors], [[], []]);
}

/** What was published just before a hub closes arrives. */
async function close(broker: Broker): Promise<void> {
  await using a = new Side(await broker.bus("parley", {}));
  await using b = new Side(await broker.bus("parley", {}));
  await b.hub.join("hall", b.session);
  publishNumbers(a.hub, "hall", 1, 300);
  await new Promise((resolve) => setTimeout(resolve)); // some are on their way
  publishNumbers(a.hub, "hall", 301, 900);
  await a.hub.close();
  await until(() => b.lines.length === 900);
  assertEquals(b.lines, numbers(1, 900));
  assertEquals([a.errors, b.errors, b.gaps], [[], [], []]);
}

/** All of them, by what they show. */
export const HISTORY_SCENES: Readonly<Record<string, (broker: Broker) => Promise<void>>> = {
  "replays what was published before": replay,
  "lets sessions in without a gap, and with nothing twice": join,
  "loses nothing while the broker is dead": outage,
  "waits for a broker that stands still": stall,
  "tells what it has not kept": forget,
  "sends what was published before it closes": close,
};
