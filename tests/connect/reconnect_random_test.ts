// Whatever happens, and in whatever order, a client keeps its promises.

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { setImmediate } from "node:timers/promises";
import { reconnect, type ReconnectObserver } from "../../connect/reconnect.ts";
import { serve, type Server } from "../../serve/serve.ts";
import type { Session } from "../../session.ts";
import { type Connection, memoryPair } from "../../transport/mod.ts";
import { dialing } from "../_dialing.ts";
import { assertDone, serveAgain } from "../_reconnecting.ts";
import {
  ask,
  assertNoDescriptorLeft,
  bounded,
  ConnectionOver,
  countedSignal,
  echo,
  overNetCounting,
  portOf,
  until,
} from "../_serving.ts";

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await setImmediate();
}

/** An observer that fails when it is told what cannot be. */
class Referee implements ReconnectObserver {
  events = 0;
  lastWait = 0;
  readonly faults: string[] = [];
  readonly #addresses: number;
  readonly #maxDelay: number;
  #state: "idle" | "dialling" | "live" = "idle";
  #failures = 0;
  #sessions = 0;
  #isOver = false;

  constructor(addresses: number, maxDelay: number) {
    this.#addresses = addresses;
    this.#maxDelay = maxDelay;
  }

  get isIdle(): boolean {
    return this.#state === "idle";
  }

  onDial(_: string, attempt: number): void {
    this.#to("idle", "dialling", "dial");
    this.#claim(!this.#isOver, "a dial after the last");
    this.#claim(attempt === this.#failures + 1, `dial ${attempt} after ${this.#failures} failures`);
  }

  onDialError(_: unknown, attempt: number, retryIn: number): void {
    this.#to("dialling", "idle", "dial error");
    this.#claim(attempt === ++this.#failures, `failure ${attempt}, expected ${this.#failures}`);
    this.#waits(retryIn);
  }

  onSessionStart({ id }: Session): void {
    this.#to("dialling", "live", "session start");
    this.#claim(id === ++this.#sessions, `session ${id}, expected ${this.#sessions}`);
  }

  onSessionEnd({ id }: Session, _: unknown, retryIn: number): void {
    this.#to("live", "idle", "session end");
    this.#claim(id === this.#sessions, `end of ${id}, expected ${this.#sessions}`);
    this.#failures++; // no session lasts in these tests
    this.#waits(retryIn);
  }

  #waits(retryIn: number): void {
    this.lastWait = retryIn;
    this.#isOver = retryIn === Infinity;
    const rounds = Math.floor((this.#failures - 1) / this.#addresses);
    const most = Math.min(this.#maxDelay, 2 ** rounds);
    this.#claim(this.#isOver || (retryIn >= 0 && retryIn <= most), `${retryIn} ms, over ${most}`);
  }

  #to(from: string, state: "idle" | "dialling" | "live", event: string): void {
    this.#claim(this.#state === from, `${event} while ${this.#state}`);
    this.#state = state;
    this.events++;
  }

  #claim(holds: boolean, fault: string): void {
    if (!holds) this.faults.push(fault);
  }
}

type Fate = "refused" | "stalled" | "left by the peer" | "left by the body" | "aborted" | "kept";

interface Plan {
  fates: { fate: Fate; turns: number; stubborn: boolean }[];
  stop: { after: number; turns: number; how: "close" | "abort" | "signal" | "leave" };
  form: "loop" | "run";
  addresses: number;
  maxAttempts: number;
}

const plan: fc.Arbitrary<Plan> = fc.record({
  fates: fc.array(
    fc.record({
      fate: fc.constantFrom<Fate>(
        "refused",
        "stalled",
        "left by the peer",
        "left by the body",
        "aborted",
        "kept",
      ),
      turns: fc.nat({ max: 6 }),
      stubborn: fc.boolean(),
    }),
    { minLength: 1, maxLength: 10 },
  ),
  stop: fc.record({
    after: fc.nat({ max: 25 }),
    turns: fc.nat({ max: 8 }),
    how: fc.constantFrom("close", "abort", "signal", "leave"),
  }),
  form: fc.constantFrom("loop", "run"),
  addresses: fc.integer({ min: 1, max: 3 }),
  maxAttempts: fc.oneof(fc.constant(Infinity), fc.integer({ min: 1, max: 8 })),
});

/** The far ends of what was dialled, and how often the rules were broken at the near ones. */
class World implements Disposable {
  open = 0;
  dialling = 0;
  dials = 0;
  peak = 0;
  readonly #far: Connection[] = [];
  readonly #plan: Plan;
  readonly #stub: Disposable;

  constructor(plan: Plan) {
    this.#plan = plan;
    this.#stub = dialing(async ({ signal }) => {
      this.peak = Math.max(this.peak, ++this.dialling + this.open);
      try {
        return await this.#dial(signal!);
      } finally {
        this.dialling--;
      }
    });
  }

  /** The fate of the dial that comes, or of the session that it has led to. */
  fateOf(dial: number): Plan["fates"][number] {
    return this.#plan.fates[dial] ?? { fate: "kept", turns: 0, stubborn: false };
  }

  async #dial(signal: AbortSignal): Promise<Connection> {
    const { fate, turns: count, stubborn } = this.fateOf(this.dials++);
    await turns(count);
    if (fate === "refused") throw new Deno.errors.ConnectionRefused();
    if (fate === "stalled") {
      await new Promise((_, reject) => {
        if (signal.aborted) reject(signal.reason);
        signal.addEventListener("abort", () => reject(signal.reason));
      });
    }
    const [near, far] = memoryPair();
    this.#far.push(far);
    if (!stubborn) this.#finish(far, fate === "left by the peer" ? count : undefined);
    else if (fate === "left by the peer") turns(count).then(() => far.close());
    this.open++;
    const closed = () => void this.open--;
    return new (class extends ConnectionOver {
      override close(): void {
        closed();
        super.close();
      }
    })(near);
  }

  /** Behaves as a peer should: takes what comes until the end, and finishes in its turn, or first. */
  async #finish(far: Connection, after: number | undefined): Promise<void> {
    if (after !== undefined) {
      await turns(after);
      await far.closeWrite().catch(() => {});
    }
    const buffer = new Uint8Array(64);
    try {
      while (await far.read(buffer) !== null);
      await far.closeWrite();
    } catch { /* it was reset */ }
  }

  [Symbol.dispose](): void {
    this.#stub[Symbol.dispose]();
    for (const far of this.#far) {
      try {
        far.close();
      } catch { /* by its fate already */ }
    }
  }
}

class Left extends Error {}

Deno.test("reconnect() keeps its promises whatever happens", bounded, async () => {
  await fc.assert(
    fc.asyncProperty(plan, async (plan) => {
      using world = new World(plan);
      const referee = new Referee(plan.addresses, 3);
      const controller = new AbortController();
      const count = countedSignal(controller.signal);
      const client = reconnect({
        addresses: Array.from({ length: plan.addresses }, (_, index) => ({ port: 9 + index })),
        minDelay: 1,
        maxDelay: 3,
        resetAfter: Infinity,
        maxAttempts: plan.maxAttempts,
        connectTimeout: 3,
        closeTimeout: 3,
        signal: controller.signal,
        observer: referee,
      });
      const body = async (session: Session): Promise<void> => {
        session.send("hello");
        const { fate, turns: count } = world.fateOf(world.dials - 1);
        if (fate === "aborted") session.abort();
        if (fate === "kept" || fate === "left by the peer") {
          for await (const _ of session.bytes());
        } else await turns(count);
        if (plan.stop.how === "leave" && referee.events >= plan.stop.after) throw new Left();
      };
      const stop = async (): Promise<void> => {
        // A session that is kept is ended by nothing else.
        const isDue = () =>
          referee.events >= plan.stop.after || world.dials > plan.fates.length ||
          (!referee.isIdle && world.fateOf(world.dials - 1).fate === "kept");
        while (!isDue() && !isOver) await new Promise((resolve) => setTimeout(resolve));
        await turns(plan.stop.turns);
        if (plan.stop.how === "abort") client.abort("stop");
        else if (plan.stop.how === "signal") controller.abort("stop");
        else await client.close();
      };
      let isOver = false;
      const stopped = stop();
      const work = plan.form === "run" ? client.run(body) : (async () => {
        for await (const session of client) {
          await body(session).catch((error) => {
            if (error instanceof Left) throw error;
          });
        }
      })();
      const outcome = await work.then(() => undefined, (error) => error);
      isOver = true;
      await stopped;
      await client.close();

      assertEquals(referee.faults, []);
      assert(referee.isIdle);
      assertEquals([world.open, world.dialling, count.listeners], [0, 0, 0]);
      assert(world.peak <= 1, `${world.peak} at once`);
      if (outcome !== undefined && outcome !== "stop" && !(outcome instanceof Left)) {
        assert(plan.maxAttempts < Infinity, `${outcome}`);
        assertEquals(referee.lastWait, Infinity);
      }
      const { dials } = world;
      await assertDone(client);
      assertEquals(world.dials, dials);
    }),
    { numRuns: 150, seed: 20_250_901 },
  );
});

type Step = "kill" | "start" | "drop" | "speak";

Deno.test("reconnect() survives a server that comes and goes", overNetCounting, async () => {
  const steps = fc.array(
    fc.record({
      step: fc.constantFrom<Step>("kill", "start", "drop", "speak"),
      turns: fc.nat({ max: 200 }),
    }),
    { minLength: 1, maxLength: 12 },
  );
  await assertNoDescriptorLeft(() =>
    fc.assert(
      fc.asyncProperty(steps, async (steps) => {
        let server: Server | undefined = serve({ port: 0 }, echo);
        const port = portOf(server);
        const referee = new Referee(1, 4);
        let answers = 0;
        const client = reconnect({
          port,
          minDelay: 1,
          maxDelay: 4,
          resetAfter: Infinity,
          observer: referee,
        });
        const run = client.run(async (session) => {
          while (await ask(session, "rose") === "rose!") {
            answers++;
            await turns(1);
          }
        });
        const speak = () => {
          const before = answers;
          return until(() => answers > before);
        };
        for (const { step, turns: count } of steps) {
          if (step === "start") server ??= await serveAgain(port, echo);
          else if (server === undefined) continue;
          else if (step === "drop") server.sessions.forEach((session) => session.abort());
          else if (step === "speak") await speak();
          else {
            server.abort();
            await server.finished;
            server = undefined;
          }
          await turns(count);
        }
        server ??= await serveAgain(port, echo);
        await speak();
        await client.close();
        await run;
        assertEquals(referee.faults, []);
        assert(referee.isIdle);
        await server.shutdown();
      }),
      { numRuns: 15, seed: 20_250_902 },
    )
  );
});
