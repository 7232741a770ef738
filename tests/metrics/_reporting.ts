// Serves and dials, reports it to OpenTelemetry, and ends when its input does.

import { metrics as metricsApi, trace } from "@opentelemetry/api";
import { connect, type NetAddr, reconnect, serve } from "../../mod.ts";
import { Metrics, traceSessions } from "../../metrics/mod.ts";

const metrics = new Metrics();
const spans = traceSessions(trace.getTracer("parley-test"));
const server = serve({ port: 0, observer: spans, onError: () => {} }, async (session) => {
  const line = await session.readLine({ maxLength: 10 });
  spans.spanOf(session)!.addEvent("greeting");
  await session.send(`hello, ${line}!\n`);
});
metrics.addServer("greeter", server);
metrics.report(metricsApi.getMeter("parley-test"));

const { port } = server.addr as NetAddr;
const observer = {
  ...metrics.clientObserver("greeted"),
  ...traceSessions(trace.getTracer("parley-test"), { name: "greeted", kind: "client" }),
};
let greetings = 0;
for await (const session of reconnect({ port, maxDelay: 1, observer })) {
  await session.send("rose\n");
  await session.readLine();
  if (++greetings === 3) break;
}
const rude = await connect({ port });
await rude.send("x".repeat(100));
await rude.readLine().catch(() => {});
rude.abort();
console.log("done");
for await (const _ of Deno.stdin.readable);
await server.shutdown();
