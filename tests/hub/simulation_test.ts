import { assert, assertEquals, assertThrows } from "@std/assert";
import { HubNetwork, type HubNetworkOptions, sessionPair } from "../../testing/mod.ts";
import { FAULTS, simulate } from "./_simulation.ts";

/** How many seeds each test takes. `deno task sweep:hubs` takes more. */
const SEEDS = 60;

for (const [name, faults] of Object.entries(FAULTS)) {
  Deno.test(`hubs keep their promises on a bus that ${name}`, { permissions: "none" }, async () => {
    for (let seed = 0; seed < SEEDS; seed++) {
      try {
        await simulate(seed, faults);
      } catch (error) {
        throw new Error(`with seed ${seed}`, { cause: error });
      }
    }
  });
}

Deno.test(
  "HubNetwork does the same again with the same seed",
  { permissions: "none" },
  async () => {
    const run = async (): Promise<number[]> => {
      const network = new HubNetwork({ seed: 1, lose: 0.5, outage: 0.2 });
      const [a, b] = [network.hub(), network.hub()];
      const received: number[] = [];
      const [client, session] = sessionPair();
      b.join("hall", session);
      for (let step = 0; step < 50; step++) {
        await network.advance(100);
        a.publish("hall", "x");
        received.push(b.stats().received);
      }
      client.abort();
      session.abort();
      return received;
    };
    const first = await run();
    assertEquals(await run(), first);
    assert(first.at(-1)! > 5 && first.at(-1)! < 45, `${first}`);
  },
);

Deno.test("HubNetwork checks its options", { permissions: "none" }, () => {
  const wrong: [HubNetworkOptions, string][] = [
    [{ seed: -1 }, "seed must be"],
    [{ delay: 60_001 }, "delay must be"],
    [{ lose: 1.1 }, "lose must be from 0 to 1, got 1.1"],
    [{ duplicate: NaN }, "duplicate must be"],
    [{ reorder: "1" as never }, "reorder must be a number, got a string"],
    [{ outage: 1 }, "outage must be from 0 to 0.9"],
  ];
  for (const [options, says] of wrong) assertThrows(() => new HubNetwork(options), Error, says);
});
