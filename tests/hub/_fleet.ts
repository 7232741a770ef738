// Groups over three processes with two workers each, of which one is killed. By hand, with 3,000 clients or as many as are
// given:
//
//     deno run --allow-all tests/hub/_fleet.ts 3000

import { assert, assertEquals } from "@std/assert";
import { connect, type Session } from "../../mod.ts";
import { startNats } from "../_nats.ts";
import { beLongPatient, Program } from "../_programs.ts";
import { until } from "../_serving.ts";

const GROUPS = 100;
const PROCESSES = 3;
/** How many messages each client publishes before and after a process is killed. */
const MESSAGES = 10;

/** A client in one group. A message of it is its number and the number of the message. */
class Member {
  readonly group: string;
  /** The numbers of the messages of each client in the group, as they have arrived. */
  readonly heard = new Map<number, number[]>();
  readonly #id: number;
  readonly #session: Session;
  readonly #joined = Promise.withResolvers<void>();
  #echo: PromiseWithResolvers<void> = Promise.withResolvers();
  #isLost = false;
  readonly #reading: Promise<void>;

  private constructor(id: number, session: Session) {
    this.#id = id;
    this.group = `group.${id % GROUPS}`;
    this.#session = session;
    this.#reading = this.#read();
  }

  static async enter(id: number, port: number): Promise<Member> {
    const member = new Member(id, await connect({ port }));
    await member.#session.send(`join ${member.group}\n`);
    await member.#joined.promise;
    return member;
  }

  async #read(): Promise<void> {
    try {
      for await (const line of this.#session.lines()) {
        const [from, number] = line.split(" ");
        if (from === "joined") this.#joined.resolve();
        else {
          const numbers = this.heard.get(Number(from)) ?? [];
          this.heard.set(Number(from), numbers);
          numbers.push(Number(number));
          if (Number(from) === this.#id) this.#echo.resolve();
        }
      }
    } catch { /* its process was killed */ }
    this.#isLost = true;
    this.#echo.resolve();
  }

  /** Publishes the messages of these numbers, each one when the one before has come back. */
  async talk(first: number, end: number): Promise<void> {
    for (let number = first; number < end && !this.#isLost; number++) {
      this.#echo = Promise.withResolvers();
      this.#session.send(`say ${this.group} ${this.#id} ${number}\n`);
      await this.#echo.promise;
    }
  }

  async leave(): Promise<void> {
    assert(!this.#isLost);
    this.#session.closeWrite();
    await this.end();
  }

  async end(): Promise<void> {
    await this.#reading;
    await this.#session.close();
  }
}

/** Waits until these have heard `count` messages of each client of their group that is not `lost`. */
async function untilHeard(
  members: Iterable<Member>,
  lost: ReadonlySet<number>,
  count: number,
): Promise<void> {
  for (const { heard } of members) {
    const hasAll = (): boolean =>
      heard.entries().every(([id, { length }]) => lost.has(id) || length >= count);
    await until(hasAll);
  }
}

/** These have heard each client of their group from its first message on, each message once and in order. */
function assertHeard(
  members: Iterable<Member>,
  perGroup: number,
  lost: ReadonlySet<number>,
  count: number,
): void {
  for (const { group, heard } of members) {
    assertEquals(heard.size, perGroup);
    for (const [id, numbers] of heard) {
      assertEquals(`group.${id % GROUPS}`, group);
      const length = lost.has(id) ? numbers.length : count; // its last ones died with its process
      assert(length >= MESSAGES);
      assertEquals(numbers, Array.from({ length }, (_, number) => number));
    }
  }
}

/** Runs it, and throws if a message is lost, repeated or out of order, or if somebody notices the death of a process. */
export async function runFleet(clients: number): Promise<void> {
  const { program, port } = await startNats();
  await using _nats = program;
  await using stack = new AsyncDisposableStack();
  const processes = Array.from({ length: PROCESSES }, () => {
    const args = ["run", "--quiet", "--allow-all", "tests/hub/_fleet_server.ts"];
    return stack.use(new Program("deno", [...args, `nats://127.0.0.1:${port}`]));
  });
  const ports = await Promise.all(
    processes.map(async ({ stdout }) => Number((await stdout.until(/port (\d+)\n/))[1])),
  );
  const members: Member[] = [];
  // The clients of a group are in all processes: their numbers differ by GROUPS, which is no multiple of PROCESSES.
  for (let id = 0; id < clients; id++) {
    members.push(await Member.enter(id, ports[id % PROCESSES]!));
  }
  await Promise.all(members.map((member) => member.talk(0, MESSAGES)));
  await untilHeard(members, new Set(), MESSAGES);
  assertHeard(members, clients / GROUPS, new Set(), MESSAGES);

  const lost = new Set(members.keys().filter((id) => id % PROCESSES === 0));
  const rest = members.filter((_, id) => !lost.has(id));
  const talks = members.map((member, id) =>
    member.talk(MESSAGES, lost.has(id) ? Infinity : 2 * MESSAGES)
  );
  await talks[1];
  processes[0]!.kill("SIGKILL");
  await Promise.all(talks);
  await untilHeard(rest, lost, 2 * MESSAGES);
  assertHeard(rest, clients / GROUPS, lost, 2 * MESSAGES);
  await Promise.all(rest.map((member) => member.leave()));
  await Promise.all(lost.values().map((id) => members[id]!.end()));
  for (const { stdout } of processes) assert(!/gap|error/.test(stdout.text), stdout.text);
}

if (import.meta.main) {
  beLongPatient();
  await runFleet(Number(Deno.args[0] ?? 3000));
  console.log("every message has arrived once and in order");
}
