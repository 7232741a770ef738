import { LinkedList } from "../_internal/linked_list.ts";
import type { Bus } from "./bus.ts";
import {
  type BusMessage,
  DATA,
  decodeMessage,
  encodeMessage,
  type Kind,
  PRESENCE,
  setElapsed,
  setNumber,
  TRACED,
} from "./message.ts";
import { Numbering } from "./numbering.ts";

const MAX_MESSAGE = 1024 * 1024;

/** What a link uses of its hub. */
export interface LinkHooks {
  now(): number;
  /** Another hub has published a message. */
  onMessage(message: BusMessage): void;
  onStateChange(isReady: boolean): void;
  onError(error: unknown): void;
}

interface Waiting {
  readonly kind: Kind;
  readonly group: string;
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
   * Publishes a message, or lets it wait for the bus.
   *
   * @returns Whether it is not lost yet.
   * @throws {RangeError} If it is too large for the bus.
   */
  publish(kind: Kind, group: string, key: string, payload: Uint8Array): boolean {
    const bytes = encodeMessage({ kind, group, key, payload });
    const most = this.bus.maxMessageSize ?? MAX_MESSAGE;
    if (bytes.length > most) {
      throw new RangeError(
        `a message has at most ${most} bytes on this bus, got ${bytes.length} with its header`,
      );
    }
    setNumber(bytes, this.#numbering[kind].next(group, this.#hooks.now()));
    if (this.#waiting.length === 0 && this.bus.isReady) return this.#give(group, bytes);
    if (this.waitingSize + bytes.length > this.#maxBacklog) {
      this.unpublished++;
      return false;
    }
    this.#waiting.push({ kind, group, bytes });
    this.waitingSize += bytes.length;
    return true;
  }

  #give(group: string, bytes: Uint8Array): boolean {
    let isTaken = false;
    try {
      isTaken = this.bus.publish(group, bytes);
    } catch (error) { // the members in this process get the message anyway
      this.#hooks.onError(error);
    }
    if (!isTaken) this.unpublished++;
    return isTaken;
  }

  #onMessage(bytes: Uint8Array): void {
    let message;
    try {
      message = decodeMessage(bytes);
    } catch (error) {
      return this.#hooks.onError(error);
    }
    if (message.sender !== this.sender) this.#hooks.onMessage(message);
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
      const { kind, group, bytes } = this.#waiting.shift()!;
      this.waitingSize -= bytes.length;
      setElapsed(bytes, 0); // that of the messages between which it waited is not known any more
      this.#numbering[kind].touch(group, this.#hooks.now());
      this.#give(group, bytes);
    }
  }
}
