/** Limits the memory of a server's buffers, in steps. */

import { checkInteger } from "../_internal/checks.ts";
import { collectGarbage } from "../_internal/collect_garbage.ts";
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
const TIGHT = 3 / 8;
/**
 * Above these parts of it, the sessions that hold most are not read; nothing is accepted; the largest are ended. The rest
 * is for what the allocator loses between buffers.
 */
const RISES = [5 / 8, 3 / 4, 7 / 8] as const;
/** Below these parts of it, all sessions are read again; connections are accepted again. */
const FALLS = [1 / 2, 5 / 8] as const;
/** While memory is short: the part of it that all sessions share equally, and the smallest share of a session in bytes. */
const SHARED = 1 / 4;
const MIN_SHARE = 1024;
/** While memory is short: the part of it by which buffers may grow or shrink until the next review. */
const STEP = 1 / 32;
/** How long nothing is accepted, or nobody read, without relief before any session may be ended, in milliseconds. */
const PATIENCE = 500;
/** After how long without a byte a session may be ended for others that wait for room. If all wait, `PATIENCE` is enough. */
const MAX_QUIET = 2_000;
/** What a session holds weighs as much again for each time of this length without a byte, in milliseconds. */
const QUIET = 100;
/** What the TLS layer of a session takes, in bytes: 17 KiB, and nearly as much again once it has received large records. */
const TLS_LAYER = 32 * 1024;
/** The part of the limit that all TLS layers count for at most, so that idle sessions alone never make memory short. */
const TLS_LAYERS = 1 / 4;
/** After how many ended sessions garbage is collected: each leaves 20 KiB and more, outside of the count and often of V8's heap. */
const MAX_UNCOLLECTED = 100;

const LEVELS: readonly MemoryStats["pressure"][] = ["none", "reading-paused", "accepting-paused"];
const FULL = 2;

/** What a guard uses of its server. */
interface MemoryHooks {
  readonly budget: Budget;
  /** The sessions. */
  lives(): Iterable<Lifecycle>;
  /** The clock for deadlines. */
  now(): number;
  /** Makes the sweep frequent enough for a duration. */
  pace(duration: number): void;
  /** Called when a step was taken, or taken back. */
  onPressure(event: MemoryPressureEvent): void;
}

interface Holding {
  readonly life: Lifecycle;
  bytes: number;
}

/** How many bytes to free, and the sessions that may be ended for that, in order. */
interface Excess {
  readonly bytes: number;
  readonly candidates: Holding[];
}

/** Keeps the memory of a server's buffers below a limit. */
export class MemoryGuard {
  readonly #limit: number;
  readonly #hooks: MemoryHooks;
  #level = 0;
  /** Since when nothing is accepted, or nobody can be read, without relief; and how much was held then. */
  #blockedSince: number | undefined;
  #blockedHeld = 0;
  /** Whether paused readers wait because the last review had no room for them, and whether nobody else reads meanwhile. */
  #isWaiting = false;
  #isStuck = false;
  #ended = 0;
  /** How many of them were ended since the last collection of garbage. */
  #uncollected = 0;

  constructor({ maxBufferMemory = DEFAULT_BUFFER_MEMORY }: ServeOptions, hooks: MemoryHooks) {
    this.#limit = maxBufferMemory;
    this.#hooks = hooks;
    if (maxBufferMemory === Infinity) return;
    checkInteger("maxBufferMemory", maxBufferMemory, MIN_BUFFER_MEMORY, 2 ** 50);
    hooks.budget.limit(() => this.#review());
  }

  /** Whether no connection may be accepted. */
  get isFull(): boolean {
    return this.#level === FULL;
  }

  stats(): MemoryStats {
    return {
      held: this.#totalOf(this.#holdings()),
      pressure: LEVELS[this.#level]!,
      paused: this.#hooks.budget.paused.size,
      ended: this.#ended,
    };
  }

  #review(): void {
    const all = this.#holdings();
    let held = this.#totalOf(all);
    const holdings = all.filter(({ life }) => !life.isShut);
    const before = this.#level;
    this.#level = this.#levelAt(held);
    const highest = Math.max(before, this.#level);
    this.#noteRelief(held);
    const ended = this.#end(this.#excessOf(holdings, held));
    for (const { life, bytes } of ended) held -= Math.max(0, bytes - bytesOf(life)); // it may still be writing
    const sessions = holdings.length - ended.length;
    this.#watch(held, sessions);
    this.#giveTurns(holdings, held);
    this.#watch(held, sessions); // again, since no reader may be paused any more
    for (let level = before; level < highest;) this.#tell(LEVELS[++level]!, held);
    if (ended.length > 0) this.#tell("sessions-ended", held, ended.length);
    for (let level = highest; level > this.#level;) this.#tell(LEVELS[--level]!, held);
  }

  /**
   * Returns what each session holds. Memory to which several sessions refer is divided among them. One that is shut holds
   * what is being written, until the runtime returns it.
   */
  #holdings(): Holding[] {
    const holdings: Holding[] = [];
    const referenced = new Map<ArrayBufferLike, number>();
    const count = ({ buffer, length }: Uint8Array): void => {
      referenced.set(buffer, (referenced.get(buffer) ?? 0) + length);
    };
    for (const life of this.#hooks.lives()) {
      life.output.showReferenced(count);
      holdings.push({ life, bytes: bytesOf(life) });
    }
    if (referenced.size > 0) holdings.forEach((holding) => divide(holding, referenced));
    return holdings;
  }

  /** While memory is freed, however slowly, sessions are not ended to make room. */
  #noteRelief(held: number): void {
    const isRelief = this.#blockedSince === undefined ||
      held <= this.#blockedHeld - this.#limit * STEP;
    if (this.#level < FULL && !this.#isStuck) this.#blockedSince = undefined;
    else if (isRelief) {
      this.#blockedSince = this.#hooks.now();
      this.#blockedHeld = held;
    }
  }

  #levelAt(held: number): number {
    let level = this.#level;
    while (level < FULL && held > this.#limit * RISES[level]!) level++;
    while (level > 0 && held < this.#limit * FALLS[level - 1]!) {
      if (--level === 0 && this.#hooks.budget.paused.size > 0) return 1; // do not resume all readers at once
    }
    return level;
  }

  /**
   * Returns what to free by ending sessions: to stay below the limit, or because others wait for room. What ended sessions
   * are still writing is freed in a moment. For that, nobody waits, and nobody is ended who holds next to nothing.
   */
  #excessOf(holdings: Holding[], held: number): Excess {
    const share = this.#shareOf(holdings.length);
    if (held > this.#limit * RISES[FULL]) {
      const candidates = this.#byWeight(holdings.filter(({ bytes }) => bytes > share));
      return { bytes: held - this.#limit * FALLS[1] + 1, candidates };
    }
    if (this.#level < FULL && !this.#isWaiting) return { bytes: 0, candidates: [] };
    const since = this.#blockedSince;
    const limit = since === undefined ? MAX_QUIET : PATIENCE;
    const isStalled = ({ life, bytes }: Holding): boolean =>
      bytes > share && this.#quiet(life) >= limit;
    const candidates = this.#byWeight(holdings.filter(isStalled));
    if (since !== undefined && this.#hooks.now() - since >= PATIENCE) {
      candidates.push(...this.#byWeight(holdings.filter((holding) => !isStalled(holding))));
    }
    return { bytes: this.#totalOf(holdings) - this.#limit * FALLS[0] + 1, candidates };
  }

  /** How much a session may hold while memory is short. */
  #shareOf(sessions: number): number {
    return Math.max(MIN_SHARE, this.#limit * SHARED / Math.max(1, sessions));
  }

  /** How much sessions hold together, with their TLS layers. */
  #totalOf(holdings: readonly Holding[]): number {
    let bytes = 0;
    let layers = 0;
    for (const holding of holdings) {
      bytes += holding.bytes;
      if (holding.life.connection.tls !== undefined) layers += TLS_LAYER;
    }
    return Math.round(bytes + Math.min(layers, this.#limit * TLS_LAYERS));
  }

  /**
   * Sorts sessions: first those that hold most, for the longest time without a byte in either direction. Of equal ones, the
   * newest come first.
   */
  #byWeight(holdings: readonly Holding[]): Holding[] {
    const weighed = holdings.map((holding) => ({
      holding,
      weight: holding.bytes * (QUIET + this.#quiet(holding.life)),
    }));
    weighed.reverse().sort((a, b) => b.weight - a.weight);
    return weighed.map(({ holding }) => holding);
  }

  /** How long a session has waited for its peer without a byte, in milliseconds. */
  #quiet(life: Lifecycle): number {
    const { reader, output, deadlines } = life;
    const owesNothing = !life.unread && output.buffered === 0;
    if (owesNothing || this.#hooks.budget.paused.has(reader)) return 0;
    return deadlines.quiet(this.#hooks.now(), life);
  }

  /** Ends the first candidates, until enough is freed. */
  #end({ bytes: excess, candidates }: Excess): Holding[] {
    const ended: Holding[] = [];
    let left = excess;
    for (const holding of candidates) {
      if (left <= 0) break;
      ended.push(holding);
      left -= holding.bytes;
    }
    this.#ended += ended.length;
    this.#uncollected += ended.length;
    if (this.#uncollected >= MAX_UNCOLLECTED) {
      this.#uncollected = 0;
      collectGarbage();
    }
    for (const { life, bytes } of ended) {
      life.terminate("limit", new MemoryLimitError(this.#limit, bytes));
    }
    return ended;
  }

  /** Sets the next review: when the next step may be due, or there is room to resume readers. The sweep reviews, too. */
  #watch(held: number, sessions: number): void {
    const { budget } = this.#hooks;
    const limit = this.#limit;
    const level = this.#level = this.#levelAt(held);
    const above = limit * (level === 0 ? TIGHT : RISES[level]!);
    const uncounted = Math.max(0, held - budget.held);
    budget.watch({
      share: level === 0 ? Infinity : this.#shareOf(sessions),
      tight: limit * TIGHT - uncounted,
      above: above - uncounted,
      growth: Math.max(above - held, limit * STEP),
      release: level === 0 ? Infinity : limit * STEP,
    });
    if (level > 0 && sessions > 0) this.#hooks.pace(PATIENCE);
  }

  /**
   * Resumes as many paused readers as there is room for, in turn, so that each of them can complete its frame at some time.
   * Memory that others were allowed to use, and have not used yet, is no room. If nobody else was allowed anything, one
   * reader may use all that is left.
   */
  #giveTurns(holdings: readonly Holding[], held: number): void {
    const { paused } = this.#hooks.budget;
    const inTurn = [...paused];
    paused.clear();
    let allowed = 0;
    for (const { life } of holdings) allowed += life.reader.allowed;
    const left = this.#limit * (RISES[FULL] - STEP) - held;
    let room = (this.isFull ? left : this.#limit * RISES[1] - held) - allowed;
    let isStuck = allowed === 0;
    this.#isWaiting = false;
    for (const reader of inTurn) {
      const { growth } = reader;
      if (growth === 0 || growth <= room || isStuck && growth <= left) {
        room -= growth;
        isStuck = false;
        reader.allow(reader.demand);
      } else this.#isWaiting = true;
      reader.resume();
    }
    this.#isStuck = isStuck && this.#isWaiting;
  }

  #tell(pressure: MemoryPressure, held: number, ended = 0): void {
    const { budget, onPressure } = this.#hooks;
    onPressure({ pressure, held, limit: this.#limit, paused: budget.paused.size, ended });
  }
}

function bytesOf({ reader, output, connection }: Lifecycle): number {
  return reader.input.size + output.size + (connection.held ?? 0);
}

/** Leaves a holding its part of the memory to which several outputs refer: `referenced` says to how many bytes of each buffer. */
function divide(holding: Holding, referenced: ReadonlyMap<ArrayBufferLike, number>): void {
  holding.life.output.showReferenced(({ buffer, length }) => {
    holding.bytes -= length * Math.max(0, 1 - buffer.byteLength / referenced.get(buffer)!);
  });
}
