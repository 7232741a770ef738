/** The interface between a hub and what carries its messages to other processes. */

/** What a bus tells its hub. */
export interface BusListener {
  /**
   * A message of another process has arrived, for a group that is subscribed. It may be a message of this hub, arrive
   * twice or out of order: the hub notices.
   *
   * @param message The bytes that the other hub has published. They are not used after the call.
   * @param position Where it was stored, if the bus has a history and the message came by it.
   * @param previous The position of the message before it in the same group, whoever has published it.
   */
  onMessage(message: Uint8Array, position?: string, previous?: string): void;
  /** {@linkcode Bus.isReady} has changed. */
  onStateChange(): void;
  /**
   * Messages of {@linkcode BusHistory.publish} are stored, or the bus has given them up. It is not called before `publish()`
   * has returned.
   *
   * @param count How many, of the oldest.
   */
  onStored(count: number): void;
  /**
   * The connection was lost and is there again: what was published meanwhile is read from the history. Only a bus with a
   * history calls it, once {@linkcode Bus.isReady} is `true` and all groups are subscribed again.
   */
  onReconnect(): void;
  /**
   * Something went wrong that the hub cannot see, such as a subscription that was refused.
   *
   * @param error What went wrong.
   */
  onError(error: unknown): void;
}

/** A message in a history. */
export interface HistoryEntry {
  /** Where it is. */
  readonly position: string;
  /** The bytes that a hub has published, which belong to the hub from now on. Without it, the hub skips the entry. */
  readonly message?: Uint8Array;
}

/** Messages of a group that follow each other in a history. */
export interface HistoryPage {
  /** The messages, the oldest first. None if there is none after the position. */
  readonly entries: readonly HistoryEntry[];
  /** Whether the entry at the position is still there, or it is `"0"`. If not, messages after it may be missing as well. */
  readonly isComplete: boolean;
  /** Whether there were no more at the time. */
  readonly isLast: boolean;
}

/**
 * Keeps the last messages of each group, for those who come later and for hubs that have missed some.
 *
 * The messages of a group are in one order, in which the bus also delivers them: that of their positions. A position is a
 * decimal integer of up to 64 bits, or two of them with a hyphen in between. `"0"` is before all messages.
 */
export interface BusHistory {
  /**
   * Stores a message at the end of the history of a group, and then sends it to all processes that have subscribed to the
   * group, this one included. If a connection breaks meanwhile, the bus goes on until the message is stored, once.
   * It is called as {@linkcode Bus.publish} is.
   *
   * @param group The name of the group.
   * @param message The bytes.
   * @returns Whether the bus has taken it.
   */
  publish(group: string, message: Uint8Array): boolean;
  /**
   * Reads the next messages of a group: some 64 KiB, or a single one that is larger.
   *
   * @param group The name of the group.
   * @param after The position before them. It may be one of another broker, or invented.
   * @returns What follows. If it rejects while {@linkcode Bus.isReady} is `false`, the hub tries again when it is `true`.
   */
  read(group: string, after: string): Promise<HistoryPage>;
  /**
   * The position before the last messages of a group. If there is nothing yet, an entry without a message is added: so every
   * position is that of an entry, and it is known whether what followed it is still there.
   *
   * @param group The name of the group.
   * @param count How many messages there should be after it. 0 for the position of the last entry.
   * @returns The position, `"0"` if there are no more than `count` entries. It may reject as `read()` does.
   */
  tail(group: string, count: number): Promise<string>;
}

/**
 * Carries messages between the hubs of several processes or threads.
 *
 * A bus delivers at most once: it may lose messages, but must not wait for a receiver or keep messages without a limit.
 * It connects again by itself, and subscribes again to the groups that are subscribed.
 *
 * @example A bus between two hubs in one thread
 * ```ts
 * import { type Bus, type BusListener, Hub } from "@parley/tcp/hub";
 * import { sessionPair } from "@parley/tcp/testing";
 * import { assertEquals } from "@std/assert";
 *
 * class LocalBus implements Bus {
 *   static readonly #all = new Set<LocalBus>();
 *   readonly isReady = true;
 *   readonly #groups = new Set<string>();
 *   #listener: BusListener | undefined;
 *
 *   start(listener: BusListener) {
 *     this.#listener = listener;
 *     LocalBus.#all.add(this);
 *   }
 *
 *   publish(group: string, message: Uint8Array) {
 *     for (const other of LocalBus.#all) {
 *       if (other.#groups.has(group)) other.#listener!.onMessage(message);
 *     }
 *     return true;
 *   }
 *
 *   subscribe(group: string) {
 *     this.#groups.add(group);
 *     return Promise.resolve();
 *   }
 *
 *   unsubscribe(group: string) {
 *     this.#groups.delete(group);
 *   }
 *
 *   close() {
 *     LocalBus.#all.delete(this);
 *     return Promise.resolve();
 *   }
 * }
 *
 * await using here = new Hub({ bus: new LocalBus() });
 * await using there = new Hub({ bus: new LocalBus() });
 * const [client, session] = sessionPair();
 * await here.join("news", session);
 * there.publish("news", "rain\n");
 * assertEquals(await client.readLine(), "rain");
 * await Promise.all([client.close(), session.close()]);
 * ```
 */
export interface Bus {
  /** Whether it takes messages now. While it does not, the hub keeps up to `maxBacklog` of them. */
  readonly isReady: boolean;
  /** The largest message that it takes, in bytes. Without it, 1 MiB. */
  readonly maxMessageSize?: number;
  /** Keeps messages, if the bus can do so and the user wants it. */
  readonly history?: BusHistory | undefined;
  /**
   * Begins to deliver. The hub calls it once, before anything else.
   *
   * @param listener The hub.
   * @throws {TypeError} If the bus is used by another hub already.
   */
  start(listener: BusListener): void;
  /**
   * Sends a message to the other processes that have subscribed to a group. The hub makes one of all that it has published to
   * the group in a turn of the event loop, up to 16 KiB. It calls this only while `isReady`. The bus need not keep the order
   * between groups. If it throws, the message is lost and the hub tells `onError`.
   *
   * @param group The name of the group: 1 to 1024 UTF-16 units, of any characters.
   * @param message The bytes, which belong to the bus from now on. Several messages share an `ArrayBuffer`: do not transfer it.
   * @returns Whether the bus has taken it for everyone. `false` if it is lost for at least one process.
   */
  publish(group: string, message: Uint8Array): boolean;
  /**
   * Subscribes to a group. Once it is no longer subscribed, it may be subscribed again. At most 256 groups are being subscribed
   * at a time; the others wait for these.
   *
   * @param group The name of the group.
   * @returns Resolves once messages arrive that others publish from then on, however long that takes. If
   * it rejects, the hub tells `onError` and does not try again. It need not resolve after `close()`.
   */
  subscribe(group: string): Promise<void>;
  /**
   * Ends the subscription to a group, after `subscribe()` has resolved or rejected. The hub may call it again at once.
   *
   * @param group The name of the group.
   */
  unsubscribe(group: string): void;
  /**
   * Ends. What was published is sent, if possible. A connection that the user has made stays open.
   *
   * @returns Resolves once nothing of the bus is left.
   */
  close(): Promise<void>;
}
