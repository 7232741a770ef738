import { assertEquals } from "@std/assert";
import { until } from "../_serving.ts";
import { localhost, overTls } from "../_tls_serving.ts";
import { dial, kill, serveCommands, stop, withWorkers } from "./_workers.ts";

Deno.test("WorkersServer.reloadTls() keeps tls.mode in workers that start again", {
  ...withWorkers,
  ignore: withWorkers.ignore || overTls.ignore,
}, async () => {
  const tls = { ...localhost, mode: "detect" } as const;
  const { server, deaths } = await serveCommands({ workers: 1, tls });
  server.reloadTls(localhost);
  await kill(await dial(server));
  await until(() => deaths.length === 1 && server.stats().workers[0]!.state === "serving");
  const client = await dial(server);
  await client.send("thread\n");
  assertEquals(Number.isInteger(Number(await client.readLine() ?? NaN)), true);
  await stop(server, [client]);
});
