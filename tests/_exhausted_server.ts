// A server in a process with few descriptors. Its only argument is JSON: the options of `serve()`, and whether `console`
// is its logger. It says on standard output where it listens.

import { serve } from "../serve/serve.ts";
import { formatAddress } from "../transport/mod.ts";

const { log, ...options } = JSON.parse(Deno.args[0]!);

const server = serve({ ...options, ...(log && { logger: console }) }, async (session) => {
  for await (const line of session.lines()) {
    if (line === "fail") throw new Error("as you wish");
    await session.send(`${line}\n`);
  }
});
console.log(`listening on ${formatAddress(await server.listening)}`);
