/** The state of a server and of its clients. */

import type { Session } from "@parley/tcp";
import { RespPush, type RespServer, type RespValue } from "@parley/tcp/codecs";
import { Database } from "./store.ts";

const DATABASES = 16;

/** The shared state of all clients of a server. */
export class Instance {
  readonly startedAt: number = Date.now();
  readonly databases: readonly Database[] = Array.from(
    { length: DATABASES },
    () => new Database(),
  );
  readonly clients: Set<Client> = new Set();
  readonly channels: Map<string, Set<Client>> = new Map();

  /** Sends to the subscribers of a channel, and returns how many they are. Slow ones are disconnected. */
  publish(channel: string, message: string): number {
    const subscribers = this.channels.get(channel);
    if (subscribers === undefined) return 0;
    const push = new RespPush(["message", channel, message]);
    for (const client of subscribers) client.tell(push);
    return subscribers.size;
  }
}

/** One client. */
export class Client {
  readonly instance: Instance;
  readonly session: Session;
  readonly codec: RespServer;
  readonly channels: Set<string> = new Set();
  name = "";
  databaseIndex = 0;
  db: Database;
  /** Whether to close the connection after the replies. */
  isLeaving = false;
  readonly #send: (reply: RespValue) => Promise<void>;

  constructor(
    instance: Instance,
    session: Session,
    codec: RespServer,
    send: (reply: RespValue) => Promise<void>,
  ) {
    this.instance = instance;
    this.session = session;
    this.codec = codec;
    this.#send = send;
    this.db = instance.databases[0]!;
    instance.clients.add(this);
  }

  /** In RESP2, a subscriber cannot tell replies from messages, so it may use few commands. */
  get isRestricted(): boolean {
    return this.channels.size > 0 && this.codec.version === 2;
  }

  /** Sends a message that is not a reply. It is not awaited: the session's limit disconnects a client that does not read. */
  tell(push: RespPush): void {
    this.#send(push);
  }

  subscribe(channel: string): void {
    let subscribers = this.instance.channels.get(channel);
    if (subscribers === undefined) {
      this.instance.channels.set(channel, subscribers = new Set());
    }
    subscribers.add(this);
    this.channels.add(channel);
  }

  unsubscribe(channel: string): void {
    const subscribers = this.instance.channels.get(channel);
    subscribers?.delete(this);
    if (subscribers?.size === 0) this.instance.channels.delete(channel);
    this.channels.delete(channel);
  }

  leave(): void {
    for (const channel of this.channels) this.unsubscribe(channel);
    this.instance.clients.delete(this);
  }
}
