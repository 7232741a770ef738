import { memoryUsage } from "node:process";
import { collectGarbage } from "../../_internal/collect_garbage.ts";
import { bounded, until } from "../_serving.ts";

/** Leaves some 30 MB of garbage in V8's heap. */
function leaveGarbage(): number {
  return Array.from({ length: 300_000 }, (_, i) => ({ i, of: [i] })).length;
}

Deno.test("collectGarbage() makes V8 collect garbage", bounded, async () => {
  const before = memoryUsage().heapUsed;
  leaveGarbage();
  const full = memoryUsage().heapUsed;
  collectGarbage();
  await until(() => memoryUsage().heapUsed < (before + full) / 2);
});
