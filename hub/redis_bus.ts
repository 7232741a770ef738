/** A bus over Redis. */

import { Buffer } from "node:buffer";
import { checkMethods, checkObject } from "../_internal/checks.ts";
import { checkOptions, type Known, NO_OPTIONS, within } from "../_internal/options.ts";
import { checkPrefix, MAX_UNCONFIRMED } from "./broker.ts";
import type { Bus, BusHistory, BusListener } from "./bus.ts";
import { HISTORY_OPTIONS, type HistoryOptions, resolveHistoryOptions } from "./history_options.ts";
import { receive, RedisStreams } from "./redis_history.ts";
import { StoreQueue, type Unstored } from "./store_queue.ts";

/** The events of a client of either library. */
export interface RedisEvents {
  /** Adds a listener. */
  // deno-lint-ignore no-explicit-any -- as the libraries type it: nothing else fits both
  on(event: string, listener: (...args: any[]) => void): unknown;
  /** Removes a listener. */
  // deno-lint-ignore no-explicit-any -- as the libraries type it: nothing else fits both
  off(event: string, listener: (...args: any[]) => void): unknown;
}

/** The part of a client of `ioredis` that the bus uses. */
export interface IoRedisClient extends RedisEvents {
  /** `ready` while it is connected. */
  readonly status: string;
  /** Sends a message, a `Buffer` of `node:buffer`. */
  // deno-lint-ignore no-explicit-any -- not every project has the types of Node, and nothing else fits both libraries
  publish(channel: string, message: any): Promise<number>;
  /** Begins to emit the messages of a channel as `messageBuffer`. */
  subscribe(channel: string): Promise<unknown>;
  /** Ends it. */
  unsubscribe(channel: string): Promise<unknown>;
  /** Sends a command, whose answer has `Buffer`s. It is used with `history`. */
  // deno-lint-ignore no-explicit-any -- as above
  callBuffer(command: string, args: any[]): Promise<unknown>;
}

/** The part of a client of `redis` (node-redis) that the bus uses. */
export interface NodeRedisClient extends RedisEvents {
  /** Whether it is connected. */
  readonly isReady: boolean;
  /** Sends a message, a `Buffer` of `node:buffer`. */
  // deno-lint-ignore no-explicit-any -- not every project has the types of Node, and nothing else fits both libraries
  publish(channel: string, message: any): Promise<number>;
  /** Begins to call a listener with the messages of a channel. */
  subscribe(
    channel: string,
    listener: (message: Uint8Array) => void,
    buffers: true,
  ): Promise<unknown>;
  /** Ends it. */
  unsubscribe(
    channel: string,
    listener: (message: Uint8Array) => void,
    buffers: true,
  ): Promise<unknown>;
  /** Sends a command. It is used with `history`. */
  // deno-lint-ignore no-explicit-any -- as above
  sendCommand(args: any, options: any): Promise<unknown>;
}

/** Two connections to Redis, of the same library: one that is subscribed cannot publish. */
export interface RedisClients {
  /** Publishes. It may do other work as well. */
  readonly publisher: IoRedisClient | NodeRedisClient;
  /** Is subscribed to the groups that have members. It must not be used for anything else. */
  readonly subscriber: IoRedisClient | NodeRedisClient;
}

/** Options of {@linkcode redisBus}. */
export interface RedisBusOptions {
  /**
   * What the channels begin with, followed by a colon and the name of the group: letters, digits, `_` and `-`, with dots in
   * between. Hubs with different prefixes do not hear each other.
   *
   * @default {"parley"}
   */
  prefix?: string;
  /**
   * Keeps messages in streams of Redis, for `since` and `last` of `Hub.join()` and for messages that were lost on the way.
   * All hubs with the same prefix must have it, or none. It needs Redis 6.2, and no cluster.
   *
   * @default {nothing is kept}
   */
  history?: HistoryOptions | undefined;
}

export const REDIS_BUS_OPTIONS: Known<RedisBusOptions> = {
  prefix: checkPrefix,
  history: within(HISTORY_OPTIONS),
};

/**
 * A bus over pub/sub of Redis, for hubs in several processes and on several machines. Each process subscribes only to the
 * groups that have members in it.
 *
 * Redis delivers at most once. While one of the connections is away, or Redis answers nothing (at most 1 MiB is on its way),
 * messages wait in the hub, up to its `maxBacklog`.
 *
 * @param clients Two connected clients of `ioredis` or of `redis`. They stay open when the bus is closed.
 * @param options `prefix`: what the channels begin with. `history`: what Redis keeps.
 * @returns The bus, for one hub.
 * @throws {TypeError | RangeError} If an option is invalid, or what is given is no such connections.
 *
 * @example
 * ```ts ignore
 * import { Redis } from "ioredis";
 * import { Hub, redisBus } from "@parley/tcp/hub";
 *
 * const publisher = new Redis();
 * const hub = new Hub({ bus: redisBus({ publisher, subscriber: publisher.duplicate() }) });
 * ```
 */
export function redisBus(clients: RedisClients, options: RedisBusOptions = NO_OPTIONS): Bus {
  checkObject("clients", clients);
  for (const name of ["publisher", "subscriber"] as const) {
    checkMethods(name, clients[name], ["on", "off", "publish", "subscribe", "unsubscribe"]);
  }
  if (clients.publisher === clients.subscriber) {
    throw new TypeError(
      "publisher and subscriber must be two connections: one that is subscribed cannot publish",
    );
  }
  checkOptions(options, REDIS_BUS_OPTIONS);
  if (options.history !== undefined) {
    const method = isIoRedis(clients.publisher) ? "callBuffer" : "sendCommand";
    checkMethods("publisher", clients.publisher, [method]);
  }
  return new RedisBus(clients, options);
}

class RedisBus implements Bus {
  readonly #publisher: IoRedisClient | NodeRedisClient;
  readonly #subscriber: IoRedisClient | NodeRedisClient;
  readonly #prefix: string;
  /** The groups that are subscribed, each with its own object, so that a later subscription is another one. */
  readonly #groups = new Map<string, object>();
  /** Those that Redis has refused. It is asked again after a reconnect. */
  readonly #refused = new Set<string>();
  #listener: BusListener | undefined;
  /** How many bytes were sent and are not confirmed, besides what is stored. */
  #unconfirmed = 0;
  /** Resolves at the next change of a connection. */
  #changed: PromiseWithResolvers<void> = Promise.withResolvers();
  #isClosed = false;
  readonly history: BusHistory | undefined;
  #queue: StoreQueue | undefined;
  #isSubscribed = true;
  /** Resolves once the subscriber has subscribed again to all its groups. */
  #resubscribed: Promise<unknown> = Promise.resolve();

  constructor(
    { publisher, subscriber }: RedisClients,
    { prefix = "parley", history }: RedisBusOptions,
  ) {
    this.#publisher = publisher;
    this.#subscriber = subscriber;
    this.#prefix = prefix;
    this.history = history && this.#keep(resolveHistoryOptions(history));
  }

  get isReady(): boolean {
    const unconfirmed = this.#unconfirmed + (this.#queue?.size ?? 0);
    return unconfirmed < MAX_UNCONFIRMED && isConnected(this.#publisher) &&
      isConnected(this.#subscriber);
  }

  start(listener: BusListener): void {
    if (this.#listener !== undefined) {
      throw new TypeError("this bus is used by another hub already");
    }
    this.#listener = listener;
    for (const client of [this.#publisher, this.#subscriber]) {
      for (const event of EVENTS) client.on(event, this.#onChange);
      client.on("error", this.#onError);
    }
    this.#subscriber.on("messageBuffer", this.#onChannelMessage);
  }

  publish(group: string, message: Uint8Array): boolean {
    const { length } = message;
    const bytes = bufferOf(message);
    const settle = (): void => {
      const wasReady = this.isReady;
      this.#unconfirmed -= length;
      if (!wasReady && this.isReady) this.#listener!.onStateChange();
    };
    this.#unconfirmed += length;
    this.#publisher.publish(this.#channel(group), bytes).then(settle, (error) => {
      settle();
      if (isConnected(this.#publisher)) this.#onError(error);
    });
    if (!this.isReady) this.#listener!.onStateChange();
    return true;
  }

  async subscribe(group: string): Promise<void> {
    const own = {};
    this.#groups.set(group, own);
    const channel = this.#channel(group);
    while (this.#groups.get(group) === own) {
      const { promise } = this.#changed;
      try {
        if (isIoRedis(this.#subscriber)) await this.#subscriber.subscribe(channel);
        else await this.#subscriber.subscribe(channel, this.#onMessage, true);
        return;
      } catch (error) {
        if (isConnected(this.#subscriber)) {
          if (this.#groups.get(group) === own) this.#refused.add(group); // it may have been left meanwhile
          throw error;
        }
      }
      await promise; // until the connection is there again
    }
  }

  unsubscribe(group: string): void {
    this.#groups.delete(group);
    this.#refused.delete(group);
    const channel = this.#channel(group);
    const ended = isIoRedis(this.#subscriber)
      ? this.#subscriber.unsubscribe(channel)
      : this.#subscriber.unsubscribe(channel, this.#onMessage, true);
    ended.catch((error) => {
      if (isConnected(this.#subscriber)) this.#onError(error);
    });
  }

  close(): Promise<void> {
    this.#isClosed = true;
    if (this.#queue !== undefined) {
      this.#queue.close();
      this.unsubscribe(""); // as resubscribed
    }
    for (const group of this.#groups.keys()) this.unsubscribe(group);
    for (const client of [this.#publisher, this.#subscriber]) {
      for (const event of EVENTS) client.off(event, this.#onChange);
    }
    this.#subscriber.off("messageBuffer", this.#onChannelMessage);
    this.#changed.resolve();
    return Promise.resolve();
  }

  /** A stream for each group, with the name of its channel. */
  #keep(options: Required<HistoryOptions>): BusHistory {
    const batches = `${this.#prefix}#${crypto.randomUUID()}`;
    const streams = new RedisStreams(options, batches, (script, keys, args) => {
      const all = [script, `${keys.length}`, ...keys, ...args.map(bufferOf)];
      return isIoRedis(this.#publisher)
        ? this.#publisher.callBuffer("EVAL", all)
        : this.#publisher.sendCommand(["EVAL", ...all], BUFFERS);
    }, this.#onError);
    const queue = this.#queue = new StoreQueue({
      store: (batch, number) => this.#store(streams, batch, number),
      untilConnected: async (): Promise<void> => {
        while (!isConnected(this.#publisher) && !this.#isClosed) await this.#changed.promise;
      },
      isReady: () => this.isReady,
      listener: () => this.#listener!,
    });
    return {
      publish: (group, bytes) => queue.publish(group, bytes),
      read: async (group, after) => {
        await this.#resubscribed; // or what is stored from now on might be missed
        return await streams.read(this.#channel(group), after);
      },
      tail: async (group, count) => {
        await this.#resubscribed;
        return await streams.tail(this.#channel(group), count);
      },
    };
  }

  async #store(streams: RedisStreams, batch: readonly Unstored[], number: number): Promise<void> {
    const channels = batch.map(({ group }) => this.#channel(group));
    try {
      await streams.store(batch, number, channels);
    } catch (error) {
      if (!isConnected(this.#publisher)) throw error;
      this.#onError(error); // Redis refuses it: it has no memory left, for example
      for (const [at, { bytes }] of batch.entries()) {
        this.#publisher.publish(channels[at]!, bufferOf(bytes)).catch(this.#onError);
      }
    }
  }

  /** The clients subscribe again by themselves. A further subscription is confirmed after those. */
  #resubscribe(): void {
    const channel = this.#channel(""); // no group has this name
    const subscribed = isIoRedis(this.#subscriber)
      ? this.#subscriber.subscribe(channel)
      : this.#subscriber.subscribe(channel, this.#onMessage, true);
    this.#resubscribed = subscribed.catch(() => {}); // the connection is lost again
  }

  #channel(group: string): string {
    return `${this.#prefix}:${group}`;
  }

  readonly #onChange = (): void => {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
    this.#listener!.onStateChange();
    for (const group of [...this.#refused]) {
      this.#refused.delete(group);
      this.subscribe(group).catch(this.#onError);
    }
    if (this.#queue === undefined) return;
    const isSubscribed = isConnected(this.#publisher) && isConnected(this.#subscriber);
    const isBack = isSubscribed && !this.#isSubscribed;
    this.#isSubscribed = isSubscribed;
    if (!isBack) return;
    this.#resubscribe();
    this.#listener!.onReconnect();
  };

  /** Stays after the end: a client without a listener for errors throws them. */
  readonly #onError = (error: unknown): void => {
    if (!this.#isClosed) this.#listener!.onError(error);
  };

  readonly #onMessage = (message: Uint8Array): void => {
    if (this.#queue === undefined) this.#listener!.onMessage(message);
    else receive(message, (...received) => this.#listener!.onMessage(...received));
  };

  readonly #onChannelMessage = (_channel: Uint8Array, message: Uint8Array): void =>
    this.#onMessage(message);
}

/** So that node-redis returns texts as bytes: those that it calls `BLOB_STRING`. */
const BUFFERS = { typeMapping: { 36: Buffer } };

function bufferOf<Text>(data: Uint8Array | Text): Buffer | Text {
  return data instanceof Uint8Array ? Buffer.from(data.buffer, data.byteOffset, data.length) : data;
}

/** The events after which a client may be connected, or may not be any more. */
const EVENTS = ["ready", "close", "reconnecting", "end"];

function isIoRedis(client: IoRedisClient | NodeRedisClient): client is IoRedisClient {
  return "status" in client;
}

function isConnected(client: IoRedisClient | NodeRedisClient): boolean {
  return isIoRedis(client) ? client.status === "ready" : client.isReady;
}
