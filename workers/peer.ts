/** The connection of a worker to another one of the same server, over a message port. */

import { nextTick } from "node:process";
import type { MessagePort } from "node:worker_threads";

/** How many bytes of messages may be on their way to another worker, which has not taken them yet. */
const MAX_UNTAKEN = 4 * 1024 * 1024;

/** What one worker sends to another in a turn of its event loop. */
interface Batch {
  /** Groups to which the sender has subscribed, and which it has left. There are none while others are unanswered. */
  readonly joined: readonly string[];
  readonly left: readonly string[];
  /** Messages, each after its length in 4 bytes. */
  readonly messages: Uint8Array | undefined;
  /** How many bytes of messages the sender has taken since its last batch. */
  readonly taken: number;
  /** Whether the sender has noted the groups of the batch that it has got. */
  readonly isAnswer: boolean;
}

/** What a peer uses of its bus. */
export interface PeerHooks {
  /** The other worker has sent a message. */
  onMessage(message: Uint8Array): void;
  /** The other worker has sent its groups for the first time, or the connection has ended. */
  onChange(peer: Peer): void;
}

/** Another worker. */
export class Peer {
  /** The groups of the other worker. */
  readonly groups: Set<string> = new Set();
  /** Whether it has sent its groups. */
  isOpen = false;
  isClosed = false;
  readonly #port: MessagePort;
  readonly #hooks: PeerHooks;
  /** Bytes that the other worker has not taken yet, including those that wait for the end of the turn. */
  #untaken = 0;
  #messages: Uint8Array[] = [];
  #messagesSize = 0;
  #taken = 0;
  #isAnswerDue = false;
  /** What has changed since the last batch with groups: `true` for groups that were joined. */
  #changes = new Map<string, boolean>();
  #isUnanswered = false;
  /** Who waits until the other worker has noted the groups of the last batch, and of the next one. */
  #asked: (() => void)[] = [];
  #asking: (() => void)[] = [];
  #isFlushing = false;

  /** @param groups The groups of this worker. */
  constructor(port: MessagePort, groups: Iterable<string>, hooks: PeerHooks) {
    this.#port = port;
    this.#hooks = hooks;
    port.on("message", (batch: Batch) => this.#onBatch(batch));
    port.on("close", () => this.close());
    port.unref();
    for (const group of groups) this.#changes.set(group, true);
    this.#flush(true);
  }

  /** Sends a message. Returns whether there was room for it. */
  send(message: Uint8Array): boolean {
    const size = message.length + 4;
    if (this.#untaken > 0 && this.#untaken + size > MAX_UNTAKEN) return false;
    this.#untaken += size;
    this.#messages.push(message);
    this.#messagesSize += size;
    this.#flushSoon();
    return true;
  }

  /** Resolves once the other worker sends the messages of a group. */
  subscribe(group: string): Promise<void> {
    if (this.isClosed) return Promise.resolve();
    this.#change(group, true);
    const { promise, resolve } = Promise.withResolvers<void>();
    if (this.#changes.size > 0) this.#asking.push(resolve);
    else if (this.#isUnanswered) this.#asked.push(resolve);
    else resolve();
    return promise;
  }

  unsubscribe(group: string): void {
    this.#change(group, false);
  }

  /** Sends what was published, and closes. */
  end(): void {
    this.#flush();
    this.close();
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.#port.close();
    this.#messages = [];
    this.groups.clear();
    for (const resolve of [...this.#asked, ...this.#asking]) resolve();
    this.#asked = this.#asking = [];
    this.#hooks.onChange(this);
  }

  /** A change that takes another one back leaves neither, so there are never more of them than groups. */
  #change(group: string, isJoined: boolean): void {
    if (this.#changes.get(group) === !isJoined) this.#changes.delete(group);
    else this.#changes.set(group, isJoined);
    this.#flushSoon();
  }

  #flushSoon(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    nextTick(() => this.#flush());
  }

  #flush(isFirst = false): void {
    this.#isFlushing = false;
    if (this.isClosed) return;
    const hasChanges = isFirst || (!this.#isUnanswered && this.#changes.size > 0);
    if (!hasChanges && this.#messages.length + this.#taken === 0 && !this.#isAnswerDue) return;
    const changes = hasChanges ? [...this.#changes] : [];
    const messages = this.#gather();
    const batch: Batch = {
      joined: changes.filter(([, isJoined]) => isJoined).map(([group]) => group),
      left: changes.filter(([, isJoined]) => !isJoined).map(([group]) => group),
      messages,
      taken: this.#taken,
      isAnswer: this.#isAnswerDue,
    };
    if (hasChanges) {
      this.#isUnanswered = true;
      this.#changes.clear();
      this.#asked = this.#asking;
      this.#asking = [];
    }
    this.#taken = 0;
    this.#isAnswerDue = false;
    this.#port.postMessage(batch, messages === undefined ? [] : [messages.buffer as ArrayBuffer]);
  }

  #gather(): Uint8Array | undefined {
    if (this.#messages.length === 0) return;
    const all = new Uint8Array(this.#messagesSize);
    const view = new DataView(all.buffer);
    let at = 0;
    for (const message of this.#messages) {
      view.setUint32(at, message.length);
      all.set(message, at + 4);
      at += message.length + 4;
    }
    this.#messages = [];
    this.#messagesSize = 0;
    return all;
  }

  #onBatch({ joined, left, messages, taken, isAnswer }: Batch): void {
    if (this.isClosed) return;
    const isFirst = !this.isOpen;
    this.isOpen = true;
    this.#untaken -= taken;
    for (const group of joined) this.groups.add(group);
    for (const group of left) this.groups.delete(group);
    if (isFirst || joined.length + left.length > 0) this.#isAnswerDue = true;
    if (isAnswer) this.#onAnswer();
    if (isFirst) this.#hooks.onChange(this);
    if (messages !== undefined) this.#deliver(messages);
    this.#flushSoon();
  }

  #onAnswer(): void {
    this.#isUnanswered = false;
    for (const resolve of this.#asked) resolve();
    this.#asked = [];
  }

  #deliver(messages: Uint8Array): void {
    const view = new DataView(messages.buffer, messages.byteOffset);
    for (let at = 0; at < messages.length;) {
      const length = view.getUint32(at);
      this.#hooks.onMessage(messages.subarray(at + 4, at + 4 + length));
      at += 4 + length;
    }
    this.#taken += messages.length;
  }
}
