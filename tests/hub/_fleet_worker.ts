// A worker of tests/hub/_fleet_server.ts: `join GROUP` is answered by `joined GROUP`, `say GROUP TEXT` goes to the group.

import { workerData } from "node:worker_threads";
import { connect } from "@nats-io/transport-node";
import { Hub, natsBus } from "../../hub/mod.ts";
import type { Handler } from "../../mod.ts";

const connection = await connect({ servers: workerData, maxReconnectAttempts: -1 });
const hub = new Hub({
  bus: natsBus(connection),
  onGap: (...gap) => console.log(`gap ${gap}`),
  onError: (error) => console.log(`error ${error}`),
});

const handler: Handler = async (session) => {
  for await (const line of session.lines()) {
    const [verb, group = ""] = line.split(" ");
    if (verb === "join") {
      await hub.join(group, session);
      session.send(`joined ${group}\n`);
    } else hub.publish(group, `${line.slice(verb!.length + group.length + 2)}\n`);
  }
};
export default handler;
