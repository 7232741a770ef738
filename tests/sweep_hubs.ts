/**
 * Simulates hubs with many seeds, and checks what they promise.
 *
 *     deno run tests/sweep_hubs.ts [SEEDS] [FIRST]
 *
 * @module
 */

import { FAULTS, simulate } from "./hub/_simulation.ts";

if (import.meta.main) {
  const [seeds = 2000, first = 0] = Deno.args.map(Number);
  for (let seed = first; seed < first + seeds; seed++) {
    for (const [name, faults] of Object.entries(FAULTS)) {
      await simulate(seed, faults).catch((cause) => {
        throw new Error(`seed ${seed}, a bus that ${name}`, { cause });
      });
    }
    if ((seed + 1 - first) % 100 === 0) console.log(`${seed + 1 - first} seeds`);
  }
}
