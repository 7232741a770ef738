// A server that greets, with an admin server if its argument says so. It prints their ports.

import { serveAdmin } from "../../admin/mod.ts";
import { type NetAddr, serve } from "../../mod.ts";

const server = serve({
  hostname: "0.0.0.0", // on all addresses of loopback
  port: 0,
  maxSessions: 15_000,
  tcpBacklog: 4096,
}, async (session) => {
  await session.send("welcome!\n");
  for await (const _ of session);
});
const admin = Deno.args[0] === "admin" ? serveAdmin({ port: 0 }, { server }) : undefined;
console.log([server, admin].map((one) => (one?.addr as NetAddr | undefined)?.port ?? 0).join(" "));
