// Collects garbage several times, and prints by how many MiB the memory of the process has grown at most.

import { memoryUsage } from "node:process";
import { setTimeout } from "node:timers/promises";

const MODULE: string = "./node_modules/@parley/tcp/_internal/collect_garbage.js"; // which is not exported
const { collectGarbage } = await import(MODULE);
const before = memoryUsage.rss();
let most = before;
for (let round = 0; round < 4; round++) {
  collectGarbage();
  most = Math.max(most, memoryUsage.rss());
  await setTimeout(50);
}
console.log(Math.ceil((most - before) / 1024 / 1024));
