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
 * | `drop-oldest` | the oldest messages are dropped: if only the latest ones count |
 * | `drop-newest` | the new message is dropped: if the messages that are queued must be completed first |
 * | `end` | the queue ends with a `QueueOverflowError`: if no message may be lost unnoticed |
 */
export type OverflowPolicy = "drop-oldest" | "drop-newest" | "end";

/** Options of {@linkcode MessageQueue}. */
export interface MessageQueueOptions<Message> {
  /**
   * The maximum size of the queue: a number of messages, or the sum of what `sizeOf` returns for them. 1 to 2^40.
   *
   * @default {1024}
   */
  maxSize?: number;
  /**
   * Returns the size of a message, such as its length in bytes. By default, each message has the size 1.
   *
   * @param message The message.
   * @returns Its size, 0 or more.
   */
  sizeOf?: (message: Message) => number;
  /**
   * What happens if there is no room for a message. With `drop-oldest` and `drop-newest`, a message that is larger than
   * `maxSize` by itself is dropped.
   *
   * @default {"end"}
   */
  overflow?: OverflowPolicy;
  /**
   * Returns the key of a message. A message replaces the one with the same key that waits, and takes its place: if only
   * the latest value of each thing counts. By default, and if it returns `undefined`, a message replaces none.
   *
   * @param message The message.
   * @returns Its key, which is compared as by a `Map`.
   */
  keyOf?: (message: Message) => unknown;
  /**
   * A signal that ends the queue at once, such as `session.signal`: the loop rejects with its reason, and queued messages
   * are dropped.
   */
  signal?: AbortSignal;
}

const QUEUE_OPTIONS: Known<MessageQueueOptions<unknown>> = {
  maxSize: elsewhere,
  sizeOf: checkFunction,
  overflow: elsewhere,
  keyOf: checkFunction,
  signal: checkSignal,
};

interface Entry<Message> {
  message: Message;
  size: number;
  readonly key: unknown;
}

const ENDED: IteratorReturnResult<undefined> = { done: true, value: undefined };

/**
 * A bounded queue between a sender that does not wait and a loop that takes the messages one by one: for pushes that a
 * client receives between its replies, or for messages of a server to a slow session. A policy says what happens if the
 * queue is full.
 *
 * It is an async iterator for one reader. Leaving a loop does not change the queue: a later loop continues there.
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
 * @example Messages to a session that may be slow
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
  readonly #keyOf: ((message: Message) => unknown) | undefined;
  readonly #signal: AbortSignal | undefined;
  /** The messages that wait, by key. */
  readonly #keyed = new Map<unknown, Entry<Message>>();
  #size = 0;
  #dropped = 0;
  #replaced = 0;
  #end: { error: unknown } | undefined;
  #waiting: PromiseWithResolvers<IteratorResult<Message, undefined>> | undefined;

  /**
   * Makes an empty queue.
   *
   * @param options The size, and what happens if the queue is full.
   * @throws {TypeError | RangeError} If an option is invalid.
   */
  constructor(options: MessageQueueOptions<Message> = {}) {
    checkOptions(options, QUEUE_OPTIONS);
    const { maxSize = 1024, sizeOf, overflow = "end", keyOf, signal } = options;
    this.#maxSize = checkInteger("maxSize", maxSize, 1, 2 ** 40);
    checkOneOf("overflow", overflow, ["drop-oldest", "drop-newest", "end"]);
    this.#sizeOf = sizeOf;
    this.#overflow = overflow;
    this.#keyOf = keyOf;
    this.#signal = signal;
  }

  /** How many messages wait. */
  get length(): number {
    return this.#isAborted ? 0 : this.#entries.length;
  }

  /** The size of the messages that wait, by `sizeOf`. Without it, the same as {@linkcode length}. */
  get size(): number {
    return this.#isAborted ? 0 : this.#size;
  }

  /** How many messages have been dropped because there was no room. */
  get dropped(): number {
    return this.#dropped;
  }

  /** How many messages have been replaced by a later one with the same key. */
  get replaced(): number {
    return this.#replaced;
  }

  /**
   * Adds a message, if there is room.
   *
   * @param message The message.
   * @returns Whether it was added. `false` if it was dropped, or if the queue has ended.
   * @throws {TypeError | RangeError} If `sizeOf` does not return a size.
   */
  push(message: Message): boolean {
    if (this.#hasEnded) return false;
    const size = this.#sizeOf === undefined ? 1 : checkSize(this.#sizeOf(message));
    if (this.#waiting !== undefined && size <= this.#maxSize) {
      this.#wake().resolve({ done: false, value: message });
      return true;
    }
    const key = this.#keyOf?.(message);
    if (key !== undefined && this.#replace(key, message, size)) return true;
    if (this.#size + size > this.#maxSize && !this.#makeRoom(size)) return false;
    const entry = { message, size, key };
    this.#entries.push(entry);
    if (key !== undefined) this.#keyed.set(key, entry);
    this.#size += size;
    return true;
  }

  /**
   * Ends the queue: nothing more is added. The messages that wait can still be read. After them, the loop is done. If the
   * queue has ended already, nothing changes.
   *
   * @param error If given, the loop rejects with it once, instead of being done.
   */
  close(error?: unknown): void {
    if (this.#hasEnded) return;
    this.#end = { error };
    if (this.#waiting === undefined) return;
    const waiting = this.#wake();
    this.#conclude().then(waiting.resolve, waiting.reject);
  }

  /**
   * Waits for the next message.
   *
   * @returns The message. Done if the queue has ended.
   * @throws {TypeError} If another `next()` waits.
   * @throws {QueueOverflowError} Once, after the queued messages, if there was no room and `overflow` is `end`.
   * @throws Once, the error that the queue was closed with, or the reason of its signal.
   */
  next(): Promise<IteratorResult<Message, undefined>> {
    if (this.#waiting !== undefined) {
      const problem = "another next() of this queue waits already: one at a time";
      return Promise.reject(new TypeError(problem));
    }
    if (this.#isAborted) return Promise.reject(this.#signal!.reason);
    if (this.#entries.length > 0) {
      return Promise.resolve({ done: false, value: this.#shift() });
    }
    if (this.#end !== undefined) return this.#conclude();
    this.#waiting = Promise.withResolvers();
    this.#signal?.addEventListener("abort", this.#onAbort);
    return this.#waiting.promise;
  }

  /**
   * Settles a `next()` that waits as done. `break` calls it. The queue does not change.
   *
   * @returns Done.
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

  /** A queue listens to its signal only while a reader waits, so that a queue that is dropped leaves no listener. */
  get #isAborted(): boolean {
    if (this.#signal?.aborted !== true) return false;
    if (this.#entries.length > 0) {
      this.#entries = new LinkedList();
      this.#keyed.clear();
    }
    return true;
  }

  /** Replaces the message that waits with a key, if there is one and the new one has room. */
  #replace(key: unknown, message: Message, size: number): boolean {
    const entry = this.#keyed.get(key);
    if (entry === undefined || this.#size - entry.size + size > this.#maxSize) return false;
    this.#size += size - entry.size;
    entry.message = message;
    entry.size = size;
    this.#replaced++;
    return true;
  }

  /** Takes the oldest message. */
  #shift(): Message {
    const entry = this.#entries.shift()!;
    this.#size -= entry.size;
    if (this.#keyed.get(entry.key) === entry) this.#keyed.delete(entry.key);
    return entry.message;
  }

  /** Makes room for a message, if the policy allows it. Returns whether there is room. */
  #makeRoom(size: number): boolean {
    this.#dropped++;
    if (this.#overflow === "end") this.close(new QueueOverflowError(this.#maxSize));
    if (this.#overflow !== "drop-oldest" || size > this.#maxSize) return false;
    this.#dropped--;
    while (this.#size + size > this.#maxSize) {
      this.#shift();
      this.#dropped++;
    }
    return true;
  }

  /** The last step: rejects with the error of the end once, and is done after that. */
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
