/** The numbers of messages between hubs: what is lost, and what arrives twice. */

import type { Clock } from "./clock.ts";
import type { Batch, MessageNumber } from "./message.ts";

/** The last message that this hub has published to a group. */
interface Stream {
  readonly epoch: number;
  number: number;
  /** When, in milliseconds of the hub's clock. */
  at: number;
}

/** Numbers the messages that a hub publishes, for each group. */
export class Numbering {
  readonly sender: number;
  readonly #maxGroups: number;
  #epoch = 1;
  /** Groups in the order of use, in two generations, of which the older one is forgotten as a whole. */
  #young = new Map<string, Stream>();
  #old = new Map<string, Stream>();

  constructor(sender: number, maxGroups: number) {
    this.sender = sender;
    this.#maxGroups = maxGroups;
  }

  /** The number of the next message to a group, of which `count` follow. */
  next(group: string, now: number, count: number): MessageNumber {
    const stream = this.#young.get(group) ?? this.#rejuvenate(group, now);
    const elapsed = now - stream.at;
    const number = stream.number + 1;
    stream.at = now;
    stream.number += count;
    return { sender: this.sender, epoch: stream.epoch, number, elapsed };
  }

  /** The last message to a group had to wait until now. */
  touch(group: string, now: number): void {
    const stream = this.#young.get(group);
    if (stream !== undefined) stream.at = now;
  }

  #rejuvenate(group: string, now: number): Stream {
    const stream = this.#old.get(group) ?? { epoch: this.#epoch, number: 0, at: now };
    this.#old.delete(group);
    if (this.#young.size >= this.#maxGroups) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#epoch++; // so that the groups that are forgotten now begin a higher one
    }
    this.#young.set(group, stream);
    return stream;
  }
}

/** How many senders of a group are known at a time. */
const MAX_SENDERS = 4096;
/** How many senders are known of all groups that have ended. */
const MAX_ENDED_SENDERS = 10_000;

/** Instead of a clock, for messages that have come without a gap: nothing is missing before the first of a sender. */
export const BEGINNING: Pick<Clock, "now"> = { now: () => -Infinity };

/** The last message of a sender that has arrived. */
interface Last {
  epoch: number;
  number: number;
  subscription: number;
}

/** Notices what a group does not get of what other hubs have published to it. */
export class Gaps {
  /** Since when messages arrive, in milliseconds of the hub's clock. */
  subscribedAt: number = Infinity;
  readonly #senders = new Map<number, Last>();
  #subscription = 0;

  /** How many senders are known. */
  get size(): number {
    return this.#senders.size;
  }

  /** No more messages arrive, until the group is subscribed again. */
  end(): void {
    this.subscribedAt = Infinity;
    this.#subscription++;
  }

  /** Whether messages are not among those that were noted, nor before them. */
  isNew({ sender, epoch, number }: MessageNumber): boolean {
    const last = this.#senders.get(sender);
    return last === undefined || epoch > last.epoch || epoch === last.epoch && number > last.number;
  }

  /**
   * Notes messages that have arrived.
   *
   * @param batch The messages.
   * @param now The time, or `-Infinity` if no message of a sender that is new here can be missing before them.
   * @returns How many messages before them were lost, or -1 if they arrive again or too late.
   */
  note(
    { sender, epoch, number, elapsed, count }: MessageNumber & Pick<Batch, "count">,
    clock: Pick<Clock, "now">,
  ): number {
    const last = this.#senders.get(sender) ?? this.#meet(sender);
    if (epoch < last.epoch) return -1;
    const lost = number - 1 - (epoch === last.epoch ? last.number : 0);
    if (lost < 0) return -1;
    const isFirst = last.subscription !== this.#subscription;
    last.epoch = epoch;
    last.number = number + count - 1;
    last.subscription = this.#subscription;
    // A message that was published before the group was subscribed is not lost. Its transport may have taken some time, so
    // that a message just before the subscription counts as lost, but none after it counts as old.
    return isFirst && clock.now() - elapsed <= this.subscribedAt ? 0 : lost;
  }

  #meet(sender: number): Last {
    if (this.#senders.size >= MAX_SENDERS) {
      this.#senders.delete(this.#senders.keys().next().value!);
    }
    const last = { epoch: 0, number: 0, subscription: -1 };
    this.#senders.set(sender, last);
    return last;
  }
}

/**
 * The gaps of groups that have ended. A group that begins again goes on with them, so that what has arrived before does not
 * count as lost.
 */
export class EndedGaps {
  /** In the order in which they have ended. */
  readonly #groups = new Map<string, Gaps>();
  #senders = 0;

  keep(group: string, gaps: Gaps): void {
    gaps.end();
    this.#groups.set(group, gaps);
    this.#senders += gaps.size;
    for (const oldest of this.#groups.keys()) {
      if (this.#senders <= MAX_ENDED_SENDERS) break;
      this.take(oldest);
    }
  }

  take(group: string): Gaps | undefined {
    const gaps = this.#groups.get(group);
    if (gaps === undefined) return;
    this.#groups.delete(group);
    this.#senders -= gaps.size;
    return gaps;
  }
}
