import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import fc from "fast-check";
import { RequestLimitError } from "../../errors.ts";
import type { MultiFrameOptions, RequestsOptions } from "../../requests/requests.ts";
import { ask, type Asking, byId } from "../_requests.ts";
import { bounded, settle, until } from "../_serving.ts";

const CHANCES = {
  request: 6,
  turn: 3,
  push: 1,
  abort: 3,
  answer: 6,
  part: 6,
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
  /** The frames of its reply that were sent. */
  readonly reply: string[];
  /** Those that it got, and what with if it failed. */
  settled: { got: string[]; error?: unknown }[];
}

/** One way of matching replies and requests. */
interface Mode {
  options: RequestsOptions<string> | MultiFrameOptions<string>;
  /** Whether the n-th request has an id. */
  hasId(number: number): boolean;
}

/** The two ends of one run: the requests that were made, and those that the peer has seen. */
class Run {
  readonly asking: Asking;
  readonly made: Made[] = [];
  readonly #mode: Mode;
  readonly #unanswered: Made[] = [];
  readonly #answered: Made[] = [];

  constructor(asking: Asking, mode: Mode) {
    this.asking = asking;
    this.#mode = mode;
    this.#listen().catch(() => {}); // the session has ended
  }

  async step(step: Step): Promise<void> {
    if (step.do === "turn") return await settle();
    if (step.do === "request") this.#request(step.which);
    else if (step.do === "push") this.#send("!push");
    else if (step.do === "abort") this.#abort(pick(this.made, step.which));
    else if (step.do === "answer") this.#answer(pick(this.#answerable, step.which));
    else if (step.do === "part") {
      if ("isLast" in this.#mode.options) this.#part(pick(this.#answerable, step.which), "part");
    } else if (this.#answered.length > 0) { // in order, a repeated reply is another one's
      const again = pick(this.#answered.filter(({ message }) => message.includes(":")), step.which);
      if (again !== undefined) this.#send(`${again.message}again`);
    }
  }

  /** Lets all arrive that was sent. */
  async arrive(): Promise<void> {
    const { client, peer } = this.asking;
    await until(() => peer.bytesBuffered === 0 && client.bytesRead === peer.bytesWritten);
    await settle();
  }

  /** Those with an id, and of the others the first. */
  get #answerable(): Made[] {
    const first = this.#unanswered.find(({ message }) => !message.includes(":"));
    return this.#unanswered.filter((made) => made === first || made.message.includes(":"));
  }

  #request(which: number): void {
    const number = this.made.length;
    const message = `${number}${this.#mode.hasId(number) ? ":" : ";"}`;
    const abortion = new AbortController();
    const made: Made = {
      message,
      abortion,
      reason: { of: message },
      isAborted: false,
      isAnswered: false,
      reply: [],
      settled: [],
    };
    this.made.push(made);
    const { signal } = abortion;
    if (which % 2 === 0) return void this.#stream(made, signal);
    (this.asking.rpc.request(message, { signal }) as Promise<string | string[]>).then(
      (reply) => made.settled.push({ got: [reply].flat() }),
      (error) => made.settled.push({ got: [], error }),
    );
  }

  async #stream({ message, settled }: Made, signal: AbortSignal): Promise<void> {
    const got: string[] = [];
    try {
      for await (const frame of this.asking.rpc.stream(message, { signal })) got.push(frame);
      settled.push({ got });
    } catch (error) {
      settled.push({ got, error });
    }
  }

  #abort(made: Made | undefined): void {
    if (made === undefined) return;
    made.isAborted = true;
    made.abortion.abort(made.reason);
  }

  #part(made: Made | undefined, word: string): void {
    if (made === undefined) return;
    made.reply.push(`${made.message}${word}`);
    this.#send(`${made.message}${word}`);
  }

  #answer(made: Made | undefined): void {
    if (made === undefined) return;
    this.#unanswered.splice(this.#unanswered.indexOf(made), 1);
    this.#answered.push(made);
    made.isAnswered = true;
    this.#part(made, "reply");
  }

  #send(line: string): void {
    this.asking.peer.send(`${line}\n`);
  }

  async #listen(): Promise<void> {
    for await (const message of this.asking.asked) {
      this.#unanswered.push(this.made[parseInt(message)]!);
    }
  }
}

function pick<T>(items: readonly T[], which: number): T | undefined {
  return items[which % Math.max(1, items.length)];
}

/** Looks at one request after all has ended with `cause`. */
function check(made: Made, cause: unknown): void {
  assertEquals(made.settled.length, 1, `${made.message} is settled once`);
  const { got, ...failure } = made.settled[0]!;
  assertEquals(got, made.reply.slice(0, got.length)); // its own, and none is missing in between
  if (!("error" in failure)) {
    assertEquals(got, made.reply);
    assert(made.isAnswered);
    return;
  }
  const { error } = failure;
  if (error instanceof RequestLimitError) assert(!made.isAnswered);
  else if (made.isAborted && error === made.reason) return;
  else {
    assert(!made.isAnswered, `${made.message} was answered`);
    assertStrictEquals(error, cause);
  }
}

const isReply = (frame: string) => !frame.startsWith("!");
const isLast = (frame: string) => frame.endsWith("reply");
const both: RequestsOptions<string> = {
  requestId: (line) => line.includes(":") ? line.split(":")[0]! : undefined,
  replyId: (line) => line.includes(":") ? line.split(":")[0] : undefined,
  isReply,
};

const modes: Record<string, Mode> = {
  "in order": { options: { isReply }, hasId: () => false },
  "by id": { options: byId, hasId: () => true },
  "both": { options: both, hasId: (number) => number % 3 > 0 },
  "several frames in order": { options: { isReply, isLast }, hasId: () => false },
  "several frames by id": { options: { ...byId, isLast }, hasId: () => true },
  "several frames, both": { options: { ...both, isLast }, hasId: (number) => number % 3 > 0 },
};

for (const [name, mode] of Object.entries(modes)) {
  Deno.test(
    `every request gets its own reply or its own error, whatever happens (${name})`,
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
              { ...mode.options, maxInFlight, maxQueued },
              { network: { seed, chop } },
            );
            const run = new Run(asking, mode);
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
