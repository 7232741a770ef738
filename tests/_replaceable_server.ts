// A server that is replaced under load. Its argument is JSON: where it listens, `null` for the socket that was passed.

import process from "node:process";
import { listenFd, serve } from "../mod.ts";

const [settings] = process.argv.slice(2);
const { where, drainDelay = 0, tls } = JSON.parse(settings!);

const server = serve({
  ...(where ?? { listener: listenFd() }),
  drainDelay,
  tls,
  shutdownTimeout: 2000,
  goodbye: (reason) => reason === "drain" ? "bye\n" : undefined,
}, async (session) => {
  // A single reading goes on while the server drains, so that whoever was accepted gets an answer.
  switch (await session.readLine()) {
    case "health": // of a balancer
      return await session.send(server.state === "listening" ? "up\n" : "down\n");
    case "visit":
      return await session.send(`${process.pid}\n`);
    case "stay":
      for await (const line of session.lines()) await session.send(`${line}\n`);
  }
});
console.log(JSON.stringify(await server.listening));
process.on("SIGTERM", () => server.shutdown());
await server.finished;
