// What workers of tests serve: a hub whose numbers the main thread gets.

import { threadId } from "node:worker_threads";
import { Hub } from "../../hub/mod.ts";
import { Metrics } from "../../metrics/mod.ts";
import type { Session } from "../../mod.ts";

const hub = new Hub();
export const metrics: Metrics = new Metrics();
metrics.addHub("news", hub);
metrics.clientObserver("unused");

export default async function serve(session: Session): Promise<void> {
  hub.join("hall", session);
  for await (const line of session.lines()) {
    if (line === "thread") await session.send(`${threadId}\n`);
    else if (line === "die") {
      setTimeout(() => {
        throw new Error("told to die");
      });
    } else if (line === "block") {
      for (const until = performance.now() + 300; performance.now() < until;);
    } else hub.publish("hall", `${line}\n`);
  }
}

export const options = { onError: (): void => {} };
