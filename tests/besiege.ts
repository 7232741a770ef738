/**
 * Attacks servers with crowds that want memory, and prints how much the process takes and how long good clients wait.
 *
 *     deno task besiege                        2,000 clients, 256 MiB, each attack in each way
 *     deno task besiege 250 32 half            250 clients, 32 MiB, half-sent frames
 *     deno task besiege 250 32 deaf node:net   clients that do not read, over the node transport
 *
 * The system has to allow a few descriptors more than clients (`ulimit -Hn`).
 */

import { beLongPatient } from "./_programs.ts";
import { ATTACKS, besiege, WAYS } from "./_memory_attacks.ts";

const [count = "2000", limit = "256", kind = "", over = ""] = Deno.args;
const MIB = 1024 * 1024;
/** How long each goes on once nothing more comes of it. */
const SETTLING = 5_000;

beLongPatient();

const mib = (bytes: number): string => `${Math.round(bytes / MIB)} MiB`;
const seconds = (duration: number): string => `${(duration / 1000).toFixed(2)} s`;

function waitsOf(sorted: readonly number[]): string {
  const quantile = (part: number): string =>
    seconds(sorted[Math.ceil(part * sorted.length) - 1] ?? NaN);
  return `${quantile(0.5)} (p50), ${quantile(0.99)} (p99), ${
    quantile(1)
  } (max of ${sorted.length})`;
}

for (const attack of ATTACKS.filter((attack) => attack.kind.startsWith(kind))) {
  for (const way of WAYS.filter(({ name }) => name.endsWith(over))) {
    const outcome = await besiege(attack, way, Number(count), Number(limit) * MIB, SETTLING);
    const { before, peak, held, ended, answers, arrivals } = outcome;
    console.log(
      `${count} ${attack.name} ${way.name}: from ${mib(before)} to ${mib(peak)}, ` +
        `${mib(peak - before)} more; ${mib(held)} held; ${ended} ended; ` +
        `good clients were answered within ${waitsOf(answers)}; new ones within ${
          waitsOf(arrivals)
        }`,
    );
  }
}
