import { assert, assertEquals } from "@std/assert";
import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { SlotMap } from "../../_internal/slot_map.ts";

const MIB = 1024 * 1024;

Deno.test("SlotMap has the values that were added and not deleted", () => {
  const map = new SlotMap<string | number, string>();
  map.add("rose", "a");
  map.add(1, "b");
  map.add("1", "c");
  map.delete("rose");
  map.delete("rose");
  map.add("jo", "d");
  assertEquals([...map.values()], ["b", "c", "d"]);
  assertEquals(["rose", 1, "1", "jo", {}].map((key) => map.get(key)), [
    undefined,
    "b",
    "c",
    "d",
    undefined,
  ]);
});

Deno.test("SlotMap lets small collections free the values that were deleted", () => {
  setFlagsFromString("--expose-gc");
  const gc = runInNewContext("gc") as () => void;
  const map = new SlotMap<number, number[]>();
  const one = (key: number): void => {
    map.add(key, new Array(4096).fill(0)); // 32 KiB
    map.delete(key - 32);
  };
  for (let key = 0; key < 1000; key++) one(key);
  gc(); // what survives this is old
  const before = getHeapStatistics().used_heap_size;
  let most = 0;
  for (let key = 1000; key < 11_000; key++) {
    one(key);
    most = Math.max(most, getHeapStatistics().used_heap_size - before);
  }
  assert(most < 64 * MIB, `${(most / MIB).toFixed(1)} MiB of 320 were held at once`);
});
