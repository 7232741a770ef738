import { simulateHistory } from "./_history_simulation.ts";
import { FAULTS } from "./_simulation.ts";

/** How many seeds each test takes. `deno task sweep:hubs` takes more. */
const SEEDS = 20;

for (const [name, { dies: _, ...faults }] of Object.entries(FAULTS)) {
  for (const [keeps, history] of [["", undefined], [", and is short", 6]] as const) {
    Deno.test(
      `a history leaves no gap on a bus that ${name}${keeps}`,
      { permissions: "none" },
      async () => {
        for (let seed = 0; seed < SEEDS; seed++) {
          try {
            await simulateHistory(seed, { ...faults, history });
          } catch (error) {
            throw new Error(`with seed ${seed}`, { cause: error });
          }
        }
      },
    );
  }
}
