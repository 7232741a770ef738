// A chat that workers serve: each session gets the number of its thread, and then all lines of all sessions.

import { threadId } from "node:worker_threads";
import type { Session } from "@parley/tcp";
import { Hub } from "@parley/tcp/hub";
import { workerBus } from "@parley/tcp/workers";

const hub = new Hub({ bus: workerBus() });

export default async function chat(session: Session): Promise<void> {
  await hub.join("hall", session);
  await session.send(`${threadId}\n`);
  for await (const line of session.lines()) hub.publish("hall", `${line}\n`);
}
