// A server whose handler is slow, and a TCP service beside it, for flood_test.ts.

import process from "node:process";
import { serve } from "../../serve/serve.ts";
import { serveDatagrams } from "../../datagram/mod.ts";

const overflow = Deno.args[0] as "drop-newest" | "drop-oldest";
const tcp = serve({ port: 0 }, async (session) => {
  for await (const line of session.lines()) {
    const { received, dropped, queuedBytes, active } = udp.stats();
    const { rss } = process.memoryUsage();
    await session.send(
      `${JSON.stringify({ line, received, dropped, queuedBytes, active, rss })}\n`,
    );
  }
});
const udp = serveDatagrams(
  { port: 0, overflow, maxHandlers: 10, maxQueuedBytes: 2 ** 20 },
  async (message, sender) => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    await sender.send(message);
  },
);
console.log(JSON.stringify([tcp.addr, udp.addr].map((addr) => (addr as Deno.NetAddr).port)));
