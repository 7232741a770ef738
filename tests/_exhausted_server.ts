// A server in a process with few descriptors. Its arguments are JSON: the options of `serve()`, and whether `console` is
// its logger; and its transport. It prints its address on standard output.

import { serve } from "../serve/serve.ts";
import { formatAddress } from "../transport/mod.ts";
import { setDefault } from "./_default_transport.ts";

const [settings, over] = Deno.args;
const { log, ...options } = JSON.parse(settings!);
setDefault(JSON.parse(over!));

const server = serve({ ...options, ...(log && { logger: console }) }, async (session) => {
  for await (const line of session.lines()) {
    if (line === "fail") throw new Error("as you wish");
    await session.send(`${line}\n`);
  }
});
console.log(`listening on ${formatAddress(await server.listening)}`);
