import { clearTimeout, setTimeout } from "node:timers";
import { MessageChannel } from "node:worker_threads";
import type { SessionsAnswer, SessionsQuestion } from "./inside.ts";
import type { Member } from "./member.ts";

/** How long a worker may take to answer, in milliseconds. One that dies or is busy does not answer. */
const TIMEOUT = 2_000;

/** Asks a worker about its sessions. Resolves to `undefined` if it does not answer in time. */
export function ask(
  member: Member,
  question: SessionsQuestion,
): Promise<SessionsAnswer | undefined> {
  if (!member.isServing) return Promise.resolve(undefined);
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve) => {
    const finish = (answer?: SessionsAnswer): void => {
      clearTimeout(timer);
      port1.close();
      resolve(answer);
    };
    const timer = setTimeout(finish, TIMEOUT);
    port1.once("message", finish);
    member.post({ kind: "sessions", question, port: port2 }, [port2]);
  });
}
