/** A bus over NATS. */

import { Buffer } from "node:buffer";
import { checkMethods } from "../_internal/checks.ts";
import { checkOptions, type Known, NO_OPTIONS, within } from "../_internal/options.ts";
import type { Bus, BusHistory, BusListener } from "./bus.ts";
import { checkPrefix, MAX_UNCONFIRMED } from "./broker.ts";
import { JetStreamHistory, NATS_HISTORY_OPTIONS, type NatsHistoryOptions } from "./nats_history.ts";
import { StoreQueue, type Unstored } from "./store_queue.ts";

/** The part of a message of `@nats-io/nats-core` that the bus uses. */
export interface NatsMessage {
  /** The payload. */
  readonly data: Uint8Array;
  /** The headers, if there are any. */
  readonly headers?: { get(name: string): string } | undefined;
}

/** The part of a connection of `@nats-io/nats-core` that the bus uses. */
export interface NatsConnection {
  /** What the server has said of itself. */
  readonly info?: { readonly max_payload: number } | undefined;
  /** Sends a message. */
  publish(subject: string, payload: Uint8Array): void;
  /** Receives messages by a callback. */
  subscribe(
    subject: string,
    options: { callback: (error: Error | null, message: NatsMessage) => void },
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
  /**
   * Keeps messages in a stream of JetStream, for `since` and `last` of `Hub.join()` and for messages that were lost on the
   * way. All hubs with the same prefix must have it, or none. It needs NATS 2.9.
   *
   * @default {nothing is kept}
   */
  history?: NatsHistoryOptions | undefined;
}

export const NATS_BUS_OPTIONS: Known<NatsBusOptions> = {
  prefix: checkPrefix,
  history: within(NATS_HISTORY_OPTIONS),
};

/** After how many bytes the server is asked to confirm them. */
const CONFIRM_AFTER = 64 * 1024;
/** The longest part of a subject in which a name can be read. A server takes lines of 4 KiB. */
const MAX_READABLE = 512;
const SAFE = /^[\w-]+$/;
/** How long JetStream may take to answer, in milliseconds. */
const PATIENCE = 1000;

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
 * @param options `prefix`: what the subjects begin with. `history`: what JetStream keeps.
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
  return new NatsBus(connection, options);
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
  readonly history: BusHistory | undefined;
  #queue: StoreQueue | undefined;
  /** What fails if the connection is lost. */
  readonly #asked = new Set<(error: Error) => void>();
  /** Resolves at the next change of the connection. */
  #changed: PromiseWithResolvers<void> = Promise.withResolvers();

  constructor(connection: NatsConnection, { prefix = "parley", history }: NatsBusOptions) {
    this.#connection = connection;
    this.#prefix = prefix;
    this.#isConnected = !connection.isClosed();
    this.history = history && this.#keep(history);
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
          else if (this.#queue === undefined) listener.onMessage(message.data);
          else this.#onMessage(message);
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
    this.#changed.resolve();
    this.#queue?.close();
    for (const group of this.#subscriptions.keys()) this.unsubscribe(group);
    return Promise.resolve(); // what was published is in the socket: a flush would wait for a server that is stalled
  }

  get #isFull(): boolean {
    const storing = this.#queue?.size ?? 0;
    return this.#sent - this.#confirmed + storing >= MAX_UNCONFIRMED;
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
    if (!isConnected) {
      for (const fail of this.#asked) fail(new Error("the connection to NATS is lost"));
    }
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
    this.#listener!.onStateChange();
    if (isConnected && this.#queue !== undefined) this.#listener!.onReconnect();
  }

  #onMessage({ data, headers }: NatsMessage): void {
    const position = headers?.get("Nats-Sequence") || undefined;
    if (position === undefined) this.#listener!.onMessage(data);
    else if (data.length > 0) {
      this.#listener!.onMessage(data, position, headers!.get("Nats-Last-Sequence"));
    }
  }

  #keep(options: NatsHistoryOptions): BusHistory {
    const stream = new JetStreamHistory(this.#prefix, options, {
      whileConnected: (answer) => this.#whileConnected(answer),
      tokenOf,
    });
    const queue = this.#queue = new StoreQueue({
      store: (batch, number) => this.#store(stream, batch, number),
      untilConnected: async (): Promise<void> => {
        while (!this.#isConnected && !this.#isClosed) await this.#changed.promise;
      },
      isReady: () => this.isReady,
      listener: () => this.#listener!,
    });
    return {
      publish: (group, bytes) => queue.publish(group, bytes),
      read: (group, after) => this.#patiently(() => stream.read(group, after)),
      tail: (group, count) => this.#patiently(() => stream.tail(group, count)),
    };
  }

  async #store(
    stream: JetStreamHistory,
    batch: readonly Unstored[],
    number: number,
  ): Promise<void> {
    try {
      await this.#patiently(() => stream.store(batch, number));
    } catch (error) {
      if (!this.#isConnected) throw error;
      this.#listener!.onError(error); // JetStream refuses it, or there is none
      for (const { group, bytes } of batch) this.publish(group, bytes);
    }
  }

  /**
   * Asks again for as long as JetStream does not answer, which does not hear everything just after its start. The server
   * itself must answer in between, so that no more is on its way to one that stands still.
   */
  async #patiently<T>(ask: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await ask();
      } catch (error) {
        const isTimeout = (error as Error).name === "TimeoutError";
        if (!isTimeout || this.#isClosed || !await this.#flush()) throw error;
      }
    }
  }

  #whileConnected<T>(answer: Promise<T>): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const timer = setTimeout(
      () => reject(new DOMException("JetStream does not answer", "TimeoutError")),
      PATIENCE,
    );
    this.#asked.add(reject);
    answer.then(resolve, reject);
    return promise.finally(() => {
      clearTimeout(timer);
      this.#asked.delete(reject);
    });
  }

  #subject(group: string): string {
    return `${this.#prefix}.${tokenOf(group)}`;
  }
}

/** The token that stands for a group, and for no other. */
function tokenOf(group: string): string {
  if (group.length <= MAX_READABLE && SAFE.test(group)) return group;
  return escaped(group) ?? `==${Buffer.from(group, "utf16le").toString("base64url")}`;
}

/**
 * A token with a name of any characters: `=` and two hexadecimal digits stand for each byte that could mean something.
 * `undefined` if it is too long.
 */
function escaped(name: string): string | undefined {
  let token = "";
  for (const byte of encoder.encode(name)) {
    const character = String.fromCharCode(byte);
    token += SAFE.test(character) ? character : `=${byte.toString(16).padStart(2, "0")}`;
    if (token.length > MAX_READABLE) return;
  }
  return token;
}
