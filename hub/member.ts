import type { PreparedMessage, Session } from "../session.ts";
import { MessageQueue } from "../session/queue.ts";
import type { SlowPolicy } from "./options.ts";

/**
 * How many bytes may wait in a session before further messages wait elsewhere, where they can be dropped or replaced. Less
 * would mean more and smaller writes.
 */
export const SESSION_SHARE: number = 16 * 1024;
/** What a message that waits counts besides its bytes: an entry of the queue. Otherwise, empty ones would cost nothing. */
const OVERHEAD = 128;

interface Waiting {
  readonly message: PreparedMessage;
  /** The key for conflation, which names the group as well. */
  readonly key: string | undefined;
}

/** What a member knows of a group. */
interface Joined {
  readonly name: string;
  readonly policy: SlowPolicy;
}

/** What all members of a hub count together. */
export interface SlowCounts {
  dropped: number;
  replaced: number;
}

/** A session that is in at least one group. */
export class Member {
  readonly session: Session;
  readonly groups: Set<Joined> = new Set();
  /** How many messages it did not get because it was slow. */
  dropped = 0;
  /** Listens to the end of the session. */
  onEnd: (() => void) | undefined;
  readonly #maxWaiting: number;
  readonly #counts: SlowCounts;
  /** What waits, while the peer reads too slowly. */
  #queue: MessageQueue<Waiting> | undefined;

  constructor(session: Session, maxWaiting: number, counts: SlowCounts) {
    this.session = session;
    this.#maxWaiting = maxWaiting;
    this.#counts = counts;
  }

  /** Delivers a message of a group that ends no slow sessions. */
  deliver(group: Joined, message: PreparedMessage, key: string): void {
    const { session } = this;
    if (group.policy === "drop-newest") {
      const { bytesBuffered } = session;
      const hasRoom = bytesBuffered === 0 ||
        bytesBuffered + message.byteLength <= this.#maxWaiting;
      if (hasRoom) session.send(message);
      else this.#count(1, 0);
    } else if (this.#queue === undefined && session.bytesBuffered < SESSION_SHARE) {
      session.send(message);
    } else this.#enqueue(group, message, key);
  }

  #enqueue({ name, policy }: Joined, message: PreparedMessage, key: string): void {
    const queue = this.#queue ??= this.#begin();
    const { dropped, replaced } = queue;
    const isConflated = policy === "conflate";
    // The length keeps the keys of groups apart, whatever they contain.
    queue.push({ message, key: isConflated ? `${name.length} ${name}${key}` : undefined });
    if (queue.dropped > dropped || queue.replaced > replaced) {
      this.#count(queue.dropped - dropped, queue.replaced - replaced);
    }
  }

  #count(dropped: number, replaced: number): void {
    this.dropped += dropped + replaced;
    this.#counts.dropped += dropped;
    this.#counts.replaced += replaced;
  }

  #begin(): MessageQueue<Waiting> {
    const queue = new MessageQueue<Waiting>({
      maxSize: this.#maxWaiting,
      sizeOf: ({ message, key }) => message.byteLength + OVERHEAD + (key?.length ?? 0),
      keyOf: ({ key }) => key,
      overflow: "drop-oldest",
      signal: this.session.signal,
    });
    this.#catchUp(queue).catch(() => {}); // the session has ended, and all that waits is gone with it
    return queue;
  }

  /** Sends what waits, as the peer takes it. */
  async #catchUp(queue: MessageQueue<Waiting>): Promise<void> {
    const { session } = this;
    await session.flush();
    while (queue.length > 0) {
      session.send((await queue.next()).value!.message);
      if (session.bytesBuffered >= SESSION_SHARE) await session.flush();
    }
    this.#queue = undefined;
  }
}
