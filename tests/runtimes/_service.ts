// What workers serve: it answers with the number of their thread.

import { threadId } from "node:worker_threads";
import type { Session } from "@parley/tcp";

export default async function serve(session: Session): Promise<void> {
  for await (const line of session.lines()) await session.send(`${threadId}:${line}\n`);
}
