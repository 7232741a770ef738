/** The history of a bus over NATS: a stream of JetStream for all groups. */

import { checkInteger, checkMethods, checkObject } from "../_internal/checks.ts";
import { elsewhere, type Known } from "../_internal/options.ts";
import type { HistoryEntry, HistoryPage } from "./bus.ts";
import {
  HISTORY_OPTIONS,
  type HistoryOptions,
  PAGE_LENGTH,
  PAGE_SIZE,
  resolveHistoryOptions,
} from "./history_options.ts";
import type { Unstored } from "./store_queue.ts";

/** The part of a manager of `@nats-io/jetstream` that the bus uses. */
export interface JetStreamManager {
  /** Makes and changes streams. */
  readonly streams: {
    /** Makes a stream. */
    // deno-lint-ignore no-explicit-any -- the library has its own type for it
    add(config: any): Promise<unknown>;
    /** Changes it. */
    // deno-lint-ignore no-explicit-any -- as above
    update(name: string, config: any): Promise<unknown>;
  };
  /** Makes and ends consumers. */
  readonly consumers: {
    /** Makes a consumer. */
    add(
      stream: string,
      // deno-lint-ignore no-explicit-any -- as above
      config: any,
    ): Promise<{ readonly name: string; readonly num_pending: number }>;
    /** Ends it. */
    delete(stream: string, name: string): Promise<unknown>;
  };
  /** Reads single messages. */
  readonly direct: {
    /** Reads one, `null` if there is none. */
    getMessage(
      stream: string,
      // deno-lint-ignore no-explicit-any -- as above
      query: any,
    ): Promise<
      { readonly seq: number; readonly subject: string; readonly data: Uint8Array } | null
    >;
  };
  /** What publishes and consumes. */
  jetstream(): {
    /** Stores a message. */
    publish(
      subject: string,
      payload: Uint8Array,
      options: { msgID?: string; expect?: { lastSubjectSequence: number } },
    ): Promise<unknown>;
    /** The consumers of a stream. */
    readonly consumers: {
      /** Finds one. */
      get(stream: string, name: string): Promise<{
        /** Reads messages. */
        fetch(
          options: { max_messages: number; expires: number },
        ): Promise<AsyncIterable<{ readonly seq: number }>>;
      }>;
    };
  };
}

/** What a bus over NATS keeps. */
export interface NatsHistoryOptions extends HistoryOptions {
  /** What `jetstreamManager(connection)` of `@nats-io/jetstream` returns. */
  jetstream: JetStreamManager;
  /**
   * How many bytes of all groups JetStream keeps on its disk. 1 MiB to 2^53 - 1.
   *
   * @default {268_435_456}
   */
  maxBytes?: number;
}

export const NATS_HISTORY_OPTIONS: Known<NatsHistoryOptions> = {
  ...HISTORY_OPTIONS,
  jetstream: (name, value) => {
    checkMethods(name, value, ["jetstream"]);
    for (const part of ["streams", "consumers", "direct"] as const) {
      checkObject(`${name}.${part}`, (value as JetStreamManager)[part]);
    }
  },
  maxBytes: elsewhere,
};

/** How long JetStream knows the ids of messages, so that they are stored once, in milliseconds. */
const DUPLICATE_WINDOW = 120_000;
const NANOSECONDS = 1e6;
/** How long a stalled consumer lives, in milliseconds. */
const CONSUMER_TIMEOUT = 10_000;
const NAME_IN_USE = 10058;
const WRONG_SEQUENCE = 10071;

const NOTHING = new Uint8Array(0);

/** What a stream uses of its bus. */
export interface StreamHooks {
  /** Rejects if the connection is lost meanwhile. */
  whileConnected<T>(answer: Promise<T>): Promise<T>;
  /** The part of a subject that stands for a group. */
  tokenOf(group: string): string;
}

/** A stream, which is made when it is needed. */
export class JetStreamHistory {
  readonly #manager: JetStreamManager;
  readonly #hooks: StreamHooks;
  readonly #config: Record<string, unknown> & { name: string };
  readonly #subjects: string;
  /** Makes the ids of messages unique. */
  readonly #id = crypto.randomUUID();
  #made: Promise<unknown> | undefined;

  constructor(prefix: string, options: NatsHistoryOptions, hooks: StreamHooks) {
    const { maxMessages, maxAge } = resolveHistoryOptions(options);
    const { jetstream, maxBytes = 256 * 1024 * 1024 } = options;
    NATS_HISTORY_OPTIONS.jetstream("history.jetstream", jetstream);
    this.#manager = jetstream;
    this.#hooks = hooks;
    this.#subjects = `${prefix}=stored`; // no prefix of another bus has the character
    this.#config = {
      name: `${prefix.replaceAll(".", "=")}=history`,
      subjects: [`${this.#subjects}.>`],
      max_msgs_per_subject: maxMessages,
      max_age: maxAge * NANOSECONDS,
      max_bytes: checkInteger("history.maxBytes", maxBytes, 2 ** 20, Number.MAX_SAFE_INTEGER),
      duplicate_window: Math.min(maxAge, DUPLICATE_WINDOW) * NANOSECONDS,
      republish: { src: `${this.#subjects}.>`, dest: `${prefix}.>` },
      allow_direct: true,
      discard: "old",
    };
  }

  /** Stores messages. Those of the same number are stored once. */
  async store(batch: readonly Unstored[], number: number): Promise<void> {
    await this.#make();
    const client = this.#manager.jetstream();
    const stored = Promise.all(batch.map(({ group, bytes }, at) => {
      const msgID = `${this.#id} ${number} ${at}`;
      return client.publish(this.#subjectOf(group), bytes, { msgID });
    }));
    try {
      await this.#hooks.whileConnected(stored);
    } catch (error) {
      this.#made = undefined; // somebody may have deleted it
      throw error;
    }
  }

  async read(group: string, after: string): Promise<HistoryPage> {
    await this.#make();
    const subject = this.#subjectOf(group);
    const start = Number(after);
    if (!Number.isSafeInteger(start)) return { entries: [], isComplete: false, isLast: true };
    const before = start === 0 ? undefined : await this.#get({ seq: start });
    const isComplete = start === 0 || before?.subject === subject;
    const entries: HistoryEntry[] = [];
    let size = 0;
    for (let seq = start; entries.length < PAGE_LENGTH && size < PAGE_SIZE;) {
      const next = await this.#get({ seq: seq + 1, next_by_subj: subject });
      if (next === null) return { entries, isComplete, isLast: true };
      seq = next.seq;
      const { data } = next;
      size += data.length;
      entries.push({ position: `${seq}`, ...(data.length > 0 && { message: data }) });
    }
    return { entries, isComplete, isLast: false };
  }

  async tail(group: string, count: number): Promise<string> {
    await this.#make();
    const subject = this.#subjectOf(group);
    for (;;) {
      const last = await this.#get({ last_by_subj: subject });
      if (last !== null) return count === 0 ? `${last.seq}` : await this.#skip(subject, count);
      await this.#begin(subject);
    }
  }

  /** Adds an entry without a message, so that each position is that of one. */
  async #begin(subject: string): Promise<void> {
    const expect = { lastSubjectSequence: 0 };
    const begun = this.#manager.jetstream().publish(subject, NOTHING, { expect });
    try {
      await this.#hooks.whileConnected(begun);
    } catch (error) {
      if (codeOf(error) !== WRONG_SEQUENCE) throw error;
    }
  }

  /** Finds the position before the last entries: that of the last one of the others, whose headers are read. */
  async #skip(subject: string, count: number): Promise<string> {
    const { consumers } = this.#manager;
    const { name: stream } = this.#config;
    const { name, num_pending } = await this.#hooks.whileConnected(consumers.add(stream, {
      filter_subject: subject,
      deliver_policy: "all",
      ack_policy: "none",
      headers_only: true,
      mem_storage: true,
      inactive_threshold: CONSUMER_TIMEOUT * NANOSECONDS,
    }));
    let position = 0;
    if (num_pending > count) {
      const consumer = await this.#manager.jetstream().consumers.get(stream, name);
      const others = await consumer.fetch({
        max_messages: num_pending - count,
        expires: CONSUMER_TIMEOUT,
      });
      for await (const { seq } of others) position = seq;
    }
    consumers.delete(stream, name).catch(() => {}); // it ends by itself
    return `${position}`;
  }

  #get(query: Record<string, unknown>): ReturnType<JetStreamManager["direct"]["getMessage"]> {
    const { direct } = this.#manager;
    return this.#hooks.whileConnected(direct.getMessage(this.#config.name, query));
  }

  /** Makes the stream, or changes it to what this bus wants. */
  #make(): Promise<unknown> {
    const { streams } = this.#manager;
    return this.#made ??= this.#hooks.whileConnected(
      streams.add(this.#config).catch((error) => {
        if (codeOf(error) !== NAME_IN_USE) throw error;
        return streams.update(this.#config.name, this.#config);
      }),
    ).catch((error) => {
      this.#made = undefined;
      throw error;
    });
  }

  #subjectOf(group: string): string {
    return `${this.#subjects}.${this.#hooks.tokenOf(group)}`;
  }
}

function codeOf(error: unknown): unknown {
  return (error as { readonly code?: unknown }).code;
}
