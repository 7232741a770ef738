/** A bus over NATS. */

import { checkMethods } from "../_internal/checks.ts";
import { checkOptions, type Known, NO_OPTIONS } from "../_internal/options.ts";
import type { Bus, BusListener } from "./bus.ts";
import { checkPrefix, MAX_UNCONFIRMED } from "./broker.ts";

/** The part of a connection of `@nats-io/nats-core` that the bus uses. */
export interface NatsConnection {
  /** What the server has said of itself. */
  readonly info?: { readonly max_payload: number } | undefined;
  /** Sends a message. */
  publish(subject: string, payload: Uint8Array): void;
  /** Receives messages by a callback. */
  subscribe(
    subject: string,
    options: { callback: (error: Error | null, message: { readonly data: Uint8Array }) => void },
  ): { unsubscribe(): void };
  /** Resolves once the server has handled everything that was sent so far. */
  flush(): Promise<void>;
  /** What happens to the connection. */
  status(): AsyncIterable<{ readonly type: string; readonly error?: unknown }>;
  /** Whether the connection was closed for good. */
  isClosed(): boolean;
}

/** Options of {@linkcode natsBus}. */
export interface NatsBusOptions {
  /**
   * What the subjects begin with: one or more tokens of letters, digits, `_` and `-`, with dots in between. Hubs with
   * different prefixes do not hear each other.
   *
   * @default {"parley"}
   */
  prefix?: string;
}

export const NATS_BUS_OPTIONS: Known<NatsBusOptions> = { prefix: checkPrefix };

/** After how many bytes the server is asked to confirm them. */
const CONFIRM_AFTER = 64 * 1024;
/** The longest part of a subject that is made of a name. Longer names share subjects, and hubs tell their groups apart. */
const MAX_TOKEN = 512;
const SAFE = /^[\w-]+$/;

const encoder = new TextEncoder();

/**
 * A bus over NATS, for hubs in several processes and on several machines. Each process subscribes only to the groups that
 * have members in it.
 *
 * NATS delivers at most once. While the connection is away, or the server confirms nothing that was sent (at most 1 MiB is
 * on its way), messages wait in the hub, up to its `maxBacklog`.
 *
 * @param connection A connection of `@nats-io/transport-node` or another transport of NATS. It stays open when the bus is
 * closed.
 * @param options `prefix`: what the subjects begin with.
 * @returns The bus, for one hub.
 * @throws {TypeError | RangeError} If an option is invalid, or what is given is no such connection.
 *
 * @example
 * ```ts ignore
 * import { connect } from "@nats-io/transport-node";
 * import { Hub, natsBus } from "@parley/tcp/hub";
 *
 * const connection = await connect({ servers: "127.0.0.1:4222", maxReconnectAttempts: -1 });
 * const hub = new Hub({ bus: natsBus(connection) });
 * ```
 */
export function natsBus(connection: NatsConnection, options: NatsBusOptions = NO_OPTIONS): Bus {
  checkMethods("connection", connection, ["publish", "subscribe", "flush", "status", "isClosed"]);
  checkOptions(options, NATS_BUS_OPTIONS);
  return new NatsBus(connection, options.prefix ?? "parley");
}

class NatsBus implements Bus {
  readonly #connection: NatsConnection;
  readonly #prefix: string;
  readonly #subscriptions = new Map<string, { unsubscribe(): void }>();
  #listener: BusListener | undefined;
  #isConnected: boolean;
  #isClosed = false;
  /** How many bytes were sent, and how many of them the server has confirmed. */
  #sent = 0;
  #confirmed = 0;
  #isConfirming = false;

  constructor(connection: NatsConnection, prefix: string) {
    this.#connection = connection;
    this.#prefix = prefix;
    this.#isConnected = !connection.isClosed();
  }

  get isReady(): boolean {
    return this.#isConnected && !this.#isFull;
  }

  get maxMessageSize(): number {
    return this.#connection.info?.max_payload ?? MAX_UNCONFIRMED;
  }

  start(listener: BusListener): void {
    if (this.#listener !== undefined) {
      throw new TypeError("this bus is used by another hub already");
    }
    this.#listener = listener;
    this.#follow().catch((error) => listener.onError(error));
  }

  publish(group: string, message: Uint8Array): boolean {
    try {
      this.#connection.publish(this.#subject(group), message);
    } catch (error) {
      this.#listener!.onError(error);
      return false;
    }
    this.#sent += message.length;
    if (this.#sent - this.#confirmed >= CONFIRM_AFTER && !this.#isConfirming) this.#confirm();
    if (this.#isFull) this.#listener!.onStateChange();
    return true;
  }

  async subscribe(group: string): Promise<void> {
    const listener = this.#listener!;
    let subscription;
    try {
      subscription = this.#connection.subscribe(this.#subject(group), {
        callback: (error, message) => {
          if (error !== null) listener.onError(error);
          else listener.onMessage(message.data);
        },
      });
      this.#subscriptions.set(group, subscription);
    } catch (error) {
      return listener.onError(error);
    }
    // A flush fails if the connection is lost meanwhile. The client subscribes again by itself.
    while (!await this.#flush()) {
      if (this.#connection.isClosed() || this.#subscriptions.get(group) !== subscription) return;
    }
  }

  unsubscribe(group: string): void {
    const subscription = this.#subscriptions.get(group);
    this.#subscriptions.delete(group);
    if (!this.#connection.isClosed()) subscription?.unsubscribe();
  }

  close(): Promise<void> {
    this.#isClosed = true;
    for (const group of this.#subscriptions.keys()) this.unsubscribe(group);
    return Promise.resolve(); // what was published is in the socket: a flush would wait for a server that is stalled
  }

  get #isFull(): boolean {
    return this.#sent - this.#confirmed >= MAX_UNCONFIRMED;
  }

  /** Lets the server confirm what was sent, again and again while there is enough of it. */
  async #confirm(): Promise<void> {
    this.#isConfirming = true;
    while (this.#sent - this.#confirmed >= CONFIRM_AFTER) {
      const sent = this.#sent;
      await this.#flush(); // if it fails, nothing of it is on its way any more
      const wasFull = this.#isFull;
      this.#confirmed = Math.max(this.#confirmed, sent);
      if (wasFull && this.isReady) this.#listener!.onStateChange();
    }
    this.#isConfirming = false;
  }

  /** Returns whether the server has handled everything that was sent so far. */
  async #flush(): Promise<boolean> {
    try {
      await this.#connection.flush();
      return true;
    } catch {
      return false; // the connection was lost, which its status tells
    }
  }

  async #follow(): Promise<void> {
    for await (const { type, error } of this.#connection.status()) {
      if (this.#isClosed) return;
      if (type === "error") this.#listener!.onError(error);
      if (type === "disconnect" || type === "close") this.#change(false);
      else if (type === "reconnect") this.#change(true);
    }
    if (!this.#isClosed) this.#change(false);
  }

  #change(isConnected: boolean): void {
    if (isConnected === this.#isConnected) return;
    this.#isConnected = isConnected;
    this.#confirmed = this.#sent; // what was on its way has arrived or is lost
    this.#listener!.onStateChange();
  }

  #subject(group: string): string {
    const isSafe = group.length <= MAX_TOKEN && SAFE.test(group);
    return `${this.#prefix}.${isSafe ? group : escaped(group)}`;
  }
}

/** A token with a name of any characters: `=` and two hexadecimal digits stand for each byte that could mean something. */
function escaped(name: string): string {
  let token = "";
  for (const byte of encoder.encode(name)) {
    const character = String.fromCharCode(byte);
    token += SAFE.test(character) ? character : `=${byte.toString(16).padStart(2, "0")}`;
    if (token.length >= MAX_TOKEN) break;
  }
  return token;
}
