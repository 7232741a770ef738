import { assertEquals } from "@std/assert";
import { columnsOf, Sampler } from "../../admin/sampler.ts";
import { serve } from "../../serve/serve.ts";
import { memoryListener } from "../../transport/mod.ts";

Deno.test("Sampler keeps the samples of an hour, the newest ones", async () => {
  const listener = memoryListener();
  await using server = serve({ listener }, () => {});
  let told = 0;
  const sampler = new Sampler(new Map([["server", server]]), ([snapshot]) => {
    told++;
    assertEquals(snapshot!.name, "server");
  });
  for (let n = 0; n < 2000; n++) sampler.sample();
  const history = sampler.history("server");
  assertEquals([told, history.length], [2001, 1800]);
  const { time, active, workers } = columnsOf(history);
  assertEquals([time.length, active.at(-1), workers[0]], [1800, 0, []]);
  assertEquals(time, [...time as number[]].sort((one, other) => one - other));
  sampler.stop();
});
