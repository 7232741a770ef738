// Serves and dials, reports it to OpenTelemetry, and ends when its input does.

import { metrics as metricsApi, trace } from "@opentelemetry/api";
import { connect, type NetAddr, reconnect, serve } from "../../mod.ts";
import { Hub } from "../../hub/mod.ts";
import { Metrics, traceMessages, traceSessions } from "../../metrics/mod.ts";
import { TestNetwork } from "../hub/_bus.ts";

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
const network = new TestNetwork();
const tracer = traceMessages(trace, spans);
const [here, there] = [1, 2].map(() => new Hub({ bus: network.bus(), tracer })) as [Hub, Hub];
const listener = serve({ port: 0, observer: spans }, async (session) => {
  await there.join("hall", session);
  trace.getTracer("parley-test").startActiveSpan("say", (span) => {
    here.publish("hall", "rose\n");
    span.end();
  });
  here.publish("hall", "think\n");
  for await (const _ of session);
});
const listening = await connect({ port: (listener.addr as NetAddr).port });
await listening.readLine();
await listening.readLine();
await listening.close();
await listener.shutdown();
await Promise.all([here.close(), there.close()]);
console.log("done");
for await (const _ of Deno.stdin.readable);
await server.shutdown();
