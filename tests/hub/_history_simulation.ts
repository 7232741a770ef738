// A random life of several hubs on a bus with a history, and what must hold in each.

import { assert, assertEquals } from "@std/assert";
import type { Hub, JoinOptions } from "../../hub/mod.ts";
import type { Session } from "../../session.ts";
import { HubNetwork, type HubNetworkOptions, sessionPair } from "../../testing/mod.ts";
import { randomFrom } from "../../testing/disturb.ts";

/** A member of a group, in one process. */
interface Member {
  readonly group: string;
  readonly hub: number;
  readonly client: Session;
  readonly session: Session;
  /** From where it has joined. */
  readonly since: Mark | undefined;
  /** How many messages each hub had published to the group when the group was subscribed. */
  from: number[] | undefined;
  isOut: boolean;
  /** Messages of its own hub that are not for it. */
  readonly excepted: Set<number>;
  /** Whether it was told that it alone has missed messages. */
  isTold: boolean;
  /** The lines that it got in the end. */
  lines: string[];
}

/** The position of a member, which the member was told of in a line. */
interface Mark {
  readonly name: string;
  readonly position: string;
  readonly member: Member;
}

/** More messages than are published. */
const WHOLE = 100_000;

/** Runs a simulation, and checks all promises. With enough history, nothing may be missing and no gap may be told. */
export async function simulateHistory(
  seed: number,
  { history = WHOLE, ...faults }: HubNetworkOptions,
): Promise<void> {
  const random = randomFrom(seed);
  const pick = (count: number): number => Math.floor(random() * count);
  const network = new HubNetwork({ seed, history, ...faults });
  const hubs: Hub[] = [];
  const dead = new Set<number>();
  const gaps = new Map<string, number>();
  const members: Member[] = [];
  const marks: Mark[] = [];
  /** How many messages each hub has published to each group. */
  const published = new Map<string, number[]>([["hall", []], ["garden", []]]);

  const addHub = (): void => {
    const at = hubs.length;
    hubs.push(network.hub({
      onGap: (group, from, to, session) => {
        assert(from <= to && from >= (session === undefined ? 1 : 0), `${from} to ${to}`);
        const member = members.find((member) => member.session === session);
        if (member === undefined) gaps.set(`${at} ${group}`, to);
        else member.isTold = true;
      },
      onError: (error) => {
        throw error;
      },
    }));
  };
  const pickGroup = (): string => random() < 0.7 ? "hall" : "garden";
  const publish = (hub: number, group: string): void => {
    const counts = published.get(group)!;
    const number = counts[hub] = (counts[hub] ?? 0) + 1;
    const here = members.filter((member) => member.hub === hub && member.group === group);
    const except = random() < 0.2 ? here[pick(here.length)] : undefined;
    except?.excepted.add(number);
    hubs[hub]!.publish(group, `${hub} ${number}\n`, { except: except?.session });
  };
  const join = (hub: number, group: string, options: JoinOptions, since?: Mark): void => {
    const [client, session] = sessionPair();
    const member: Member = {
      ...{ group, hub, client, session, since, from: undefined, isOut: false, lines: [] },
      ...{ excepted: new Set(), isTold: false },
    };
    members.push(member);
    hubs[hub]!.join(group, session, options).then(() => {
      member.from = [...published.get(group)!];
    });
  };

  const steps: (() => void)[] = [
    function joinNow(): void {
      const hub = pick(hubs.length);
      if (!dead.has(hub)) join(hub, pickGroup(), {});
    },
    function joinLast(): void {
      const hub = pick(hubs.length);
      if (!dead.has(hub)) join(hub, pickGroup(), { last: pick(20) });
    },
    ...Array.from({ length: 2 }, () =>
      function joinSince(): void {
        const hub = pick(hubs.length);
        const mark = marks[pick(marks.length)];
        if (mark === undefined || dead.has(hub)) return;
        join(hub, mark.member.group, { since: mark.position }, mark);
      }),
    ...Array.from({ length: 2 }, () =>
      function note(): void {
        const member = members[pick(members.length)];
        if (member === undefined || member.isOut) return;
        const position = hubs[member.hub]!.position(member.group, member.session);
        if (position === undefined) return;
        const mark = { name: `@${marks.length}`, position, member };
        marks.push(mark);
        member.session.send(`${mark.name}\n`);
      }),
    function leave(): void {
      const member = members[pick(members.length)];
      if (member === undefined || member.isOut) return;
      hubs[member.hub]!.leave(member.group, member.session);
      member.isOut = true;
    },
    ...Array.from({ length: 8 }, () =>
      function publishOne(): void {
        const hub = pick(hubs.length);
        if (!dead.has(hub)) publish(hub, pickGroup());
      }),
    function die(): void {
      const hub = pick(hubs.length);
      if (random() < 0.9 || dead.has(hub)) return;
      network.kill(hubs[hub]!);
      dead.add(hub);
      for (const member of members) member.isOut ||= member.hub === hub;
      addHub();
    },
  ];

  for (let count = 2 + pick(3); count > 0; count--) addHub();
  for (let step = 0; step < 200; step++) {
    steps[pick(steps.length)]!();
    if (random() < 0.4) await network.advance(pick(200));
  }
  network.calm();
  await network.advance(5000);
  for (let hub = 0; hub < hubs.length; hub++) {
    for (const group of published.keys()) {
      if (!dead.has(hub)) publish(hub, group);
    }
  }
  await network.advance(5000);

  for (const member of members) {
    member.session.closeWrite();
    member.lines = await Array.fromAsync(member.client.lines());
  }
  const isWhole = history === WHOLE;
  if (isWhole) {
    assertEquals([...gaps], []);
    assert(!members.some(({ isTold }) => isTold));
  }
  for (const member of members) {
    const counts = published.get(member.group)!;
    for (let sender = 0; sender < hubs.length; sender++) {
      const isTold = member.isTold || gaps.has(`${member.hub} ${member.group}`);
      checkMessages(member, sender, counts[sender] ?? 0, dead.has(sender), isTold);
    }
  }
  for (const { client, session } of members) {
    client.abort();
    session.abort();
  }
  await Promise.all(hubs.map((hub) => hub.close()));
  await network.advance(10);
}

/** The numbers of the messages of a sender. */
function numbersOf(lines: readonly string[], sender: number): number[] {
  return lines.filter((line) => line.startsWith(`${sender} `)).map((line) => +line.split(" ")[1]!);
}

/** What a member has got of one sender is in order, and nothing is missing unless it was told. */
function checkMessages(
  { group, hub, lines, since, from, isOut, excepted }: Member,
  sender: number,
  count: number,
  isDead: boolean,
  isTold: boolean,
): void {
  const numbers = numbersOf(lines, sender);
  const at = `of hub ${sender} at hub ${hub} in ${group}: ${numbers}`;
  for (const [i, number] of numbers.entries()) {
    assert(i === 0 || number > numbers[i - 1]!, `out of order, or twice: ${at}`);
  }
  let begin = numbers[0] ?? Infinity;
  if (from !== undefined && !isOut) begin = Math.min(begin, (from[sender] ?? 0) + 1);
  if (since !== undefined && from !== undefined && !isOut) {
    const { member, name } = since;
    const place = member.lines.indexOf(name);
    const last = numbersOf(member.lines.slice(0, place), sender).at(-1);
    const next = numbersOf(member.lines.slice(place), sender)[0];
    // What the hub of the mark has published may not have been stored then, and comes again.
    const isOther = sender !== member.hub;
    if (last !== undefined && isOther && !isTold) {
      assert(numbers.every((number) => number > last), `again after ${last} ${at}`);
    }
    const isExcepted = member.excepted.size > 0 && !isOther;
    if (next !== undefined && !isExcepted) begin = Math.min(begin, next);
  }
  const end = isOut || isDead ? numbers.at(-1) ?? 0 : count;
  for (let number = begin; number <= end; number++) {
    if (numbers.includes(number) || (sender === hub && excepted.has(number))) continue;
    assert(isTold, `${number} is missing ${at}`);
  }
}
