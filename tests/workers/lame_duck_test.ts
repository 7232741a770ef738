import { assert, assertEquals, assertThrows } from "@std/assert";
import { serveWorkers } from "../../workers/mod.ts";
import { until } from "../_serving.ts";
import { dial, dialEach, kill, serveCommands, service, stop, withWorkers } from "./_workers.ts";

/** A delay that no test waits for. */
const LONG = 1_000_000;

Deno.test(
  "WorkersServer.shutdown() with a drainDelay serves on for that time",
  withWorkers,
  async () => {
    const states: string[] = [];
    const { server } = await serveCommands({
      drainDelay: LONG,
      observer: { onStateChange: (state) => void states.push(state), onWorkerEnd: () => {} },
    });
    const finished = server.shutdown();
    assertEquals(server.state, "lame-duck");
    const clients = await dialEach(server, 2);
    const [victim] = clients;
    await kill(victim!);
    await until(() => server.stats().workers.some(({ deaths }) => deaths === 1));
    await until(() => server.stats().workers.every(({ state }) => state === "serving"));
    const others = await dialEach(server, 2);
    server.shutdown(); // no change
    assertEquals(server.state, "lame-duck");
    server.shutdown({ drainDelay: 0 });
    for (const client of [...clients.slice(1), ...others]) {
      assertEquals(await client.readLine(), undefined);
      await client.close();
    }
    await finished;
    assertEquals(states, ["listening", "lame-duck", "draining", "closed"]);
  },
);

Deno.test("WorkersServer.shutdown() drains when the drainDelay is over", withWorkers, async () => {
  const { server } = await serveCommands({ drainDelay: LONG });
  const clients = await dialEach(server, 2); // accepted: what waits in the backlog would be reset
  const finished = server.shutdown({ drainDelay: 20 });
  for (const client of clients) {
    assertEquals(await client.readLine(), undefined);
    await client.close();
  }
  await finished;
});

Deno.test(
  "WorkersServer.suspend() and resume() apply during the drainDelay",
  withWorkers,
  async () => {
    const { server } = await serveCommands({ drainDelay: LONG });
    server.suspend();
    server.shutdown();
    const client = await dial(server);
    await client.send("thread\n");
    assertEquals(server.state, "lame-duck");
    server.resume();
    assertEquals(server.state, "lame-duck");
    assert(await client.readLine());
    await stop(server, [client]);
  },
);

Deno.test("serveWorkers() refuses a drainDelay that is out of range", withWorkers, () => {
  const options = { port: 0, drainDelay: Infinity };
  assertThrows(() => serveWorkers(service("_service"), options), RangeError, "drainDelay must be");
});
