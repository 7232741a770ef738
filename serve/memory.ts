/** Limits the memory of a server's buffers, in steps. */

import { checkInteger } from "../_internal/checks.ts";
import { MemoryLimitError } from "../errors.ts";
import type { Budget } from "../session/budget.ts";
import type { Lifecycle } from "../session/lifecycle.ts";
import type { MemoryPressure, MemoryPressureEvent } from "./observer.ts";
import type { MemoryStats, ServeOptions } from "./options.ts";

const MIB = 1024 * 1024;
/** A machine with 1 GiB has room for this, the program, 10,000 sessions and garbage. */
export const DEFAULT_BUFFER_MEMORY: number = 256 * MIB;
/** Of a smaller limit, the buffers that are kept for the next outputs would be a large part. */
export const MIN_BUFFER_MEMORY: number = 8 * MIB;

/** Above this part of the limit, reads are small. */
const TIGHT = 1 / 2;
/** Above these parts of it, the sessions that hold most are not read; nothing is accepted; the largest are ended. */
const RISES = [3 / 4, 7 / 8, 1] as const;
/** Below these parts of it, all sessions are read again; connections are accepted again. */
const FALLS = [5 / 8, 3 / 4] as const;
/** While memory is short: the part of it that all sessions share equally, and the smallest share of a session in bytes. */
const SHARED = 1 / 4;
const MIN_SHARE = 1024;
/** While memory is short: the part of it by which buffers may grow or shrink until the next review. */
const STEP = 1 / 32;
/** How long nothing is accepted before sessions are ended to make room, in milliseconds. */
const PATIENCE = 1_000;

const LEVELS: readonly MemoryStats["pressure"][] = ["none", "reading-paused", "accepting-paused"];
const FULL = 2;

/** What a guard uses of its server. */
interface MemoryHooks {
  readonly budget: Budget;
  /** The sessions. */
  lives(): Iterable<Lifecycle>;
  /** Called when a step was taken, or taken back. */
  onPressure(event: MemoryPressureEvent): void;
}

interface Holding {
  readonly life: Lifecycle;
  readonly bytes: number;
}

/** Keeps the memory of a server's buffers below a limit. */
export class MemoryGuard {
  readonly #limit: number;
  readonly #hooks: MemoryHooks;
  #level = 0;
  /** Since when nothing is accepted without relief, and how much was held then. */
  #fullSince = 0;
  #fullHeld = 0;
  #ended = 0;

  constructor({ maxBufferMemory = DEFAULT_BUFFER_MEMORY }: ServeOptions, hooks: MemoryHooks) {
    this.#limit = maxBufferMemory;
    this.#hooks = hooks;
    if (maxBufferMemory === Infinity) return;
    checkInteger("maxBufferMemory", maxBufferMemory, MIN_BUFFER_MEMORY, 2 ** 50);
    hooks.budget.tight = this.#limit * TIGHT;
    hooks.budget.limit(() => this.#review());
  }

  /** Whether no connection may be accepted. */
  get isFull(): boolean {
    return this.#level === FULL;
  }

  stats(): MemoryStats {
    return {
      held: totalOf(this.#holdings()),
      pressure: LEVELS[this.#level]!,
      paused: this.#hooks.budget.paused.size,
      ended: this.#ended,
    };
  }

  #review(): void {
    const holdings = this.#holdings();
    let held = totalOf(holdings);
    const before = this.#level;
    this.#level = this.#levelAt(held);
    const highest = Math.max(before, this.#level);
    this.#noteRelief(held, before);
    const ended = this.#endLargest(holdings, this.#excessOf(held));
    for (const { bytes } of ended) held -= bytes;
    const sessions = holdings.length - ended.length;
    this.#watch(held, sessions);
    this.#giveTurns(holdings, held);
    this.#watch(held, sessions); // again, since no reader may be paused any more
    for (let level = before; level < highest;) this.#tell(LEVELS[++level]!, held);
    if (ended.length > 0) this.#tell("sessions-ended", held, ended.length);
    for (let level = highest; level > this.#level;) this.#tell(LEVELS[--level]!, held);
  }

  /** Returns what each session holds. Memory to which several sessions refer is divided among them. */
  #holdings(): Holding[] {
    const lives = [...this.#hooks.lives()];
    const referenced = new Map<ArrayBufferLike, number>();
    for (const { output } of lives) {
      output.showReferenced(({ buffer, length }) => {
        referenced.set(buffer, (referenced.get(buffer) ?? 0) + length);
      });
    }
    return lives.map((life) => {
      let bytes = life.reader.input.buffer.length + life.output.size;
      life.output.showReferenced(({ buffer, length }) => {
        const all = referenced.get(buffer)!;
        bytes -= length * Math.max(0, 1 - buffer.byteLength / all);
      });
      return { life, bytes };
    });
  }

  /** While memory is freed, however slowly, sessions are not ended to make room. */
  #noteRelief(held: number, before: number): void {
    if (this.#level < FULL) return;
    if (before === FULL && held > this.#fullHeld - this.#limit * STEP) return;
    this.#fullHeld = held;
    this.#fullSince = performance.now();
  }

  #levelAt(held: number): number {
    let level = this.#level;
    while (level < FULL && held > this.#limit * RISES[level]!) level++;
    while (level > 0 && held < this.#limit * FALLS[level - 1]!) {
      if (--level === 0 && this.#hooks.budget.paused.size > 0) return 1; // do not resume all readers at once
    }
    return level;
  }

  /** Returns how many bytes to free by ending sessions. */
  #excessOf(held: number): number {
    if (held > this.#limit) return held - this.#limit * RISES[1];
    const isPatient = performance.now() - this.#fullSince < PATIENCE;
    return this.#level < FULL || isPatient ? 0 : held - this.#limit * FALLS[0] + 1;
  }

  /** Ends the sessions that hold most, until `excess` bytes are freed. */
  #endLargest(holdings: Holding[], excess: number): Holding[] {
    if (excess <= 0) return [];
    holdings.sort((a, b) => b.bytes - a.bytes);
    const ended: Holding[] = [];
    for (let left = excess; left > 0 && ended.length < holdings.length;) {
      const holding = holdings[ended.length]!;
      ended.push(holding);
      left -= holding.bytes;
    }
    this.#ended += ended.length;
    for (const { life, bytes } of ended) {
      life.terminate("limit", new MemoryLimitError(this.#limit, bytes));
    }
    return ended;
  }

  /** Sets the next review: when the next step may be due, or there is room to resume readers. */
  #watch(held: number, sessions: number): void {
    const { budget } = this.#hooks;
    const limit = this.#limit;
    const level = this.#level = this.#levelAt(held);
    budget.share = level === 0
      ? Infinity
      : Math.max(MIN_SHARE, limit * SHARED / Math.max(1, sessions));
    const above = limit * RISES[level]!;
    budget.watch({
      above,
      growth: Math.max(above - held, limit * STEP),
      release: level === 0 ? Infinity : limit * STEP,
    });
  }

  /**
   * Resumes as many paused readers as there is room for, in turn, so that each of them can complete its frame at some time.
   * Memory that others were allowed to use, and have not used yet, is no room.
   */
  #giveTurns(holdings: readonly Holding[], held: number): void {
    const { paused } = this.#hooks.budget;
    const inTurn = [...paused];
    paused.clear();
    let room = this.#limit * (this.isFull ? 1 - STEP : RISES[1]) - held;
    for (const { life } of holdings) room -= life.reader.allowed;
    for (const reader of inTurn) {
      const { growth } = reader;
      if (growth === 0 || growth <= room) {
        room -= growth;
        reader.allow(reader.demand);
      }
      reader.resume();
    }
  }

  #tell(pressure: MemoryPressure, held: number, ended = 0): void {
    const { budget, onPressure } = this.#hooks;
    onPressure({ pressure, held, limit: this.#limit, paused: budget.paused.size, ended });
  }
}

function totalOf(holdings: readonly Holding[]): number {
  return Math.round(holdings.reduce((all, { bytes }) => all + bytes, 0));
}
