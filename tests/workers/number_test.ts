import { assertEquals } from "@std/assert";
import type { Session } from "../../mod.ts";
import { workerNumber } from "../../workers/mod.ts";
import { until } from "../_serving.ts";
import { dialEach, kill, serveCommands, stop, withWorkers } from "./_workers.ts";

async function numberOf(session: Session): Promise<number> {
  await session.send("number\n");
  return Number(await session.readLine());
}

Deno.test(
  "workerNumber() is that of the worker, also of one that was started again",
  withWorkers,
  async () => {
    const { server, deaths } = await serveCommands({ workers: 2 });
    const [victim, other] = await dialEach(server, 2);
    const numbers = await Promise.all([victim!, other!].map(numberOf));
    assertEquals(numbers.toSorted(), [0, 1]);
    await kill(victim!);
    await until(() => deaths.length === 1);
    assertEquals(deaths[0]![0], numbers[0]);
    await until(() => server.stats().workers.every(({ state }) => state === "serving"));
    const again = await dialEach(server, 2);
    assertEquals((await Promise.all(again.map(numberOf))).toSorted(), [0, 1]);
    await stop(server, [other!, ...again]);
  },
);

Deno.test("workerNumber() is undefined outside of a worker of serveWorkers()", () => {
  assertEquals(workerNumber(), undefined);
});
