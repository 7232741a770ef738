import { LinkedList } from "../_internal/linked_list.ts";
import type { BusListener } from "./bus.ts";

/** How many messages, and about how many bytes, are stored at a time. */
const BATCH_LENGTH = 256;
const BATCH_SIZE = 256 * 1024;

/** A message that is to be stored. */
export interface Unstored {
  readonly group: string;
  readonly bytes: Uint8Array;
}

/** What a queue uses of its bus. */
export interface StoreHooks {
  /**
   * Stores messages. It may be called again with those of the same number, which are stored once. It rejects if that is to
   * be tried again.
   */
  store(batch: readonly Unstored[], number: number): Promise<void>;
  /** Resolves when the next attempt makes sense. */
  untilConnected(): Promise<void>;
  /** Whether the bus takes messages. */
  isReady(): boolean;
  listener(): BusListener;
}

/**
 * Stores messages in order, a batch at a time: the next one once the broker has confirmed the last one, so that no message
 * overtakes one that must be sent again. What is published within one turn of the event loop is one batch.
 */
export class StoreQueue {
  /** The size of the messages that are not stored yet, in bytes. */
  size = 0;
  readonly #hooks: StoreHooks;
  readonly #waiting = new LinkedList<Unstored>();
  #isRunning = false;
  #isClosed = false;
  #number = 0;

  constructor(hooks: StoreHooks) {
    this.#hooks = hooks;
  }

  /** Stores a message of the hub's, as a history does. */
  publish(group: string, bytes: Uint8Array): boolean {
    this.size += bytes.length;
    this.#waiting.push({ group, bytes });
    if (!this.#isRunning) this.#run();
    if (!this.#hooks.isReady()) this.#hooks.listener().onStateChange();
    return true;
  }

  /** Sends what waits, and does not wait for it. */
  close(): void {
    this.#isClosed = true;
    while (this.#waiting.length > 0) {
      this.#hooks.store(this.#next(), ++this.#number).catch(() => {}); // the connection is lost
    }
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    await null; // for what else is published now
    while (this.#waiting.length > 0) {
      const batch = this.#next();
      const number = ++this.#number;
      while (!await this.#store(batch, number)) await this.#hooks.untilConnected();
      if (this.#isClosed) return;
      this.#onStored(batch);
    }
    this.#isRunning = false;
  }

  async #store(batch: readonly Unstored[], number: number): Promise<boolean> {
    try {
      await this.#hooks.store(batch, number);
      return true;
    } catch {
      return this.#isClosed; // the connection was lost, which the bus tells
    }
  }

  #onStored(batch: readonly Unstored[]): void {
    const { isReady, listener } = this.#hooks;
    const wasReady = isReady();
    for (const { bytes } of batch) this.size -= bytes.length;
    listener().onStored(batch.length);
    if (!wasReady && isReady()) listener().onStateChange();
  }

  #next(): Unstored[] {
    const batch: Unstored[] = [];
    let size = 0;
    while (this.#waiting.length > 0 && batch.length < BATCH_LENGTH && size < BATCH_SIZE) {
      const message = this.#waiting.shift()!;
      batch.push(message);
      size += message.bytes.length;
    }
    return batch;
  }
}
