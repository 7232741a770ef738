// A server on two sockets that were passed to it: it says which one a session came from.

import assert from "node:assert";
import process from "node:process";
import { listenFd, serve } from "@parley/tcp";

const servers = ["tcp", "unix"].map((name) =>
  serve({ listener: listenFd({ name }), onError: () => {} }, async (session) => {
    for await (const line of session.lines()) await session.send(`${name}:${line}\n`);
  })
);
assert.throws(() => listenFd({ name: "tcp" }), /descriptor 3 is taken already/);
assert.throws(() => listenFd({ name: "udp" }), /no socket with the name "udp"/);
process.on("SIGTERM", () => servers.forEach((server) => server.shutdown()));
await Promise.all(servers.map(({ finished }) => finished));
process.exit(0);
