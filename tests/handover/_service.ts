// The service of the tests: it answers each line with the name of the process and the number of the line.

import { keep, kept } from "../../handover/mod.ts";
import type { Session } from "../../session.ts";

export function counting(name: string): (session: Session) => Promise<void> {
  return async (session) => {
    let count = kept(session) as number | undefined ?? 0;
    keep(session, count);
    for await (const line of session.lines()) {
      keep(session, ++count);
      await session.send(`${name} ${count} ${line}\n`);
    }
  };
}
