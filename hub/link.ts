import { LinkedList } from "../_internal/linked_list.ts";
import { MalformedFrameError } from "../errors.ts";
import type { Bus } from "./bus.ts";
import { isPosition } from "./position.ts";
import {
  type Batch,
  DATA,
  decodeBatch,
  type Kind,
  type MessageNumber,
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
  /** Another hub has published messages. With a position, it may be this one. */
  onBatch(batch: Batch, position?: string, previous?: string): void;
  onStateChange(isReady: boolean): void;
  /** The bus was away, and messages may be missing that its history has. */
  onReconnect(): void;
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
  /** The messages that the bus stores now. */
  readonly #storing = new LinkedList<Waiting>();
  #isReady: boolean;
  /** Resolves when the bus is ready or closed. */
  #change: PromiseWithResolvers<void> | undefined;
  #isClosed = false;
  /** The number of the last messages that were sent or wait. */
  last: MessageNumber | undefined;

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
      onMessage: (...message) => this.#onMessage(...message),
      onStateChange: () => this.#onStateChange(),
      onStored: (count) => {
        for (; count > 0; count--) this.#storing.shift();
      },
      onReconnect: () => hooks.onReconnect(),
      onError: (error) => hooks.onError(error),
    });
    this.#isReady = bus.isReady;
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  /**
   * Publishes a message at the end of this turn, together with others to the same group. If the bus is away, the message
   * waits. If the bus has a history, each message is given to it at once and alone.
   *
   * @returns Whether it is not lost yet.
   * @throws {RangeError} If it is too large for the bus.
   */
  publish(kind: Kind, group: string, key: string, payload: Uint8Array): boolean {
    const message = { key, payload };
    const maxSize = this.bus.maxMessageSize ?? MAX_MESSAGE;
    if (this.bus.history !== undefined && kind !== PRESENCE) {
      checkSize(sizeOf(group, message), maxSize);
      return this.#number(new Outgoing(kind, group, message));
    }
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
    this.#pending.delete(batch.group);
    return this.#number(batch);
  }

  #number(batch: Outgoing): boolean {
    const { kind, group, messages: { length: count } } = batch;
    this.last = this.#numbering[kind].next(group, this.#hooks.now(), count);
    const bytes = batch.encode(this.last);
    if (this.#isOpen) return this.#give({ kind, group, count, bytes });
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

  /** Resolves once the bus is ready, with `false` if it is closed. */
  async untilReady(): Promise<boolean> {
    while (!this.bus.isReady && !this.#isClosed) {
      await (this.#change ??= Promise.withResolvers()).promise;
    }
    return !this.#isClosed;
  }

  /** The messages to a group that will be stored, and are not yet. */
  *unstored(of: string): Generator<Batch, void, void> {
    for (const list of [this.#storing, this.#waiting]) {
      for (const { kind, group, bytes } of list) {
        if (kind !== PRESENCE && group === of) yield decodeBatch(bytes);
      }
    }
  }

  #give(messages: Waiting): boolean {
    const { kind, group, count, bytes } = messages;
    const history = kind === PRESENCE ? undefined : this.bus.history;
    let isTaken = false;
    try {
      isTaken = (history ?? this.bus).publish(group, bytes);
      if (isTaken && history !== undefined) this.#storing.push(messages);
    } catch (error) { // the members in this process get the messages anyway
      this.#hooks.onError(error);
    }
    if (!isTaken) this.unpublished += count;
    return isTaken;
  }

  #onMessage(bytes: Uint8Array, position?: string, previous?: string): void {
    let batch;
    try {
      batch = decodeBatch(bytes);
      if (position !== undefined && !isPosition(position)) {
        throw new MalformedFrameError("a batch on the bus has no valid position", 0);
      }
    } catch (error) {
      return this.#hooks.onError(error);
    }
    if (batch.sender !== this.sender || position !== undefined) {
      this.#hooks.onBatch(batch, position, previous);
    }
  }

  /** Ends, after the bus has got what was published. */
  close(): Promise<void> {
    this.flush();
    this.#isClosed = true;
    this.#change?.resolve();
    return this.bus.close();
  }

  #onStateChange(): void {
    if (this.bus.isReady) {
      this.#catchUp();
      this.#change?.resolve();
      this.#change = undefined;
    }
    const { isReady } = this.bus; // it may be full again
    if (isReady === this.#isReady) return;
    this.#isReady = isReady;
    this.#hooks.onStateChange(isReady);
  }

  /** Publishes what waits. */
  #catchUp(): void {
    while (this.#waiting.length > 0 && this.bus.isReady) {
      const messages = this.#waiting.shift()!;
      const { kind, group, bytes } = messages;
      this.waitingSize -= bytes.length;
      setElapsed(bytes, 0); // that of the messages between which they waited is not known any more
      this.#numbering[kind].touch(group, this.#hooks.now());
      this.#give(messages);
    }
  }
}

function checkSize(size: number, maxSize: number): void {
  if (size <= maxSize) return;
  throw new RangeError(
    `a message has at most ${maxSize} bytes on this bus, got ${size} with its header`,
  );
}
