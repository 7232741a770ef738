/**
 * Simulates hubs with many seeds, and checks what they promise.
 *
 *     deno run tests/sweep_hubs.ts [SEEDS] [FIRST]
 *
 * @module
 */

import { simulateHistory } from "./hub/_history_simulation.ts";
import { FAULTS, simulate } from "./hub/_simulation.ts";

if (import.meta.main) {
  const [seeds = 2000, first = 0] = Deno.args.map(Number);
  for (let seed = first; seed < first + seeds; seed++) {
    for (const [name, faults] of Object.entries(FAULTS)) {
      const tell = (cause: unknown): never => {
        throw new Error(`seed ${seed}, a bus that ${name}`, { cause });
      };
      await simulate(seed, faults).catch(tell);
      const { dies: _, ...others } = faults;
      for (const history of [undefined, 6]) {
        await simulateHistory(seed, { ...others, history }).catch(tell);
      }
    }
    if ((seed + 1 - first) % 100 === 0) console.log(`${seed + 1 - first} seeds`);
  }
}
