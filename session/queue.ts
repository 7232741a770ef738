import {
  checkFunction,
  checkInteger,
  checkOneOf,
  checkSignal,
  shown,
} from "../_internal/checks.ts";
import { checkOptions, elsewhere, type Known } from "../_internal/options.ts";
import { LinkedList } from "../_internal/linked_list.ts";
import { QueueOverflowError } from "../errors.ts";

/**
 * What a queue does with a message that it has no room for.
 *
 * | policy | meaning |
 * |---|---|
 * | `drop-oldest` | the messages that wait longest make room: where only the latest counts |
 * | `drop-newest` | the message is dropped: where what has begun is to be brought to its end |
 * | `end` | the queue ends with a `QueueOverflowError`: where nothing may be missed unnoticed |
 */
export type OverflowPolicy = "drop-oldest" | "drop-newest" | "end";

/** Options of {@linkcode MessageQueue}. */
export interface MessageQueueOptions<Message> {
  /**
   * How much may wait: so many messages, or as much as `sizeOf` counts; 1 to 2^40.
   *
   * @default {1024}
   */
  maxSize?: number;
  /**
   * How much a message counts to `maxSize`, such as its length in bytes. By default each counts 1.
   *
   * @param message The message.
   * @returns Its size, 0 or more.
   */
  sizeOf?: (message: Message) => number;
  /**
   * What becomes of a message that there is no room for. One that is larger than `maxSize` by itself is dropped under
   * either of the first two.
   *
   * @default {"end"}
   */
  overflow?: OverflowPolicy;
  /**
   * Ends the queue at once when it aborts, such as `session.signal`: the loop rejects with its reason, and what waits
   * is let go of.
   */
  signal?: AbortSignal;
}

const QUEUE_OPTIONS: Known<MessageQueueOptions<unknown>> = {
  maxSize: elsewhere,
  sizeOf: checkFunction,
  overflow: elsewhere,
  signal: checkSignal,
};

interface Entry<Message> {
  readonly message: Message;
  readonly size: number;
}

const ENDED: IteratorReturnResult<undefined> = { done: true, value: undefined };

/**
 * Messages on their way from somebody who does not wait to somebody who takes them one by one: pushes that a client is
 * sent between its replies, or what a server has to say to a session that is slow. How much may wait is bounded, and a
 * policy says what becomes of the rest.
 *
 * It is an async iterator for one reader. To leave a loop leaves the queue as it is: a later loop goes on there.
 *
 * @example The pushes of a server, beside its replies
 * ```ts
 * import { MessageQueue, requests } from "@parley/tcp";
 * import { sessionPair } from "@parley/tcp/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const [client, server] = sessionPair();
 * const news = new MessageQueue<string>({ maxSize: 100, overflow: "drop-oldest" });
 * const rpc = requests(client.lines(), {
 *   isReply: (line) => !line.startsWith("!"),
 *   onUnmatched: (line) => void news.push(line),
 * });
 * const reply = rpc.request("hello");
 * await server.send("!rain\nhello\n!sun\n");
 * assertEquals(await reply, "hello");
 * for await (const line of news) {
 *   if (line === "!sun") break;
 *   assertEquals(line, "!rain");
 * }
 * assertEquals(news.dropped, 0);
 * await rpc.close();
 * await Promise.all([client.close(), server.close()]);
 * ```
 *
 * @example What a handler sends to a session that may be slow
 * ```ts
 * import { MessageQueue, serve, type Session } from "@parley/tcp";
 *
 * const queues = new Set<MessageQueue<string>>();
 * await using server = serve({ port: 0 }, async (session: Session) => {
 *   const { signal } = session;
 *   const queue = new MessageQueue<string>({ overflow: "drop-oldest", signal });
 *   queues.add(queue);
 *   try {
 *     for await (const message of queue) await session.send(message);
 *   } finally {
 *     queues.delete(queue);
 *   }
 * });
 * for (const queue of queues) queue.push("news\n");
 * ```
 */
export class MessageQueue<Message> implements AsyncIterableIterator<Message, undefined, void> {
  #entries = new LinkedList<Entry<Message>>();
  readonly #maxSize: number;
  readonly #sizeOf: ((message: Message) => number) | undefined;
  readonly #overflow: OverflowPolicy;
  readonly #signal: AbortSignal | undefined;
  #size = 0;
  #dropped = 0;
  #end: { error: unknown } | undefined;
  #waiting: PromiseWithResolvers<IteratorResult<Message, undefined>> | undefined;

  /**
   * Makes an empty queue.
   *
   * @param options How much may wait, and what becomes of the rest.
   * @throws {TypeError | RangeError} If an option is wrong.
   */
  constructor(options: MessageQueueOptions<Message> = {}) {
    checkOptions(options, QUEUE_OPTIONS);
    const { maxSize = 1024, sizeOf, overflow = "end", signal } = options;
    this.#maxSize = checkInteger("maxSize", maxSize, 1, 2 ** 40);
    checkOneOf("overflow", overflow, ["drop-oldest", "drop-newest", "end"]);
    this.#sizeOf = sizeOf;
    this.#overflow = overflow;
    this.#signal = signal;
  }

  /** How many messages wait. */
  get length(): number {
    return this.#isAborted ? 0 : this.#entries.length;
  }

  /** How much waits, by `sizeOf`; without it, the same as {@linkcode length}. */
  get size(): number {
    return this.#isAborted ? 0 : this.#size;
  }

  /** How many messages have been dropped because there was no room. */
  get dropped(): number {
    return this.#dropped;
  }

  /**
   * Adds a message, as far as there is room.
   *
   * @param message The message.
   * @returns Whether it was added; `false` if it was dropped, or the queue has ended.
   * @throws {TypeError | RangeError} If `sizeOf` gives no size.
   */
  push(message: Message): boolean {
    if (this.#hasEnded) return false;
    const size = this.#sizeOf === undefined ? 1 : checkSize(this.#sizeOf(message));
    if (this.#waiting !== undefined && size <= this.#maxSize) {
      this.#wake().resolve({ done: false, value: message });
      return true;
    }
    if (this.#size + size > this.#maxSize && !this.#makeRoom(size)) return false;
    this.#entries.push({ message, size });
    this.#size += size;
    return true;
  }

  /**
   * Ends the queue: nothing more is added. What waits is still read; after it, the loop is done. Of a queue that has
   * ended already, nothing changes.
   *
   * @param error What the loop rejects with instead of being done, once.
   */
  close(error?: unknown): void {
    if (this.#hasEnded) return;
    this.#end = { error };
    if (this.#waiting === undefined) return;
    const waiting = this.#wake();
    this.#conclude().then(waiting.resolve, waiting.reject);
  }

  /**
   * The next message, once there is one.
   *
   * @returns The message, or that the queue has ended.
   * @throws {TypeError} If another `next()` waits.
   * @throws {QueueOverflowError} Once, after all that waited, if there was no room and `overflow` is `end`.
   * @throws What the queue was closed with, once, or the reason of its signal.
   */
  next(): Promise<IteratorResult<Message, undefined>> {
    if (this.#waiting !== undefined) {
      const problem = "another next() of this queue waits already: one at a time";
      return Promise.reject(new TypeError(problem));
    }
    if (this.#isAborted) return Promise.reject(this.#signal!.reason);
    const entry = this.#entries.shift();
    if (entry !== undefined) {
      this.#size -= entry.size;
      return Promise.resolve({ done: false, value: entry.message });
    }
    if (this.#end !== undefined) return this.#conclude();
    this.#waiting = Promise.withResolvers();
    this.#signal?.addEventListener("abort", this.#onAbort);
    return this.#waiting.promise;
  }

  /**
   * What `break` calls: settles a `next()` that waits as done. The queue stays as it is.
   *
   * @returns That the loop is done.
   */
  return(): Promise<IteratorReturnResult<undefined>> {
    if (this.#waiting !== undefined) this.#wake().resolve(ENDED);
    return Promise.resolve(ENDED);
  }

  /**
   * The queue itself.
   *
   * @returns The queue.
   */
  [Symbol.asyncIterator](): this {
    return this;
  }

  get #hasEnded(): boolean {
    return this.#end !== undefined || this.#isAborted;
  }

  /** Of its own accord, a queue listens to the signal only while a reader waits: what is dropped leaves no listener. */
  get #isAborted(): boolean {
    if (this.#signal?.aborted !== true) return false;
    if (this.#entries.length > 0) this.#entries = new LinkedList();
    return true;
  }

  /** Sees to it that there is room, if the policy has a way. Otherwise the message that comes is lost. */
  #makeRoom(size: number): boolean {
    this.#dropped++;
    if (this.#overflow === "end") this.close(new QueueOverflowError(this.#maxSize));
    if (this.#overflow !== "drop-oldest" || size > this.#maxSize) return false;
    this.#dropped--;
    while (this.#size + size > this.#maxSize) {
      this.#size -= this.#entries.shift()!.size;
      this.#dropped++;
    }
    return true;
  }

  /** The last step: what the queue was ended with is told once. */
  #conclude(): Promise<IteratorReturnResult<undefined>> {
    const { error } = this.#end!;
    this.#end = { error: undefined };
    return error === undefined ? Promise.resolve(ENDED) : Promise.reject(error);
  }

  /** Takes the `next()` that waits, and its listener from the signal. */
  #wake(): PromiseWithResolvers<IteratorResult<Message, undefined>> {
    const waiting = this.#waiting!;
    this.#waiting = undefined;
    this.#signal?.removeEventListener("abort", this.#onAbort);
    return waiting;
  }

  readonly #onAbort = (): void => this.#wake().reject(this.#signal!.reason);
}

function checkSize(size: unknown): number {
  if (typeof size !== "number") {
    throw new TypeError(`sizeOf() must return a number, got ${shown(size)}`);
  }
  if (size >= 0) return size;
  throw new RangeError(`sizeOf() must return 0 or more, got ${size}`);
}
