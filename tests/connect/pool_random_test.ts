// Whatever becomes of its sessions and its callers, a pool keeps its promises.

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { sessionPool } from "../../connect/pool.ts";
import { PoolExhaustedError } from "../../errors.ts";
import type { Session } from "../../session.ts";
import { inMemory } from "../_reconnecting.ts";
import { bounded, countedSignal, settle, until } from "../_serving.ts";

const CHANCES = {
  ask: 8,
  "give up": 2,
  "throw": 2,
  "do nothing": 2,
  "say goodbye": 1,
  "half-close": 1,
  "not wait": 2,
};

interface User {
  does: keyof typeof CHANCES;
  turns: number;
}

type Mishap = "none" | "drop one" | "drop all" | "finish one" | "speak" | "refuse";

interface Step {
  users: User[];
  mishap: Mishap;
  which: number;
}

const kinds = Object.entries(CHANCES).flatMap(([kind, chance]) => Array(chance).fill(kind));
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    users: fc.array(fc.record({ does: fc.constantFrom(...kinds), turns: fc.nat({ max: 3 }) }), {
      maxLength: 6,
    }),
    mishap: fc.constantFrom<Mishap>(
      "none",
      "none",
      "drop one",
      "drop all",
      "finish one",
      "speak",
      "refuse",
    ),
    which: fc.nat(20),
  }),
  { minLength: 1, maxLength: 12 },
);

class Thrown extends Error {}

Deno.test("a pool keeps its promises whatever happens", bounded, async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        steps,
        maxSessions: fc.integer({ min: 1, max: 4 }),
        maxWaiting: fc.integer({ min: 0, max: 8 }),
        places: fc.integer({ min: 1, max: 3 }),
        checks: fc.boolean(),
      }),
      async ({ steps, maxSessions, maxWaiting, places, checks }) => {
        const live = new Set<Session>();
        let refusals = 0;
        await using network = inMemory(async (session) => {
          live.add(session);
          for await (const line of session.lines()) {
            await session.send(`${line}: one\n`);
            await settle();
            await session.send(`${line}: two\n`);
          }
          live.delete(session);
        }, () => {
          if (refusals > 0 && refusals--) throw new Deno.errors.ConnectionRefused();
        });
        const pool = sessionPool({
          addresses: Array.from({ length: places }, () => ({ port: 9 })),
          maxSessions,
          maxWaiting,
          closeTimeout: 5,
          ...(checks && {
            checkAfter: 0,
            async check(session): Promise<boolean> {
              await session.send("check\n");
              const replies = [await session.readLine(), await session.readLine()];
              return replies.join() === "check: one,check: two";
            },
          }),
        });
        const using = new Set<Session>();
        const controller = new AbortController();
        const count = countedSignal(controller.signal);
        let made = 0;

        const ask = async (session: Session, { does, turns }: User): Promise<void> => {
          assert(!using.has(session), "a session is used by two");
          using.add(session);
          assert(pool.sessions <= maxSessions && using.size <= maxSessions);
          const words = `${++made}`;
          try {
            if (does === "do nothing") return;
            await session.send(`${words}\n`);
            if (does === "not wait") return;
            if (does === "give up") {
              const signal = AbortSignal.timeout(turns);
              while (await session.readLine({ signal }) !== undefined);
              return;
            }
            // Nobody but the one who has asked gets the reply, and all of it.
            const first = await session.readLine();
            assert(first === undefined || first === `${words}: one`, `${words} got ${first}`);
            if (does === "throw") throw new Thrown();
            const second = await session.readLine();
            assert(second === undefined || second === `${words}: two`, `${words} got ${second}`);
            if (does === "say goodbye") await session.close();
            if (does === "half-close") await session.closeWrite();
          } finally {
            using.delete(session);
          }
        };
        const use = async (user: User): Promise<unknown> => {
          const { signal } = controller;
          if (user.does === "throw") {
            return await pool.use((session) => ask(session, user), { signal });
          }
          await using lease = await pool.get({ signal });
          await ask(lease.session, user);
        };
        const faults: unknown[] = [];
        const outcomes: Promise<unknown>[] = [];
        for (const { users, mishap, which } of steps) {
          const sessions = [...live];
          const one = sessions[which % Math.max(1, sessions.length)];
          if (mishap === "drop one") one?.abort();
          else if (mishap === "drop all") sessions.forEach((session) => session.abort());
          else if (mishap === "finish one") one?.close();
          else if (mishap === "refuse") refusals++;
          else if (mishap === "speak" && pool.idle === pool.sessions) {
            one?.send("by the way\n");
            await settle();
          }
          for (const user of users) {
            outcomes.push(
              use(user).catch((error) => {
                if (error instanceof Error && error.name === "AssertionError") faults.push(error);
              }),
            );
            assert(pool.waiting <= maxWaiting + maxSessions);
          }
          await settle();
          assert(pool.sessions <= maxSessions);
        }
        await Promise.all(outcomes);
        assertEquals(faults.map(String), []);
        assertEquals([using.size, pool.waiting, count.listeners], [0, 0, 0]);
        refusals = 0;
        await until(() => pool.sessions === pool.idle);
        for (let left = maxSessions + 2; left > 0; left--) { // it is as good as new
          await pool.use((session) => ask(session, { does: "ask", turns: 0 })).catch((error) => {
            if (error instanceof PoolExhaustedError) throw error;
          });
        }
        await pool.close();
        assertEquals([pool.sessions, pool.idle, network.open], [0, 0, 0]);
      },
    ),
    { numRuns: 100 },
  );
});
