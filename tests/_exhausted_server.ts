// A server for a process with few descriptors: says on standard output what it is told, one JSON value a line, and
// ends with standard input.

import { serve } from "../serve/serve.ts";

function say(...words: unknown[]): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify(words)}\n`));
}

const server = serve({
  port: 0,
  idleTimeout: Infinity,
  observer: {
    onSessionStart: () => say("start"),
    onSessionEnd: () => say("end"),
    onAcceptError: (error, retryIn) => say("accept", (error as { code?: string }).code, retryIn),
  },
}, async (session) => {
  for await (const line of session.lines()) await session.send(`${line}!\n`);
});
say("port", (server.addr as Deno.NetAddr).port);

while (await Deno.stdin.read(new Uint8Array(64)) !== null);
server.abort();
await server.finished;
const { active, accepted } = server.stats();
say("finished", active, accepted);
