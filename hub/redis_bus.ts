/** A bus over Redis. */

import { Buffer } from "node:buffer";
import { checkMethods, checkObject } from "../_internal/checks.ts";
import { checkOptions, type Known, NO_OPTIONS } from "../_internal/options.ts";
import { checkPrefix, MAX_UNCONFIRMED } from "./broker.ts";
import type { Bus, BusListener } from "./bus.ts";

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
}

export const REDIS_BUS_OPTIONS: Known<RedisBusOptions> = { prefix: checkPrefix };

/**
 * A bus over pub/sub of Redis, for hubs in several processes and on several machines. Each process subscribes only to the
 * groups that have members in it.
 *
 * Redis delivers at most once. While one of the connections is away, or Redis answers nothing (at most 1 MiB is on its way),
 * messages wait in the hub, up to its `maxBacklog`.
 *
 * @param clients Two connected clients of `ioredis` or of `redis`. They stay open when the bus is closed.
 * @param options `prefix`: what the channels begin with.
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
  return new RedisBus(clients, options.prefix ?? "parley");
}

class RedisBus implements Bus {
  readonly #publisher: IoRedisClient | NodeRedisClient;
  readonly #subscriber: IoRedisClient | NodeRedisClient;
  readonly #prefix: string;
  /** The groups that are subscribed, each with its own object, so that a later subscription is another one. */
  readonly #groups = new Map<string, object>();
  #listener: BusListener | undefined;
  /** How many bytes were sent and are not confirmed. */
  #unconfirmed = 0;
  /** Resolves at the next change of a connection. */
  #changed: PromiseWithResolvers<void> = Promise.withResolvers();
  #isClosed = false;

  constructor({ publisher, subscriber }: RedisClients, prefix: string) {
    this.#publisher = publisher;
    this.#subscriber = subscriber;
    this.#prefix = prefix;
  }

  get isReady(): boolean {
    return this.#unconfirmed < MAX_UNCONFIRMED && isConnected(this.#publisher) &&
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
    const bytes = Buffer.from(message.buffer, message.byteOffset, length);
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
        if (isConnected(this.#subscriber)) this.#onError(error);
      }
      await promise; // until the connection is there again
    }
  }

  unsubscribe(group: string): void {
    this.#groups.delete(group);
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
    for (const group of this.#groups.keys()) this.unsubscribe(group);
    for (const client of [this.#publisher, this.#subscriber]) {
      for (const event of EVENTS) client.off(event, this.#onChange);
    }
    this.#subscriber.off("messageBuffer", this.#onChannelMessage);
    this.#changed.resolve();
    return Promise.resolve();
  }

  #channel(group: string): string {
    return `${this.#prefix}:${group}`;
  }

  readonly #onChange = (): void => {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
    this.#listener!.onStateChange();
  };

  /** Stays after the end: a client without a listener for errors throws them. */
  readonly #onError = (error: unknown): void => {
    if (!this.#isClosed) this.#listener!.onError(error);
  };

  readonly #onMessage = (message: Uint8Array): void => this.#listener!.onMessage(message);

  readonly #onChannelMessage = (_channel: Uint8Array, message: Uint8Array): void =>
    this.#onMessage(message);
}

/** The events after which a client may be connected, or may not be any more. */
const EVENTS = ["ready", "close", "reconnecting", "end"];

function isIoRedis(client: IoRedisClient | NodeRedisClient): client is IoRedisClient {
  return "status" in client;
}

function isConnected(client: IoRedisClient | NodeRedisClient): boolean {
  return isIoRedis(client) ? client.status === "ready" : client.isReady;
}
