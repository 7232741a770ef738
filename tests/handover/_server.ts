// A process that takes sessions over, and hands them over or stops when it is told to.

import process from "node:process";
import { handOver, type HandoverChannel, takeOver } from "../../handover/mod.ts";
import { serve } from "../../serve/serve.ts";
import { counting } from "./_service.ts";

const [, , name = "", options = "{}"] = process.argv;
const server = serve({ port: 0, transport: "node", ...JSON.parse(options) }, counting(name));
const channel: HandoverChannel = process;
takeOver(server, channel);
process.on("message", async (message) => {
  if (message === "hand over") {
    while (server.sessions.size > 0) await handOver(server, channel);
    process.send!("done");
  } else if (message === "stop") {
    await server.shutdown();
    process.disconnect!();
  }
});
await server.listening;
process.send!(server.addr);
