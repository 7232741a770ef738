import type { Member } from "./member.ts";
import { type HistoryReader, type OnBatch, Timeline } from "./history.ts";
import type { Gaps } from "./numbering.ts";
import type { SlowPolicy } from "./options.ts";
import type { Presence } from "./presence.ts";
import type { Replay } from "./replay.ts";

/** A group that has members in this process. */
export class Group {
  readonly name: string;
  readonly policy: SlowPolicy;
  readonly members: Set<Member> = new Set();
  /** Resolves once messages of other processes arrive. */
  subscribed: Promise<void> = Promise.resolve();
  /** What is known of the messages of other processes, if there is a bus. */
  gaps: Gaps | undefined;
  /** Who is in the group, if anyone says so, and what is known of the messages about it. */
  presence: Presence | undefined;
  presenceGaps: Gaps | undefined;

  constructor(name: string, policy: SlowPolicy) {
    this.name = name;
    this.policy = policy;
  }

  /** The members that get messages now. */
  get receivers(): Set<Member> {
    return this.members;
  }

  /** The order of the messages, if the bus has a history. */
  get timeline(): Timeline | undefined {
    return undefined;
  }

  /** The members that get the history first, if the bus has one. */
  get replays(): Map<Member, Replay> | undefined {
    return undefined;
  }
}

/** A group whose messages the bus keeps. It is a class of its own so that others take no memory for it. */
export class StoredGroup extends Group {
  readonly #receivers = new Set<Member>();
  readonly #timeline: Timeline;
  readonly #replays = new Map<Member, Replay>();

  constructor(name: string, policy: SlowPolicy, reader: HistoryReader, onBatch: OnBatch) {
    super(name, policy);
    this.#timeline = new Timeline(this, reader, onBatch);
  }

  override get receivers(): Set<Member> {
    return this.#receivers;
  }

  override get timeline(): Timeline {
    return this.#timeline;
  }

  override get replays(): Map<Member, Replay> {
    return this.#replays;
  }
}
