import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { QueueOverflowError, SessionEndedError } from "../../errors.ts";
import { requests } from "../../requests/requests.ts";
import { MessageQueue, type MessageQueueOptions, type OverflowPolicy } from "../../session.ts";
import { bounded, countedSignal, settle } from "../_serving.ts";
import { collect, isPending, testEach, until } from "../_transports.ts";

const POLICIES: OverflowPolicy[] = ["drop-oldest", "drop-newest", "end"];

testEach("MessageQueue takes what a client is pushed, between its replies", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  const news = new MessageQueue<string>();
  const rpc = requests(session.lines(), {
    isReply: (line) => !line.startsWith("!"),
    onUnmatched: (line) => void news.push(line),
  });
  rpc.closed.then((cause) => news.close(cause));
  const reply = rpc.request("hello");
  await peer.send("!rain\nhello\n!sun\n");
  assertEquals(await reply, "hello");
  assertEquals([(await news.next()).value, (await news.next()).value], ["!rain", "!sun"]);
  const late = news.next();
  await peer.send("!snow\n");
  assertEquals((await late).value, "!snow");
  await peer.closeWrite();
  assertEquals((await assertRejects(() => news.next(), SessionEndedError)).reason, "peer");
  assertEquals(await news.next(), { done: true, value: undefined });
});

testEach("MessageQueue keeps what is sent to a slow session within bounds", async (open) => {
  await using opened = await open({ highWaterMark: 64 * 1024 });
  const { session, peer } = opened;
  const queue = new MessageQueue<string>({
    maxSize: 100_000,
    sizeOf: ({ length }) => length,
    overflow: "drop-oldest",
    signal: session.signal,
  });
  const sending = (async () => {
    for await (const message of queue) await session.send(message);
  })();
  // A peer that does not read takes some MiB into the system, and then nothing.
  const line = (number: number) => `${number}`.padStart(9_999, "0") + "\n";
  let last = 0;
  for (; queue.dropped === 0; last++) {
    queue.push(line(last));
    if (last % 10 === 0) await settle();
    assert(last < 10_000);
  }
  for (const end = last + 50; last < end; last++) queue.push(line(last));
  assertEquals([queue.length, queue.size], [10, 100_000]);
  assert(session.bytesBuffered < 200_000, `${session.bytesBuffered}`);
  const { dropped } = queue;
  queue.close();
  const got: number[] = [];
  while (got.at(-1) !== last - 1) got.push(Number(await peer.text(10_000)));
  assertEquals(got.length, last - dropped);
  assertEquals(got.slice(-10), Array.from({ length: 10 }, (_, at) => last - 10 + at));
  await sending;
});

testEach("MessageQueue ends with the signal of its session", async (open) => {
  await using opened = await open();
  const { session } = opened;
  const { signal } = session;
  const queue = new MessageQueue<string>({ signal });
  queue.push("never");
  assertEquals(queue.length, 1);
  session.abort(new Error("enough"));
  assertEquals([queue.length, queue.size, queue.push("late"), queue.dropped], [0, 0, false, 0]);
  for (let i = 0; i < 2; i++) {
    assertStrictEquals(await queue.next().catch((error) => error), signal.reason);
  }
});

Deno.test("MessageQueue.push() gives to a reader that waits", bounded, async () => {
  const queue = new MessageQueue<number>({ maxSize: 1 });
  const next = queue.next();
  assert(await isPending(next));
  assertEquals([queue.push(1), queue.length], [true, 0]);
  assertEquals([queue.push(2), queue.length], [true, 1]);
  assertEquals(await next, { done: false, value: 1 });
  assertEquals(await queue.next(), { done: false, value: 2 });
});

Deno.test("MessageQueue.close() lets what waits be read", bounded, async () => {
  for (const error of [undefined, new Error("gone")]) {
    const queue = new MessageQueue<number>();
    queue.push(1);
    queue.push(2);
    queue.close(error);
    queue.close(new Error("too late"));
    assertEquals([queue.push(3), queue.length, queue.dropped], [false, 2, 0]);
    assertEquals((await queue.next()).value, 1);
    assertEquals((await queue.next()).value, 2);
    if (error !== undefined) {
      assertStrictEquals(await queue.next().catch((error) => error), error);
    }
    assertEquals(await queue.next(), { done: true, value: undefined });
  }
});

Deno.test("MessageQueue.close() settles a reader that waits", bounded, async () => {
  const queue = new MessageQueue<number>();
  const done = queue.next();
  queue.close();
  assertEquals(await done, { done: true, value: undefined });
  const other = new MessageQueue<number>();
  const failed = other.next();
  const error = new Error("gone");
  other.close(error);
  assertStrictEquals(await failed.catch((error) => error), error);
  assertEquals(await other.next(), { done: true, value: undefined });
});

Deno.test("MessageQueue continues after a loop that was left", bounded, async () => {
  const queue = new MessageQueue<number>();
  for (const number of [1, 2, 3]) queue.push(number);
  for await (const number of queue) if (number === 2) break;
  const waiting = (async () => {
    await queue.next();
    return await queue.next();
  })();
  await settle();
  assertEquals(await queue.return(), { done: true, value: undefined });
  assertEquals(await waiting, { done: true, value: undefined });
  queue.push(4);
  queue.close();
  assertEquals(await collect(queue), [4]);
});

Deno.test("MessageQueue.next() refuses to wait twice", bounded, async () => {
  const queue = new MessageQueue<number>();
  const first = queue.next();
  await assertRejects(() => queue.next(), TypeError, "another next() of this queue waits already");
  queue.push(1);
  assertEquals((await first).value, 1);
});

Deno.test(
  "MessageQueue ends where there is no room, and says so after the last",
  bounded,
  async () => {
    const queue = new MessageQueue<number>({ maxSize: 2 });
    assertEquals([1, 2, 3, 4].map((number) => queue.push(number)), [true, true, false, false]);
    assertEquals(queue.dropped, 1);
    assertEquals([(await queue.next()).value, (await queue.next()).value], [1, 2]);
    const error = await assertRejects(() => queue.next(), QueueOverflowError, "maxSize is 2");
    assertEquals([error.limit, error.name], [2, "QueueOverflowError"]);
    assertEquals(await queue.next(), { done: true, value: undefined });
  },
);

Deno.test(
  "MessageQueue lets none push others out that has no room by itself",
  bounded,
  async () => {
    const sizeOf = (text: string) => text.length;
    for (const overflow of POLICIES) {
      const queue = new MessageQueue<string>({ maxSize: 3, sizeOf, overflow });
      queue.push("a");
      assertEquals([queue.push("huge"), queue.length, queue.dropped], [false, 1, 1]);
      queue.close();
      assertEquals((await queue.next()).value, "a");
      const waits = new MessageQueue<string>({ maxSize: 3, sizeOf, overflow });
      const next = waits.next();
      assertEquals(waits.push("huge"), false);
      if (overflow === "end") await assertRejects(() => next, QueueOverflowError);
      else assertEquals([waits.push("b"), (await next).value], [true, "b"]);
    }
  },
);

Deno.test("MessageQueue listens to its signal only while a reader waits", bounded, async () => {
  const controller = new AbortController();
  const count = countedSignal(controller.signal);
  const queue = new MessageQueue<number>({ signal: controller.signal });
  for (const settles of [() => queue.push(1), () => queue.return(), () => queue.close()]) {
    const next = queue.next();
    assertEquals(count.listeners, 1);
    settles();
    await next;
    assertEquals(count.listeners, 0);
  }
  const other = new MessageQueue<number>({ signal: controller.signal });
  const next = other.next();
  controller.abort("enough");
  assertEquals(await next.catch((error) => error), "enough");
  assertEquals(count.listeners, 0);
});

Deno.test("MessageQueue refuses options that are wrong", { permissions: "none" }, () => {
  const wrong: [options: unknown, kind: typeof TypeError | typeof RangeError, says: string][] = [
    [null, TypeError, "options must be an object"],
    [{ maxSize: 0 }, RangeError, "maxSize must be an integer from 1 to 1099511627776, got 0"],
    [{ maxSize: Infinity }, RangeError, "maxSize must be an integer"],
    [{ sizeOf: 1 }, TypeError, "sizeOf must be a function, got a number"],
    [{ overflow: "wait" }, RangeError, "overflow must be"],
    [{ keyOf: "id" }, TypeError, "keyOf must be a function, got a string"],
  ];
  for (const [options, kind, says] of wrong) {
    assertThrows(() => new MessageQueue(options as MessageQueueOptions<number>), kind, says);
  }
  for (const [size, kind] of [["1", TypeError], [NaN, RangeError], [-1, RangeError]] as const) {
    const queue = new MessageQueue<number>({ sizeOf: () => size as number });
    assertThrows(() => queue.push(1), kind, "sizeOf() must return");
  }
});

/** What a queue ought to do, as simply as it can be said. */
class Model {
  waiting: number[] = [];
  dropped = 0;
  replaced = 0;
  isOver = false;
  readonly #maxSize: number;
  readonly #overflow: OverflowPolicy;
  readonly #isKeyed: boolean;

  constructor(maxSize: number, overflow: OverflowPolicy, isKeyed: boolean) {
    this.#maxSize = maxSize;
    this.#overflow = overflow;
    this.#isKeyed = isKeyed;
  }

  get size(): number {
    return this.waiting.reduce((sum, size) => sum + size, 0);
  }

  push(size: number): boolean {
    if (this.isOver) return false;
    const key = this.#isKeyed ? keyOf(size) : undefined;
    const at = this.waiting.findLastIndex((other) => key !== undefined && keyOf(other) === key);
    if (at !== -1 && this.size - this.waiting[at]! + size <= this.#maxSize) {
      this.waiting[at] = size;
      this.replaced++;
      return true;
    }
    if (
      size > this.#maxSize || (this.size + size > this.#maxSize && this.#overflow !== "drop-oldest")
    ) {
      this.dropped++;
      this.isOver = this.#overflow === "end";
      return false;
    }
    this.waiting.push(size);
    for (; this.size > this.#maxSize; this.dropped++) this.waiting.shift();
    return true;
  }
}

function keyOf(size: number): number | undefined {
  return size % 4 === 0 ? undefined : size % 4;
}

Deno.test("MessageQueue keeps its bound and its order, whatever happens", bounded, async () => {
  const step = fc.oneof(fc.nat({ max: 12 }), fc.constant("take" as const));
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        maxSize: fc.integer({ min: 1, max: 20 }),
        overflow: fc.constantFrom(...POLICIES),
        isKeyed: fc.boolean(),
        steps: fc.array(step, { maxLength: 60 }),
      }),
      async ({ maxSize, overflow, isKeyed, steps }) => {
        const queue = new MessageQueue<number>({
          ...{ maxSize, overflow, sizeOf: (size) => size },
          ...(isKeyed && { keyOf }),
        });
        const model = new Model(maxSize, overflow, isKeyed);
        for (const step of steps) {
          if (step !== "take") assertEquals(queue.push(step), model.push(step));
          else if (queue.length > 0) {
            assertEquals((await queue.next()).value, model.waiting.shift());
          }
          const { length, size, dropped, replaced } = queue;
          assert(size <= maxSize);
          assertEquals([length, size], [model.waiting.length, model.size]);
          assertEquals([dropped, replaced], [model.dropped, model.replaced]);
        }
        queue.close();
        for (const expected of model.waiting) assertEquals((await queue.next()).value, expected);
        if (model.isOver) await assertRejects(() => queue.next(), QueueOverflowError);
        assertEquals((await queue.next()).done, true);
      },
    ),
    { numRuns: 600 },
  );
});

Deno.test("MessageQueue takes pushes of many turns in their order", bounded, async () => {
  const queue = new MessageQueue<number>({ maxSize: 10_000 });
  const got = collect(queue);
  for (let number = 0; number < 1_000; number++) {
    queue.push(number);
    if (number % 7 === 0) await settle();
  }
  await until(() => queue.length === 0);
  queue.close();
  assertEquals(await got, Array.from({ length: 1_000 }, (_, number) => number));
});
