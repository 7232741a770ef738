// A random life of several hubs, and what must hold in each.

import { assert, assertEquals } from "@std/assert";
import type { Hub } from "../../hub/mod.ts";
import type { Session } from "../../session.ts";
import { HubNetwork, type HubNetworkOptions, sessionPair } from "../../testing/mod.ts";
import { randomFrom } from "../../testing/disturb.ts";

/** The longest that a process that has died may be listed, in milliseconds. */
const INTERVAL = 1000;

/** A member of a group, in one process. */
interface Member {
  readonly group: string;
  readonly hub: number;
  readonly client: Session;
  readonly session: Session;
  readonly id: string;
  /** How many messages each hub had published to the group when the member was certainly subscribed. */
  from: number[] | undefined;
  /** The same when it left. */
  to: number[] | undefined;
}

/** A hub and what it was told. */
interface Process {
  readonly hub: Hub;
  readonly gaps: Map<string, number[]>;
  /** Who is in each group, by the calls of `onJoin` and `onLeave`. */
  readonly told: Map<string, Set<string>>;
  isDead: boolean;
}

/** What happens in a simulation. */
export interface Faults extends Omit<HubNetworkOptions, "seed"> {
  /** Whether processes die. */
  dies?: boolean;
}

/** What a bus may do, by name. */
export const FAULTS: Record<string, Faults> = {
  "delays messages": { delay: 300 },
  "loses messages": { lose: 0.2 },
  "repeats messages": { duplicate: 0.3, delay: 100 },
  "reorders messages": { reorder: 0.5, delay: 100 },
  "goes away": { outage: 0.3 },
  "does all of it, while processes die": {
    ...{ delay: 100, lose: 0.1, duplicate: 0.1, reorder: 0.1, outage: 0.2, dies: true },
  },
};

/** Runs a simulation, and checks all promises. */
export async function simulate(seed: number, { dies = false, ...faults }: Faults): Promise<void> {
  const random = randomFrom(seed);
  const pick = (count: number): number => Math.floor(random() * count);
  const network = new HubNetwork({ seed, ...faults });
  const processes: Process[] = [];
  const members: Member[] = [];
  /** How many messages each hub has published to each group. */
  const published = new Map<string, number[]>();

  const addProcess = (): void => {
    const gaps = new Map<string, number[]>();
    const told = new Map<string, Set<string>>();
    const toldOf = (group: string): Set<string> => {
      if (!told.has(group)) told.set(group, new Set());
      return told.get(group)!;
    };
    const hub = network.hub({
      presenceInterval: INTERVAL,
      maxBacklog: 300,
      onGap: (group, from, to) => {
        assert(from <= to, `${from} to ${to}`);
        const all = gaps.get(group) ?? [];
        for (let number = from; number <= to; number++) all.push(number);
        gaps.set(group, all);
      },
      onJoin: (group, { id }) => {
        assert(!toldOf(group).has(id), `${id} joins ${group} twice`);
        toldOf(group).add(id);
      },
      onLeave: (group, { id }) => assert(toldOf(group).delete(id), `${id} leaves ${group} twice`),
      onError: (error) => {
        throw error;
      },
    });
    processes.push({ hub, gaps, told, isDead: false });
  };
  const countsOf = (group: string): number[] => {
    if (!published.has(group)) published.set(group, []);
    return published.get(group)!;
  };

  const steps: (() => void)[] = [
    function join(): void {
      const hub = pick(processes.length);
      if (processes[hub]!.isDead) return;
      // In `only N`, hub N alone publishes, so that it is known whose messages a gap is of. No one is listed.
      const group = random() < 0.5 ? "hall" : `only ${pick(processes.length)}`;
      const [client, session] = sessionPair();
      const id = `p${pick(6)}`;
      const member: Member = {
        ...{ group, hub, client, session, id, from: undefined, to: undefined },
      };
      members.push(member);
      const joined = group === "hall"
        ? processes[hub]!.hub.join(group, session, { id, info: { seed } })
        : processes[hub]!.hub.join(group, session);
      joined.then(() => {
        if (member.to === undefined) member.from = [...countsOf(group)];
      });
    },
    function leave(): void {
      const member = members[pick(members.length)];
      if (member === undefined || member.to !== undefined || processes[member.hub]!.isDead) return;
      processes[member.hub]!.hub.leave(member.group, member.session);
      member.to = [...countsOf(member.group)];
    },
    ...Array.from({ length: 6 }, () =>
      function publish(): void {
        const hub = pick(processes.length);
        if (processes[hub]!.isDead) return;
        const group = random() < 0.5 ? "hall" : `only ${hub}`;
        const counts = countsOf(group);
        counts[hub] = (counts[hub] ?? 0) + 1;
        processes[hub]!.hub.publish(group, `${hub} ${counts[hub]}\n`);
      }),
    function die(): void {
      const hub = pick(processes.length);
      const living = processes.filter(({ isDead }) => !isDead);
      if (!dies || random() < 0.8 || living.length < 2 || processes[hub]!.isDead) return;
      network.kill(processes[hub]!.hub);
      processes[hub]!.isDead = true;
      for (const member of members) {
        if (member.hub === hub) member.to ??= [...countsOf(member.group)];
      }
      addProcess();
    },
  ];

  for (let count = 2 + pick(3); count > 0; count--) addProcess();
  for (let step = 0; step < 120; step++) {
    steps[pick(steps.length)]!();
    if (random() < 0.4) await network.advance(pick(200));
  }
  network.calm();
  await network.advance(5 * INTERVAL); // those that have died are no longer listed
  for (const [hub, { isDead }] of processes.entries()) {
    if (isDead) continue;
    for (const group of ["hall", `only ${hub}`]) { // after which each gap is known
      const counts = countsOf(group);
      counts[hub] = (counts[hub] ?? 0) + 1;
      processes[hub]!.hub.publish(group, `${hub} ${counts[hub]}\n`);
    }
  }
  await network.advance(1000);

  checkPeople(processes, members);
  for (const member of members) {
    await checkMessages(member, processes, countsOf(member.group));
  }
  for (const { client, session } of members) {
    client.abort();
    session.abort();
  }
  await Promise.all(processes.map(({ hub }) => hub.close()));
  await network.advance(10);
}

/** All living processes that have members in the hall know who is there, and were told of each change once. */
function checkPeople(processes: Process[], members: Member[]): void {
  const present = members.filter(({ group, to }) => group === "hall" && to === undefined);
  const expected = [...new Set(present.map(({ id }) => id))].sort();
  for (const [at, { hub, told, isDead }] of processes.entries()) {
    if (isDead || !present.some((member) => member.hub === at)) continue;
    const people = [...hub.people("hall")].map(({ id }) => id).sort();
    assertEquals(people, expected);
    if (members.every(({ group, hub, to }) => group !== "hall" || hub !== at || to === undefined)) {
      assertEquals([...told.get("hall")!].sort(), expected);
    }
  }
}

async function checkMessages(
  { group, hub, client, session, from, to }: Member,
  processes: Process[],
  counts: number[],
): Promise<void> {
  const { hub: own, gaps } = processes[hub]!;
  session.closeWrite();
  const got: number[][] = Array.from(counts, () => []);
  for await (const line of client.lines()) {
    const [sender, number] = line.split(" ").map(Number) as [number, number];
    const last = got[sender]!.at(-1) ?? 0;
    assert(number > last, `${number} after ${last} in ${group}`); // in order, and once
    got[sender]!.push(number);
  }
  const told = new Set(gaps.get(group));
  for (const [sender, numbers] of got.entries()) {
    if (from === undefined) continue;
    const first = from[sender] ?? 0;
    // Nothing tells of what is lost at the end: of a membership, or of what a process that has died has published.
    const isOpen = to === undefined && !processes[sender]!.isDead;
    const end = isOpen ? counts[sender] ?? 0 : numbers.at(-1) ?? 0;
    // From what was published by this process, nothing is lost. From what others have published, each gap is told.
    for (let number = first + 1; number <= end; number++) {
      if (numbers.includes(number)) continue;
      assert(sender !== hub, `${number} of its own process is missing in ${group}`);
      if (group === "hall") assert(own.stats().lost > 0);
      else assert(told.has(number), `${number} of ${group} is lost and not told`);
    }
    if (group === "hall") continue;
    for (const number of numbers) {
      if (number > first) assert(!told.has(number), `${number} of ${group} is no gap`);
    }
  }
}
