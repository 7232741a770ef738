import { LinkedList } from "../_internal/linked_list.ts";
import type { Bus } from "./bus.ts";
import {
  type Batch,
  DATA,
  decodeBatch,
  type Kind,
  Outgoing,
  PRESENCE,
  setElapsed,
  sizeOf,
  TRACED,
} from "./message.ts";
import { Numbering } from "./numbering.ts";

const MAX_MESSAGE = 1024 * 1024;
/** The size of a batch of several messages, in bytes: larger ones save nothing more. */
const MAX_BATCH = 16 * 1024;
/** The size of all messages that wait for the end of a turn. Each counts more than its bytes, so that none is free. */
const MAX_PENDING = 256 * 1024;
const OVERHEAD = 128;

/** What a link uses of its hub. */
export interface LinkHooks {
  now(): number;
  /** Calls at the end of this turn of the event loop. */
  soon(call: () => void): void;
  /** Another hub has published messages. */
  onBatch(batch: Batch): void;
  onStateChange(isReady: boolean): void;
  onError(error: unknown): void;
}

interface Waiting {
  readonly kind: Kind;
  readonly group: string;
  readonly count: number;
  readonly bytes: Uint8Array;
}

/** What a hub has to do with its bus: numbers, and messages that wait while the bus is away. */
export class Link {
  readonly bus: Bus;
  /** How many messages were not published, or not to everyone. */
  unpublished = 0;
  /** The size of the messages that wait, in bytes. */
  waitingSize = 0;
  readonly #hooks: LinkHooks;
  readonly #maxBacklog: number;
  readonly sender: number;
  /** Data and presence are numbered apart, so that a gap is one of data. */
  readonly #numbering: { readonly [kind in Kind]: Numbering };
  /** What was published in this turn, by group, and its size. */
  readonly #pending = new Map<string, Outgoing>();
  #pendingSize = 0;
  #isFlushing = false;
  readonly #waiting = new LinkedList<Waiting>();
  #isReady: boolean;

  constructor(
    bus: Bus,
    options: { maxBacklog: number; maxGroups: number; sender: number },
    hooks: LinkHooks,
  ) {
    this.bus = bus;
    this.#hooks = hooks;
    this.#maxBacklog = options.maxBacklog;
    this.sender = options.sender;
    const data = new Numbering(options.sender, options.maxGroups);
    this.#numbering = {
      [DATA]: data,
      [TRACED]: data,
      [PRESENCE]: new Numbering(options.sender, options.maxGroups),
    };
    bus.start({
      onMessage: (message) => this.#onMessage(message),
      onStateChange: () => this.#onStateChange(),
      onError: (error) => hooks.onError(error),
    });
    this.#isReady = bus.isReady;
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  /**
   * Publishes a message at the end of this turn, together with others to the same group. If the bus is away, the message
   * waits.
   *
   * @returns Whether it is not lost yet.
   * @throws {RangeError} If it is too large for the bus.
   */
  publish(kind: Kind, group: string, key: string, payload: Uint8Array): boolean {
    const message = { key, payload };
    const maxSize = this.bus.maxMessageSize ?? MAX_MESSAGE;
    const batch = this.#pending.get(group);
    if (batch?.kind !== kind || !batch.add(message, Math.min(maxSize, MAX_BATCH))) {
      const next = new Outgoing(kind, group, message);
      if (next.size > maxSize) checkSize(sizeOf(group, message), maxSize);
      if (batch !== undefined) this.#send(batch);
      this.#pending.set(group, next);
    }
    this.#pendingSize += OVERHEAD + payload.length;
    if (!this.#isOpen || this.#pendingSize > MAX_PENDING) return this.flush();
    if (!this.#isFlushing) {
      this.#isFlushing = true;
      this.#hooks.soon(this.#onTurnEnd);
    }
    return true;
  }

  /** Gives the bus what was published in this turn, or lets it wait. Returns whether all of it is not lost yet. */
  flush(): boolean {
    let isKept = true;
    // A bus may deliver at once, and what it is told then may publish more.
    for (const batch of this.#pending.values()) if (!this.#send(batch)) isKept = false;
    this.#pendingSize = 0;
    return isKept;
  }

  #send(batch: Outgoing): boolean {
    const { kind, group, messages: { length: count } } = batch;
    this.#pending.delete(group);
    const number = this.#numbering[kind].next(group, this.#hooks.now(), count);
    const bytes = batch.encode(number);
    if (this.#isOpen) return this.#give(group, count, bytes);
    if (this.waitingSize + bytes.length > this.#maxBacklog) {
      this.unpublished += count;
      return false;
    }
    this.#waiting.push({ kind, group, count, bytes });
    this.waitingSize += bytes.length;
    return true;
  }

  readonly #onTurnEnd = (): void => {
    this.#isFlushing = false;
    this.flush();
  };

  /** Whether what is published now has to wait for nothing. */
  get #isOpen(): boolean {
    return this.#waiting.length === 0 && this.bus.isReady;
  }

  #give(group: string, count: number, bytes: Uint8Array): boolean {
    let isTaken = false;
    try {
      isTaken = this.bus.publish(group, bytes);
    } catch (error) { // the members in this process get the messages anyway
      this.#hooks.onError(error);
    }
    if (!isTaken) this.unpublished += count;
    return isTaken;
  }

  #onMessage(bytes: Uint8Array): void {
    let batch;
    try {
      batch = decodeBatch(bytes);
    } catch (error) {
      return this.#hooks.onError(error);
    }
    if (batch.sender !== this.sender) this.#hooks.onBatch(batch);
  }

  /** Ends, after the bus has got what was published. */
  close(): Promise<void> {
    this.flush();
    return this.bus.close();
  }

  #onStateChange(): void {
    if (this.bus.isReady) this.#catchUp();
    const { isReady } = this.bus; // it may be full again
    if (isReady === this.#isReady) return;
    this.#isReady = isReady;
    this.#hooks.onStateChange(isReady);
  }

  /** Publishes what waits. */
  #catchUp(): void {
    while (this.#waiting.length > 0 && this.bus.isReady) {
      const { kind, group, count, bytes } = this.#waiting.shift()!;
      this.waitingSize -= bytes.length;
      setElapsed(bytes, 0); // that of the messages between which they waited is not known any more
      this.#numbering[kind].touch(group, this.#hooks.now());
      this.#give(group, count, bytes);
    }
  }
}

function checkSize(size: number, maxSize: number): void {
  if (size <= maxSize) return;
  throw new RangeError(
    `a message has at most ${maxSize} bytes on this bus, got ${size} with its header`,
  );
}
