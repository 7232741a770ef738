// A server that uses up the descriptors of its process, so that its handler fails.

import { connect } from "../connect/connect.ts";
import { serve } from "../serve/serve.ts";

const held: Deno.FsFile[] = [];

function exhaust(): unknown {
  try {
    for (;;) held.push(Deno.openSync("/dev/null"));
  } catch (error) {
    return (error as { code?: string }).code;
  }
}

const server = serve({ port: 0 }, async (session) => {
  await session.readLine();
  console.log(exhaust());
  session.lines({ maxLength: -1 });
});
const client = await connect({ port: (server.addr as Deno.NetAddr).port });
await client.send("go\n");
for await (const _ of client);
await client.close();
server.abort();
for (let turn = 0; turn < 100; turn++) { // what the runtime does by itself, it has done by then
  exhaust();
  await new Promise((resolve) => setTimeout(resolve, 10));
}
