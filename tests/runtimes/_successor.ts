// A process that takes sessions over.

import process from "node:process";
import { serve } from "@parley/tcp";
import { kept, takeOver } from "@parley/tcp/handover";

const server = serve({ port: 0 }, async (session) => {
  for await (const line of session.lines()) await session.send(`${kept(session)}:${line}\n`);
});
takeOver(server, process);
process.send!("ready");
