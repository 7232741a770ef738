// What the buses over brokers have to do, with a real broker between two hubs.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { type Bus, type HistoryOptions, Hub } from "../../hub/mod.ts";
import type { Session } from "../../session.ts";
import { sessionPair } from "../../testing/mod.ts";
import { until } from "../_serving.ts";

/** A broker that runs, and buses to it. */
export interface Broker extends AsyncDisposable {
  /** A bus over connections of its own, which end with the broker. */
  bus(prefix?: string, history?: HistoryOptions): Promise<Bus>;
  signal(signal: Deno.Signal): void;
  /** Kills it with SIGKILL. */
  kill(): Promise<void>;
  restart(): Promise<void>;
}

/** Names that mean something to a broker, or that are alike once they are escaped or cut. */
export const NAMES: readonly string[] = [
  ...["hall", "Hall", "a.b", "a b", "a=b", "a=2eb", "*", ">", "a.*", "a.>", ".", "..", "=", "\0"],
  ...["$SYS.REQ", "_INBOX.1", "new\nline", "\r\nPUB x 1\r\na\r\n", "\ufeff", "ä", "🐇", "[a-z]?"],
  ...["x".repeat(1024), "x".repeat(1023) + "y", "€".repeat(1024), "€".repeat(1023) + "."],
];
const MAX_NAME = 1024;

/** A hub with one member. */
export class Side implements AsyncDisposable {
  readonly hub: Hub;
  readonly session: Session;
  readonly gaps: [from: number, to: number][] = [];
  readonly errors: unknown[] = [];
  readonly states: boolean[] = [];
  readonly lines: string[] = [];
  readonly #client: Session;
  readonly #reading: Promise<void>;

  constructor(bus: Bus) {
    this.hub = new Hub({
      bus,
      maxNameLength: MAX_NAME,
      onGap: (_, from, to) => void this.gaps.push([from, to]),
      onError: (error) => void this.errors.push(error),
      onBusChange: (isReady) => void this.states.push(isReady),
    });
    [this.#client, this.session] = sessionPair();
    this.#reading = this.#read();
  }

  async #read(): Promise<void> {
    for await (const line of this.#client.lines({ maxLength: 10_000 })) this.lines.push(line);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.hub.close();
    this.session.closeWrite();
    await this.#reading;
    await Promise.all([this.#client.close(), this.session.close()]);
  }
}

/** Groups with any names: each gets its own messages, in order, and those of no other prefix. */
export async function exchange(broker: Broker): Promise<void> {
  await using a = new Side(await broker.bus());
  await using b = new Side(await broker.bus());
  await using other = new Side(await broker.bus("other.prefix"));
  for (const name of NAMES) {
    await Promise.all([a, b, other].map(({ hub, session }) => hub.join(name, session)));
  }
  const sent: string[] = [];
  for (let i = 0; i < 20; i++) {
    for (const [at, name] of NAMES.entries()) {
      const line = `${at} ${i}`;
      sent.push(line);
      assert(a.hub.publish(name, `${line}\n`, { except: a.session }));
    }
  }
  assert(b.hub.publish("hall", "back\n", { except: b.session }));
  await until(() => b.lines.length >= sent.length && a.lines.length >= 1);
  for (const at of NAMES.keys()) { // order is promised for each group
    const ofGroup = (line: string): boolean => line.startsWith(`${at} `);
    assertEquals(b.lines.filter(ofGroup), sent.filter(ofGroup));
  }
  assertEquals(b.lines.length, sent.length);
  assertEquals(a.lines, ["back"]);
  assertEquals(other.lines, []);
  for (const { errors, gaps, states } of [a, b, other]) {
    assertEquals([errors, gaps, states], [[], [], []]);
  }
  assertThrows(
    () => a.hub.publish("hall", new Uint8Array(1024 * 1024)),
    RangeError,
    "a message has at most 1048576 bytes on this bus, got 1048610",
  );
}

/** A group that ends and begins again at once is subscribed, and one that has ended is not. */
export async function comeAndGo(broker: Broker): Promise<void> {
  await using a = new Side(await broker.bus());
  await using b = new Side(await broker.bus());
  for (let i = 0; i < 50; i++) {
    b.hub.join("hall", b.session);
    b.hub.leave("hall", b.session);
    await b.hub.join("hall", b.session);
    a.hub.publish("hall", `${i}\n`);
    await until(() => b.lines.length === i + 1);
    b.hub.leave("hall", b.session);
  }
  a.hub.publish("hall", "nobody is here\n");
  await b.hub.join("garden", b.session);
  a.hub.publish("garden", "last\n");
  await until(() => b.lines.includes("last"));
  assertEquals(b.lines, [...Array.from({ length: 50 }, (_, i) => `${i}`), "last"]);
  assertEquals([a.errors, b.errors], [[], []]);
}

/** Publishes `count` messages, which all arrive at the member in the same process. Returns how many were refused. */
async function publishMany({ hub, lines }: Side, count: number): Promise<number> {
  const before = lines.length;
  const filler = "-".repeat(1000);
  let refused = 0;
  for (let i = 0; i < count; i++) {
    if (!hub.publish("hall", `${before + i} ${filler}\n`)) refused++;
    if (i % 16 === 0) await until(() => lines.length === before + i + 1);
  }
  await until(() => lines.length === before + count);
  return refused;
}

/** What `to` has received and what it was told to have missed are all that `from` has published, in order. */
function assertAllTold(from: Side, to: Side): void {
  const arrived = to.lines.map((line) => parseInt(line) + 1);
  const missed = to.gaps.flatMap(([first, last]) =>
    Array.from({ length: last - first + 1 }, (_, i) => first + i)
  );
  assertEquals(arrived, arrived.toSorted((x, y) => x - y));
  assertEquals(
    [...arrived, ...missed].toSorted((x, y) => x - y),
    Array.from({ length: from.lines.length }, (_, i) => i + 1),
  );
  assertEquals(to.hub.stats().lost, missed.length);
}

/** The broker is killed and comes back. */
export async function outage(broker: Broker): Promise<void> {
  await using a = new Side(await broker.bus());
  await using b = new Side(await broker.bus());
  await Promise.all([a, b].map(({ hub, session }) => hub.join("hall", session)));
  assertEquals(await publishMany(a, 100), 0);
  await until(() => b.lines.length === 100);

  await broker.kill();
  await until(() => !a.hub.stats().isBusReady && !b.hub.stats().isBusReady);
  const refused = await publishMany(a, 3000);
  assert(refused > 1000, `${refused}`);
  assertEquals(a.hub.stats().unpublished, refused);
  assert(a.hub.stats().backlog <= 1024 * 1024);
  const joined = b.hub.join("garden", b.session);

  await broker.restart();
  await until(() => a.hub.stats().isBusReady && b.hub.stats().isBusReady);
  await joined; // and so is the group from before
  assertEquals(a.hub.stats().backlog, 0);
  const count = a.lines.length;
  assertEquals(await publishMany(a, 100), 0);
  await until(() => b.lines.at(-1)?.startsWith(`${count + 99} `) === true);
  assertAllTold(a, b);
  assert(b.hub.stats().lost >= refused);
  for (const { states } of [a, b]) assertEquals([states[0], states.at(-1)], [false, true]);
}

/** The broker stands still. */
export async function stall(broker: Broker): Promise<void> {
  await using a = new Side(await broker.bus());
  await using b = new Side(await broker.bus());
  await Promise.all([a, b].map(({ hub, session }) => hub.join("hall", session)));
  broker.signal("SIGSTOP");
  const refused = await publishMany(a, 10_000);
  // 1 MiB is on its way and 1 MiB waits.
  assert(refused > 6000, `${refused}`);
  assert(a.hub.stats().backlog <= 1024 * 1024);
  assert(!a.hub.stats().isBusReady);
  broker.signal("SIGCONT");
  await until(() => a.hub.stats().isBusReady);
  const count = a.lines.length;
  assertEquals(await publishMany(a, 100), 0);
  await until(() => b.lines.at(-1)?.startsWith(`${count + 99} `) === true);
  assertAllTold(a, b);
  assertEquals(b.hub.stats().lost, refused); // nothing else
  assertEquals([a.errors, b.errors], [[], []]);
  assertEquals([a.states[0], a.states.at(-1)], [false, true]);

  broker.signal("SIGSTOP");
  a.hub.join("garden", a.session);
  await Promise.all([a.hub.close(), b.hub.close()]); // does not wait for the broker
  broker.signal("SIGCONT");
}

/** All of them, by what they show. */
export const SCENES: Readonly<Record<string, (broker: Broker) => Promise<void>>> = {
  "carries groups of any names in order": exchange,
  "subscribes again at once": comeAndGo,
  "tells what was lost while the broker was dead": outage,
  "keeps a bounded backlog while the broker stands still": stall,
};
