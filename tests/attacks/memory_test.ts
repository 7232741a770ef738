// Crowds that each have a server hold as much as it lets one of them. `deno task besiege` has larger ones.

import { assert, assertLess } from "@std/assert";
import { hardLimit } from "../_attacked.ts";
import { ATTACKS, besiege, cannotBesiege, WAYS } from "../_memory_attacks.ts";

const MIB = 1024 * 1024;
/** What the server may hold here; by default it is 256 MiB. */
const LIMIT = 32 * MIB;
const CROWD = 250;
/** How long each goes on once the crowd has sent all that is taken. Those who do not read have hardly begun then. */
const SETTLING = 2_000;

for (const attack of ATTACKS) {
  for (const way of WAYS) {
    Deno.test(`serve() keeps its memory beside ${CROWD} who ${attack.name} ${way.name}`, {
      timeout: 120_000,
      ignore: cannotBesiege || await hardLimit() < CROWD + 200,
    }, async () => {
      const { before, peak, held, ended, answers, arrivals } = await besiege(
        attack,
        way,
        CROWD,
        LIMIT,
        SETTLING,
      );
      // If many are ended at once, what is held between is less.
      assert(held > LIMIT / 2 || ended > CROWD / 2, `${held} bytes were held, ${ended} ended`);
      assert(held < LIMIT * 1.5, `${held} bytes were held`);
      const count = answers.length + arrivals.length;
      assert(count > 2, `good clients were answered ${count} times`);
      // 45 to 80 MiB, with the sessions themselves; 160 and more if garbage or connections do not count.
      assertLess(peak - before, LIMIT + 128 * MIB);
    });
  }
}
