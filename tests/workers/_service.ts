// What the workers of tests serve: each line is a command.

import process from "node:process";
import { threadId } from "node:worker_threads";
import type { Session } from "../../mod.ts";
import { workerNumber } from "../../workers/mod.ts";

/** Keeps the thread busy. It ends by itself, since Deno could not end it. */
function spin(duration: number): void {
  for (const end = performance.now() + duration; performance.now() < end;);
}

async function eatMemory(): Promise<never> {
  const eaten: unknown[] = [];
  for (;;) {
    for (let i = 0; i < 100; i++) eaten.push(new Array(1000).fill(1.5));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

const COMMANDS: Record<string, (argument: number) => unknown> = {
  thread: () => threadId,
  number: () => workerNumber(),
  die: () =>
    setTimeout(() => {
      throw new Error("told to die");
    }),
  reject: () => void Promise.reject(new Error("told to reject")),
  exit: () => setTimeout(() => process.exit(3)),
  eat: () => void eatMemory(),
  spin,
  throw: () => {
    throw new Error("told to throw");
  },
};

export default async function serve(session: Session): Promise<void> {
  for await (const line of session.lines()) {
    const [command, argument] = line.split(" ");
    const result = COMMANDS[command!]!(Number(argument));
    await session.send(`${result}\n`);
  }
}

export const options = { onError: (): void => {} };
