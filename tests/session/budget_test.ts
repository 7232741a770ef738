import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { lengthPrefixed } from "../../codecs/length_prefixed.ts";
import { Session } from "../../session.ts";
import { Budget } from "../../session/budget.ts";
import { SessionGroup } from "../../session/group.ts";
import { memoryPair } from "../../transport/memory.ts";
import { bounded, settle } from "../_serving.ts";

/** A budget, and how often it was reviewed. */
function reviewed(
  watch: Omit<Parameters<Budget["watch"]>[0], "share" | "tight">,
): { budget: Budget; times: () => number } {
  const budget = new Budget();
  let times = 0;
  budget.limit(() => {
    times++;
    budget.watch({ share: Infinity, tight: 70, ...watch });
  });
  return { budget, times: () => times - 1 };
}

Deno.test("Budget is due once more is held and buffers have grown by more than it was told", () => {
  const { budget } = reviewed({ above: 100, growth: 50, release: Infinity });
  const due: [number, boolean][] = [];
  for (const bytes of [60, 40, -30, 20, 10, 1]) {
    budget.change(bytes);
    due.push([budget.held, budget.isDue]);
  }
  assertEquals(due, [[60, false], [100, false], [70, false], [90, false], [100, false], [
    101,
    true,
  ]]);
  budget.review();
  assertEquals(budget.isDue, false);
  budget.change(50);
  assertEquals(budget.isDue, false); // the growth begins anew
  budget.change(1);
  assertEquals(budget.isDue, true);
});

Deno.test("Budget reviews itself after the turn in which more was given back than it was told", async () => {
  const { budget, times } = reviewed({ above: 100, growth: 0, release: 50 });
  budget.change(80);
  budget.change(-30);
  budget.change(10);
  budget.change(-20);
  await settle();
  assertEquals(times(), 0);
  budget.change(-1);
  budget.change(-1);
  assertEquals(times(), 0);
  await settle();
  assertEquals(times(), 1);
});

Deno.test("Budget reviews nothing within a review, and goes on after one that throws", () => {
  const budget = new Budget();
  let times = 0;
  assertThrows(
    () =>
      budget.limit(() => {
        times++;
        budget.review();
        throw new RangeError("too much");
      }),
    RangeError,
  );
  assertThrows(() => budget.review(), RangeError);
  assertEquals(times, 2);
});

/** What a session does to its buffers. */
const STEPS = fc.array(
  fc.record({
    session: fc.nat(2),
    kind: fc.constantFrom(
      ...["text", "bytes", "large", "frame", "broken", "receive", "read", "unread", "turn"],
      ...["flush", "abort", "close"],
    ),
    size: fc.oneof(fc.nat(2000), fc.nat(200_000)),
  }),
  { maxLength: 40 },
);

Deno.test(
  "Budget counts what the buffers of sessions hold, whatever they do",
  bounded,
  async () => {
    await fc.assert(
      fc.asyncProperty(STEPS, async (steps) => {
        const group = new SessionGroup<Session>();
        const pairs = [0, 1, 2].map(() => memoryPair({ capacity: 1000 }));
        const sessions = pairs.map(([near]) => new Session(near, {}, group));
        const codec = lengthPrefixed();
        for (const { session: at, kind, size } of steps) {
          const session = sessions[at]!;
          const far = pairs[at]![1];
          switch (kind) {
            case "text":
              session.send("ä".repeat(size));
              break;
            case "bytes":
              session.send(new Uint8Array(Math.min(size, 16_000)));
              break;
            case "large":
              session.send(new Uint8Array(size));
              break;
            case "frame":
              session.frames(codec).send(new Uint8Array(size)).catch(() => {});
              break;
            case "broken": {
              const encode = (_: number, out: { bytes(data: Uint8Array): void }): void => {
                out.bytes(new Uint8Array(size));
                out.bytes(new Uint8Array(5));
                throw new RangeError("no such message");
              };
              session.frames({ ...codec, encode }).send(1).catch(() => {});
              break;
            }
            case "receive":
              far.write(new Uint8Array(size + 1)).catch(() => {});
              break;
            case "read":
              session.readExactly(size).catch(() => {});
              break;
            case "unread":
              session.unread(new Uint8Array(size));
              break;
            case "flush":
              far.read(new Uint8Array(size + 1)).catch(() => {});
              break;
            case "turn":
              await settle();
              break;
            case "abort":
              session.abort();
              break;
            case "close":
              session.close();
          }
          let held = 0;
          for (const { reader, output } of group.members.values()) {
            held += reader.input.buffer.length + output.size;
          }
          const kept = group.budget.held - held;
          assert(kept >= 0 && kept <= 1024 * 1024, `${kept} bytes are counted that nobody holds`);
        }
        for (const session of sessions) session.abort();
        for (const [, far] of pairs) far.close();
        await settle();
        assertEquals(group.members.length, 0);
        group.pool.trim();
        group.pool.trim();
        assertEquals(group.budget.held, 0);
      }),
      { numRuns: 200 },
    );
  },
);
