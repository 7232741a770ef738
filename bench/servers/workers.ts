// The echo of parley.ts in several threads.
//
//     WORKERS=2|auto deno run -A bench/servers/workers.ts echo-borrowed PORT

import process from "node:process";
import type { Session } from "../../mod.ts";
import { serveWorkers } from "../../workers/mod.ts";

export default async function echo(session: Session): Promise<void> {
  for await (const chunk of session.bytes({ borrow: true })) await session.send(chunk);
}

if (import.meta.main) {
  const { WORKERS: workers } = process.env;
  serveWorkers(import.meta.url, {
    port: Number(process.argv[3]),
    workers: workers === "auto" ? workers : Number(workers),
  });
}
