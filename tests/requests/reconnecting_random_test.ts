// Whatever becomes of sessions and dials, requests of a client that comes back keep their promises.

import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import fc from "fast-check";
import { RequestLimitError, SessionEndedError } from "../../errors.ts";
import { reconnect } from "../../connect/reconnect.ts";
import { requests, type RequestsOptions } from "../../requests/requests.ts";
import type { Frames, Session } from "../../session.ts";
import { inMemory, SOON } from "../_reconnecting.ts";
import { byId } from "../_requests.ts";
import { bounded, settle, until } from "../_serving.ts";

const CHANCES = {
  request: 8,
  stream: 3,
  answer: 8,
  turn: 4,
  abort: 2,
  drop: 2,
  finish: 2,
  refuse: 1,
};

interface Step {
  do: keyof typeof CHANCES;
  which: number;
}

const kinds = Object.entries(CHANCES).flatMap(([kind, chance]) => Array(chance).fill(kind));
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({ do: fc.constantFrom(...kinds), which: fc.nat(50) }),
  { maxLength: 60, size: "max" },
);

/** A request of the model, how often the server has had it, and what came of it. */
interface Made {
  readonly message: string;
  readonly idempotent: boolean;
  readonly abortion: AbortController;
  seen: number;
  isAnswered: boolean;
  settled: ({ reply: string } | { error: unknown })[];
}

/** The server's side of the session that there is. */
interface Live {
  readonly session: Session;
  readonly unanswered: Made[];
}

/** All servers of one run, and all requests. */
class World {
  readonly made: Made[] = [];
  live: Live | undefined;
  refusals = 0;
  isOver = false;

  /** Refuses a few dials; `isOver` ends that. */
  readonly before = (): void => {
    if (this.refusals > 0 && !this.isOver) {
      this.refusals--;
      throw new Deno.errors.ConnectionRefused();
    }
  };

  readonly handler = async (session: Session): Promise<void> => {
    const lines = session.lines();
    if (await lines.read() !== "LOGIN") throw new Error("a request came before the login");
    await session.send("welcome\n");
    const live = this.live = { session, unanswered: [] as Made[] };
    for await (const line of lines) {
      const made = this.made[parseInt(line)]!;
      made.seen++;
      live.unanswered.push(made);
      if (this.isOver) this.answer(0);
    }
  };

  answer(which: number): void {
    const { live } = this;
    if (live === undefined || live.unanswered.length === 0) return;
    const [made] = live.unanswered.splice(which % live.unanswered.length, 1);
    made!.isAnswered = true;
    live.session.send(`${made!.message}reply\n`);
  }
}

function check({ message, idempotent, abortion, seen, isAnswered, settled }: Made): void {
  assertEquals(settled.length, 1, `${message} is settled once`);
  assert(idempotent || seen <= 1, `${message} was sent ${seen} times`);
  const [outcome] = settled;
  if ("reply" in outcome!) {
    assertEquals(outcome.reply, `${message}reply`);
    return assert(isAnswered);
  }
  const { error } = outcome!;
  if (error instanceof RequestLimitError) return assertEquals(seen, 0);
  if (abortion.signal.aborted && error === abortion.signal.reason) return;
  assertInstanceOf(error, SessionEndedError);
  assert(!idempotent, `${message} could have been sent again`);
}

const modes: [name: string, options: RequestsOptions<string>][] = [["in order", {}], [
  "by id",
  byId,
]];

for (const [mode, options] of modes) {
  Deno.test(
    `requests of a client that comes back keep their promises (${mode})`,
    bounded,
    async () => {
      const maxInFlight = fc.integer({ min: 1, max: 6 });
      const maxQueued = fc.integer({ min: 0, max: 20 });
      await fc.assert(
        fc.asyncProperty(
          fc.record({ steps, maxInFlight, maxQueued }),
          async ({ steps, maxInFlight, maxQueued }) => {
            const world = new World();
            await using _ = inMemory(world.handler, world.before);
            const client = reconnect({
              port: 9,
              ...SOON,
              async setUp(session): Promise<Frames<string>> {
                const lines = session.lines();
                await lines.send("LOGIN");
                if (await lines.read() !== "welcome") throw new Error("no welcome");
                return lines;
              },
            });
            const rpc = requests(client, { ...options, maxInFlight, maxQueued });
            const make = (isStream: boolean, which: number): void => {
              const made: Made = {
                message: `${world.made.length}:`,
                idempotent: which % 2 === 0,
                abortion: new AbortController(),
                seen: 0,
                isAnswered: false,
                settled: [],
              };
              world.made.push(made);
              const init = { idempotent: made.idempotent, signal: made.abortion.signal };
              const reply = isStream
                ? rpc.stream(made.message, init).next().then(({ value }) => value!)
                : rpc.request(made.message, init);
              reply.then(
                (reply) => made.settled.push({ reply }),
                (error) => made.settled.push({ error }),
              );
            };
            for (const { do: what, which } of steps) {
              if (what === "request" || what === "stream") make(what === "stream", which);
              else if (what === "answer") world.answer(mode === "in order" ? 0 : which);
              else if (what === "turn") await settle();
              else if (what === "abort") {
                world.made[which % Math.max(1, world.made.length)]?.abortion.abort({ no: which });
              } else if (what === "drop") world.live?.session.abort();
              else if (what === "finish") world.live?.session.close();
              else world.refusals++;
              assert(rpc.inFlight >= 0 && rpc.inFlight <= maxInFlight);
              assert(rpc.inFlight + rpc.queued <= maxInFlight + maxQueued);
            }
            world.isOver = true;
            const closing = rpc.close();
            await until(() => {
              world.answer(0);
              return world.made.every(({ settled }) => settled.length > 0);
            });
            await closing;
            assertEquals([await rpc.closed, client.session], [undefined, undefined]);
            world.made.forEach(check);
          },
        ),
        { numRuns: 100 },
      );
    },
  );
}
