import { assert } from "@std/assert";
import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Session } from "../../session.ts";
import { SessionGroup } from "../../session/group.ts";
import { memoryPair } from "../../transport/memory.ts";

const MIB = 1024 * 1024;

Deno.test("SessionGroup lets small collections free sessions that have ended", () => {
  setFlagsFromString("--expose-gc");
  const gc = runInNewContext("gc") as () => void;
  const group = new SessionGroup<Session>();
  const open: Session[] = [];
  const one = (): void => {
    const payload = new Array(4096).fill(0); // 32 KiB
    open.push(new Session(Object.assign(memoryPair()[0], { payload }), {}, group));
    if (open.length > 32) open.shift()!.abort();
  };
  for (let i = 0; i < 1000; i++) one();
  gc(); // what survives this is old
  const before = getHeapStatistics().used_heap_size;
  let most = 0;
  for (let i = 0; i < 10_000; i++) {
    one();
    most = Math.max(most, getHeapStatistics().used_heap_size - before);
  }
  for (const session of open) session.abort();
  assert(most < 64 * MIB, `${(most / MIB).toFixed(1)} MiB of 320 were held at once`);
});
