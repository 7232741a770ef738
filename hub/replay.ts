import type { PreparedMessage, Session } from "../session.ts";
import { PreparedMessage as Prepared } from "../session/prepared_message.ts";
import type { HistoryGroup, HistoryReader, ReadTask } from "./history.ts";
import { SESSION_SHARE } from "./member.ts";
import { type Batch, type MessageNumber, messagesOf, TRACED } from "./message.ts";
import { BEGINNING, Gaps } from "./numbering.ts";
import { comparePositions, type Since, START } from "./position.ts";
import { CONTEXT_SIZE } from "./trace_context.ts";

/** How many messages of its own a session can have published meanwhile, without getting one of them. */
const MAX_OWN = 1024;
/** How many bytes this hub can publish during a reading that lets the session in. */
const MAX_PUBLISHED = 256 * 1024;

/** What a replay uses of its hub. */
export interface ReplayHooks {
  /** All that was stored was sent: the session gets the messages in `rest`, and those that come from now on. */
  onLive(rest: readonly LocalMessage[]): void;
  /** Messages of another hub, or of this one, are missing. Both are 0 if it is not known which. */
  onGap(from: number, to: number): void;
}

/** A message of this hub. */
export interface LocalMessage {
  readonly message: PreparedMessage;
  readonly key: string;
}

/**
 * Sends a session the messages of a group that were stored before it came, and then lets it in.
 *
 * The history is read until nothing in it is left that other members have already got, so that nothing needs to be kept for
 * the session meanwhile, however slowly it reads. What this hub has published during the last read may not have been stored
 * in time for it, and is kept.
 */
export class Replay {
  /** Where the session is, if that is known. */
  position: string | undefined;
  readonly #group: HistoryGroup;
  readonly #session: Session;
  readonly #reader: HistoryReader;
  readonly #hooks: ReplayHooks;
  readonly #task: ReadTask = {};
  /** What the session has got. */
  readonly #gaps = new Gaps();
  readonly #excepted = new Set<string>();
  #publishedSize = 0;
  #published: { number: MessageNumber; local: LocalMessage }[] = [];
  /** Whether it is let in after this reading, if there is no more to read. */
  #isReading = false;
  #isOver = false;

  constructor(group: HistoryGroup, session: Session, reader: HistoryReader, hooks: ReplayHooks) {
    this.#group = group;
    this.#session = session;
    this.#reader = reader;
    this.#hooks = hooks;
  }

  /** The session has left. */
  stop(): void {
    this.#isOver = true;
    this.#published = [];
    this.#task.cancel?.();
  }

  /** This hub has published a message. */
  onPublish(number: MessageNumber, local: LocalMessage, except: Session | undefined): void {
    if (except === this.#session && this.#excepted.size < MAX_OWN) {
      this.#excepted.add(nameOf(number));
    }
    if (!this.#isReading) return;
    this.#published.push({ number, local });
    this.#publishedSize += local.message.byteLength;
    if (this.#publishedSize > MAX_PUBLISHED) this.#isReading = false; // it will read again
  }

  /** Sends what is stored. */
  async run({ since, last }: Since): Promise<void> {
    const { name } = this.#group;
    this.position = since;
    await this.#group.subscribed;
    if (this.#isOver) return;
    if (last !== undefined) {
      const tail = await this.#reader.tail(name, last, this.#task);
      if (this.#isOver) return;
      if (tail === undefined) return this.#giveUp();
      if (since === undefined || comparePositions(tail, since) > 0) this.position = tail;
    }
    while (!this.#isOver) {
      if (await this.#readOn()) return;
    }
  }

  /** Sends a page. Returns whether the session is let in. */
  async #readOn(): Promise<boolean> {
    const timeline = this.#group.timeline!;
    if (this.#isAhead) { // another process has got messages that this one has not
      await timeline.recover(this.#task);
      if (this.#isOver) return true;
      if (this.#isAhead) { // there are no such messages
        this.#hooks.onGap(0, 0);
        this.position = timeline.position;
      }
    }
    const known = timeline.position;
    if (known === undefined) {
      this.#giveUp();
      return true;
    }
    this.#published = [];
    this.#publishedSize = 0;
    for (const batch of this.#reader.unstored(this.#group.name)) {
      this.#published.push({ number: batch, local: messagesIn(batch)[0]! });
    }
    this.#isReading = true;
    const page = await this.#reader.read(this.#group.name, this.position!, this.#task);
    if (this.#isOver) return true;
    if (page === undefined) {
      this.#giveUp();
      return true;
    }
    const { entries } = page;
    if (!page.isComplete) this.#hooks.onGap(0, 0);
    // From the start, a page may begin after what this process has got.
    const first = entries[0]?.position ?? START;
    if (this.position !== START || comparePositions(first, known) <= 0) timeline.advance(page);
    for (const { position, batch } of entries) {
      const messages = batch !== undefined && this.#isNew(batch) ? messagesIn(batch) : [];
      for (const { message } of messages) {
        if (this.#session.bytesBuffered >= SESSION_SHARE) {
          this.#isReading = false; // it will read again
          await this.#session.flush();
        }
        if (this.#isOver) return true; // also if a function of the options has let it leave
        this.#session.send(message);
      }
      this.position = position;
    }
    const isAtEnd = comparePositions(this.position!, timeline.position!) === 0 ||
      (entries.length === 0 && timeline.position === known); // then, the broker has lost what was there
    if (!this.#isReading || !page.isLast || !isAtEnd) return false;
    this.#letIn();
    return true;
  }

  get #isAhead(): boolean {
    return comparePositions(this.position!, this.#group.timeline!.position ?? START) > 0;
  }

  #giveUp(): void {
    this.#hooks.onGap(0, 0);
    this.#letIn();
  }

  #letIn(): void {
    const rest = this.#published.filter(({ number }) => this.#isNew(number));
    this.stop();
    this.#hooks.onLive(rest.map(({ local }) => local));
  }

  #isNew(number: MessageNumber & { count?: number }): boolean {
    const lost = this.#gaps.note({ ...number, count: number.count ?? 1 }, BEGINNING);
    if (lost > 0) this.#hooks.onGap(number.number - lost, number.number - 1);
    const isOwn = number.sender === this.#reader.sender;
    return lost >= 0 && !(isOwn && this.#excepted.delete(nameOf(number)));
  }
}

/** The messages of a batch. This hub makes batches of one. */
function messagesIn({ kind, content }: Batch): LocalMessage[] {
  return messagesOf(content).map(({ key, payload }) => ({
    message: new Prepared(kind === TRACED ? payload.subarray(CONTEXT_SIZE) : payload),
    key,
  }));
}

function nameOf({ epoch, number }: MessageNumber): string {
  return `${epoch} ${number}`;
}
