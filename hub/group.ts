import type { Member } from "./member.ts";
import type { Gaps } from "./numbering.ts";
import type { SlowPolicy } from "./options.ts";
import type { Presence } from "./presence.ts";

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
}
