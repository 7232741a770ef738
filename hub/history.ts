/** What a hub has to do with the history of its bus: messages in their order, each once, and those that it has missed. */

import { LinkedList } from "../_internal/linked_list.ts";
import type { BusHistory, HistoryEntry } from "./bus.ts";
import type { Link } from "./link.ts";
import type { Gaps } from "./numbering.ts";
import { comparePositions, START } from "./position.ts";
import { type Batch, copyOf, DATA, decodeBatch, TRACED } from "./message.ts";

/** How many bytes of messages of a group are held while those before them are read. Later ones are read as well. */
const MAX_HELD = 64 * 1024;
/** How many pages are read at a time, so that their memory is bounded however many groups and sessions want them. */
const MAX_READS = 32;

/** Messages of the history in their order, as they were read. */
export interface Page {
  /** Without messages, it is for another group, or malformed. */
  readonly entries: readonly { readonly position: string; readonly batch?: Batch }[];
  /** Whether nothing before them is known to be missing. */
  readonly isComplete: boolean;
  readonly isLast: boolean;
}

/** What is known of a group. */
export interface HistoryGroup {
  readonly name: string;
  readonly subscribed: Promise<void>;
  readonly gaps: Gaps | undefined;
  readonly timeline: Timeline | undefined;
}

/**
 * Messages of another hub are next in a group. If `isWhole`, all messages before them have come that were stored since the
 * group has begun.
 */
export type OnBatch = (batch: Batch, isWhole: boolean) => void;

/** Something that reads one thing after the other. */
export interface ReadTask {
  /** Lets it wait no longer. */
  cancel?: () => void;
}

/** Reads the history, a few pages at a time. */
export class HistoryReader {
  readonly #link: Link;
  readonly #history: BusHistory;
  readonly #onError: (error: unknown) => void;
  #free: number = MAX_READS;
  #isPaused = false;
  readonly #waiting = new LinkedList<(mayRead: boolean) => void>();

  constructor(link: Link, history: BusHistory, onError: (error: unknown) => void) {
    this.#link = link;
    this.#history = history;
    this.#onError = onError;
  }

  get sender(): number {
    return this.#link.sender;
  }

  /** The messages of a group after a position, or `undefined` if they cannot be read. */
  async read(group: string, after: string, task?: ReadTask): Promise<Page | undefined> {
    const page = await this.#try(() => this.#history.read(group, after), task);
    return page && {
      ...page,
      entries: page.entries.map((entry) => this.#decode(group, entry)),
    };
  }

  /** The position after which there are `count` messages, or `undefined` if that cannot be read. */
  tail(group: string, count: number, task?: ReadTask): Promise<string | undefined> {
    return this.#try(() => this.#history.tail(group, count), task);
  }

  /** The messages of this hub to a group that are not stored yet. */
  unstored(group: string): Iterable<Batch> {
    return this.#link.unstored(group);
  }

  /** The bus has been away: delivers what groups have missed. */
  recover(groups: Iterable<HistoryGroup>): void {
    for (const { timeline } of groups) timeline!.recover();
  }

  /** Tries again for as long as the bus is away, unless the task is canceled. */
  async #try<T>(read: () => Promise<T>, task: ReadTask = {}): Promise<T | undefined> {
    while (await this.#turn(task)) {
      try {
        return await read();
      } catch (error) {
        if (this.#link.bus.isReady) {
          this.#onError(error);
          return;
        }
        this.#pause();
      } finally {
        this.#free++;
        this.#next();
      }
    }
  }

  /** Resolves when something may be read; with `false` if the task is canceled, or the bus is closed. */
  #turn(task: ReadTask): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const link = this.#waiting.push(resolve);
    task.cancel = () => {
      this.#waiting.remove(link);
      resolve(false);
    };
    this.#next();
    return promise;
  }

  #next(): void {
    while (!this.#isPaused && this.#free > 0 && this.#waiting.length > 0) {
      this.#free--;
      this.#waiting.shift()!(true);
    }
  }

  /** Reads nothing until the bus is ready. */
  async #pause(): Promise<void> {
    if (this.#isPaused) return;
    this.#isPaused = true;
    const isOpen = await this.#link.untilReady();
    this.#isPaused = false;
    while (!isOpen && this.#waiting.length > 0) this.#waiting.shift()!(false);
    this.#next();
  }

  #decode(group: string, { position, message }: HistoryEntry): Page["entries"][number] {
    if (message === undefined) return { position };
    try {
      const batch = decodeBatch(message);
      const isData = batch.kind === DATA || batch.kind === TRACED;
      if (batch.group === group && isData) return { position, batch };
    } catch (error) {
      this.#onError(error);
    }
    return { position };
  }
}

interface Held {
  readonly batch: Batch;
  readonly position: string;
}

/** The messages of a group in the order of its history, from when it has begun in this process. */
export class Timeline {
  /** That of the last message. All before it were delivered, or cannot be had. */
  position: string | undefined;
  /** The first position. Nothing before it is for this process. */
  #beginning: string | undefined;
  /** Whether the position was set back to the beginning, which may not be there any more. */
  #isSetBack = false;
  readonly #group: HistoryGroup;
  readonly #reader: HistoryReader;
  readonly #onBatch: OnBatch;
  #filling: Promise<void> | undefined;
  #isOver = false;
  /** Whether no message is missing that was stored. */
  #isWhole = true;
  /** Up to where messages are missing. */
  #target: string = START;
  #held: Held[] = [];
  #heldSize = 0;

  constructor(group: HistoryGroup, reader: HistoryReader, onBatch: OnBatch) {
    this.#group = group;
    this.#reader = reader;
    this.#onBatch = onBatch;
  }

  /** Nothing is delivered any more. */
  end(): void {
    this.#isOver = true;
  }

  /** Messages have come, live. `previous` is the position of those before them. */
  onBatch(batch: Batch, position: string, previous: string): void {
    const last = this.position;
    if (this.#filling !== undefined) this.#hold(batch, position);
    else if (last === undefined || previous === last) this.#pass(batch, position);
    else if (comparePositions(position, last) > 0) {
      this.#hold(batch, position);
      this.#filling = this.#fill();
    } else if (this.#group.gaps!.isNew(batch)) this.recover(); // the broker may have lost the history
  }

  /** Delivers what has not come yet, since the bus was away. The first time, it begins with what comes next. */
  async recover(task?: ReadTask): Promise<void> {
    const before = this.position;
    const end = await this.#reader.tail(this.#group.name, 0, task);
    if (this.#isOver || end === undefined) return;
    const last = this.position;
    if (last === undefined) this.position = this.#beginning = end;
    else if (comparePositions(end, last) < 0) {
      if (last !== before) return; // that was later
      // The broker has lost the end of the history, or all of it, and has begun again.
      this.#isSetBack = comparePositions(end, this.#beginning!) >= 0;
      this.position = this.#isSetBack ? this.#beginning! : START;
    }
    this.#aim(end);
    await (this.#filling ??= this.#fill());
  }

  /** Delivers a page that was read after a position that is not after this one. */
  advance({ entries, isComplete }: Page): void {
    for (const { position, batch } of entries) {
      const isNext = this.position === undefined || comparePositions(position, this.position) > 0;
      if (!isNext) continue;
      this.#isWhole &&= isComplete;
      this.#pass(batch, position);
    }
  }

  #pass(batch: Batch | undefined, position: string): void {
    this.position = position;
    this.#beginning ??= position;
    if (batch !== undefined && batch.sender !== this.#reader.sender) {
      this.#onBatch(batch, this.#isWhole);
    }
  }

  #aim(position: string): void {
    if (comparePositions(position, this.#target) > 0) this.#target = position;
  }

  #hold(batch: Batch, position: string): void {
    this.#aim(position);
    const { length } = batch.content;
    if (this.#heldSize + length > MAX_HELD) return; // it will be read
    this.#heldSize += length;
    this.#held.push({ batch: { ...batch, content: copyOf(batch.content) }, position });
  }

  /** Reads what is missing, and delivers it. */
  async #fill(): Promise<void> {
    await null; // until #filling is set
    while (comparePositions(this.#target, this.position!) > 0) {
      const from = this.position!;
      const page = await this.#reader.read(this.#group.name, from);
      if (this.#isOver) return;
      if (this.#isSetBack && from === this.#beginning) {
        this.#isSetBack = false;
        if (page?.isComplete === false) { // all that is there has come after the beginning
          this.position = START;
          continue;
        }
      }
      if (page === undefined || page.entries.length === 0) { // it cannot be had
        this.#isWhole = false;
        break;
      }
      this.advance(page);
    }
    const held = this.#held;
    const target = this.#target;
    this.#held = [];
    this.#heldSize = 0;
    this.#target = START;
    this.#filling = undefined;
    for (const { batch, position } of held) {
      if (comparePositions(position, this.position!) > 0) this.#pass(batch, position);
    }
    if (comparePositions(target, this.position!) > 0) this.position = target;
  }
}
