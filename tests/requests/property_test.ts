import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import fc from "fast-check";
import { RequestLimitError } from "../../errors.ts";
import type { RequestsOptions } from "../../requests/requests.ts";
import { ask, type Asking, byId } from "../_requests.ts";
import { bounded, settle, until } from "../_serving.ts";

const CHANCES = {
  request: 6,
  turn: 3,
  push: 1,
  abort: 3,
  answer: 6,
  repeat: 3,
};

/** What happens next, and to which of those that there are. */
interface Step {
  do: keyof typeof CHANCES;
  which: number;
}

const kinds = Object.entries(CHANCES).flatMap(([kind, chance]) => Array(chance).fill(kind));
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({ do: fc.constantFrom(...kinds), which: fc.nat(50) }),
  { maxLength: 60, size: "max" },
);

const ends: Record<string, (asking: Asking, reason: unknown) => unknown> = {
  "the session ends": ({ client }, reason) => client.abort(reason),
  "the peer finishes": ({ peer }) => peer.closeWrite(),
  "the requests end": ({ rpc }, reason) => rpc.abort(reason),
};

/** A request of the model, and what came of it. */
interface Made {
  readonly message: string;
  readonly abortion: AbortController;
  readonly reason: object;
  isAborted: boolean;
  isAnswered: boolean;
  settled: ({ reply: string } | { error: unknown })[];
}

/** The two ends of one run: the requests that were made, and those that the peer has seen. */
class Run {
  readonly asking: Asking;
  readonly made: Made[] = [];
  readonly #inOrder: boolean;
  readonly #unanswered: string[] = [];
  readonly #answered: string[] = [];

  constructor(asking: Asking, inOrder: boolean) {
    this.asking = asking;
    this.#inOrder = inOrder;
    this.#listen().catch(() => {}); // the session has ended
  }

  async step(step: Step): Promise<void> {
    if (step.do === "turn") return await settle();
    if (step.do === "request") this.#request();
    else if (step.do === "push") this.#send("!push");
    else if (step.do === "abort") this.#abort(pick(this.made, step.which));
    else if (step.do === "answer") this.#answer(this.#inOrder ? 0 : step.which);
    else if (!this.#inOrder && this.#answered.length > 0) { // in order, a repeated reply is another one's
      this.#send(`${pick(this.#answered, step.which)}again`);
    }
  }

  /** Lets all arrive that was sent. */
  async arrive(): Promise<void> {
    const { client, peer } = this.asking;
    await until(() => peer.bytesBuffered === 0 && client.bytesRead === peer.bytesWritten);
    await settle();
  }

  #request(): void {
    const message = `${this.made.length}:`;
    const abortion = new AbortController();
    const made: Made = {
      message,
      abortion,
      reason: { of: message },
      isAborted: false,
      isAnswered: false,
      settled: [],
    };
    this.made.push(made);
    this.asking.rpc.request(message, { signal: abortion.signal }).then(
      (reply) => made.settled.push({ reply }),
      (error) => made.settled.push({ error }),
    );
  }

  #abort(made: Made | undefined): void {
    if (made === undefined) return;
    made.isAborted = true;
    made.abortion.abort(made.reason);
  }

  #answer(which: number): void {
    const message = pick(this.#unanswered, which);
    if (message === undefined) return;
    this.#unanswered.splice(this.#unanswered.indexOf(message), 1);
    this.#answered.push(message);
    this.made[parseInt(message)]!.isAnswered = true;
    this.#send(`${message}reply`);
  }

  #send(line: string): void {
    this.asking.peer.send(`${line}\n`);
  }

  async #listen(): Promise<void> {
    for await (const message of this.asking.asked) this.#unanswered.push(message);
  }
}

function pick<T>(items: readonly T[], which: number): T | undefined {
  return items[which % Math.max(1, items.length)];
}

/** Looks at one request after all has ended with `cause`. */
function check(made: Made, cause: unknown): void {
  assertEquals(made.settled.length, 1, `${made.message} is settled once`);
  const [outcome] = made.settled;
  if ("reply" in outcome!) {
    assertEquals(outcome.reply, `${made.message}reply`);
    assert(made.isAnswered);
    return;
  }
  const { error } = outcome!;
  if (error instanceof RequestLimitError) assert(!made.isAnswered);
  else if (made.isAborted && error === made.reason) return;
  else {
    assert(!made.isAnswered, `${made.message} was answered`);
    assertStrictEquals(error, cause);
  }
}

const modes: [name: string, options: RequestsOptions<string>][] = [
  ["in order", { isReply: (frame) => !frame.startsWith("!") }],
  ["by id", byId],
];

for (const [mode, options] of modes) {
  Deno.test(
    `every request gets its own reply or its own error, whatever happens (${mode})`,
    bounded,
    async () => {
      const maxInFlight = fc.integer({ min: 1, max: 8 });
      const maxQueued = fc.integer({ min: 0, max: 20 });
      const seed = fc.nat(2 ** 31);
      const chop = fc.integer({ min: 1, max: 20 });
      const ending = fc.constantFrom(...Object.keys(ends));
      await fc.assert(
        fc.asyncProperty(
          fc.record({ steps, maxInFlight, maxQueued, seed, chop, ending }),
          async ({ steps, maxInFlight, maxQueued, seed, chop, ending }) => {
            await using asking = ask(
              { ...options, maxInFlight, maxQueued },
              { network: { seed, chop } },
            );
            const run = new Run(asking, mode === "in order");
            for (const step of steps) {
              await run.step(step);
              assert(asking.rpc.inFlight >= 0 && asking.rpc.inFlight <= maxInFlight);
              assert(asking.rpc.inFlight + asking.rpc.queued <= maxInFlight + maxQueued);
            }
            await run.arrive();
            assert(asking.rpc.queued === 0 || asking.rpc.inFlight === maxInFlight);
            await ends[ending]!(asking, new Error("over"));
            const cause = await asking.rpc.closed;
            await settle();
            for (const made of run.made) check(made, cause);
          },
        ),
        { numRuns: 150 },
      );
    },
  );
}
