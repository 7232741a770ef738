import type { Member } from "./member.ts";
import type { Timeline } from "./history.ts";
import type { Gaps } from "./numbering.ts";
import type { SlowPolicy } from "./options.ts";
import type { Presence } from "./presence.ts";
import type { Replay } from "./replay.ts";

/** A group that has members in this process. */
export class Group {
  readonly name: string;
  readonly policy: SlowPolicy;
  readonly members: Set<Member> = new Set();
  /** The members that get messages now: all, unless some get the history first. */
  receivers: Set<Member> = this.members;
  /** Resolves once messages of other processes arrive. */
  subscribed: Promise<void> = Promise.resolve();
  /** What is known of the messages of other processes, if there is a bus. */
  gaps: Gaps | undefined;
  /** Who is in the group, if anyone says so, and what is known of the messages about it. */
  presence: Presence | undefined;
  presenceGaps: Gaps | undefined;
  /** The order of the messages, if the bus has a history, and the members that get it now. */
  timeline: Timeline | undefined;
  replays: Map<Member, Replay> | undefined;

  constructor(name: string, policy: SlowPolicy) {
    this.name = name;
    this.policy = policy;
  }
}
