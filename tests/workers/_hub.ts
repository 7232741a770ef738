// A service of tests whose workers have a hub together: each line is a command.

import { setImmediate } from "node:timers/promises";
import { threadId } from "node:worker_threads";
import { Hub } from "../../hub/mod.ts";
import type { Session } from "../../mod.ts";
import { type ServiceOptions, workerBus } from "../../workers/mod.ts";

const gaps: string[] = [];
const hub = new Hub({
  bus: workerBus(),
  onGap: (group, from, to) => void gaps.push(`${group} ${from} ${to}`),
});

/** Keeps the thread busy. */
function spin(duration: number): void {
  for (const end = performance.now() + duration; performance.now() < end;);
}

/** Publishes numbered messages of a size, in one turn, and returns how many were not taken for all. */
async function flood(group: string, count: number, size: number): Promise<number> {
  const before = hub.stats().unpublished;
  for (let at = 0; at < count; at++) hub.publish(group, `${at} `.padEnd(size - 1) + "\n");
  await setImmediate(); // the bus has got the last of them
  return hub.stats().unpublished - before;
}

const COMMANDS: Record<string, (session: Session, ...rest: string[]) => unknown> = {
  thread: () => threadId,
  join: async (session, group) => {
    await hub.join(group!, session);
    return `joined ${group}`;
  },
  leave: (session, group) => hub.leave(group!, session),
  say: (session, group, text) => hub.publish(group!, `${text}\n`, { except: session }),
  flood: (_, group, count, size) => flood(group!, Number(count), Number(size)),
  spin: (_, duration) => spin(Number(duration)),
  gaps: () => gaps.splice(0).join(", "),
  second: () => {
    try {
      return new Hub({ bus: workerBus() });
    } catch (error) {
      return error;
    }
  },
  die: () =>
    setTimeout(() => {
      throw new Error("told to die");
    }),
};

export default async function serve(session: Session): Promise<void> {
  for await (const line of session.lines()) {
    const [command, ...rest] = line.split(" ");
    await session.send(`= ${await COMMANDS[command!]!(session, ...rest)}\n`);
  }
}

export const options: ServiceOptions = {
  onError: () => {},
  maxBufferedOutput: 64 * 1024 * 1024,
};
