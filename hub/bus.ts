/** The interface between a hub and what carries its messages to other processes. */

/** What a bus tells its hub. */
export interface BusListener {
  /**
   * A message of another process has arrived, for a group that is subscribed. It may be a message of this hub, arrive
   * twice or out of order: the hub notices.
   *
   * @param message The bytes that the other hub has published. They are not used after the call.
   */
  onMessage(message: Uint8Array): void;
  /** {@linkcode Bus.isReady} has changed. */
  onStateChange(): void;
  /**
   * Something went wrong that the hub cannot see, such as a subscription that was refused.
   *
   * @param error What went wrong.
   */
  onError(error: unknown): void;
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
   * Subscribes to a group. Once it is no longer subscribed, it may be subscribed again.
   *
   * @param group The name of the group.
   * @returns Resolves once messages arrive that others publish from then on, however long that takes. If
   * it rejects, the hub tells `onError` and does not try again. It need not resolve after `unsubscribe()` and `close()`.
   */
  subscribe(group: string): Promise<void>;
  /**
   * Ends the subscription to a group. The hub may call `subscribe()` again at once.
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
