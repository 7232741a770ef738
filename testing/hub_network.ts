import { checkInteger, shown } from "../_internal/checks.ts";
import { checkOptions, elsewhere, type Known } from "../_internal/options.ts";
import type { Bus, BusHistory, BusListener, HistoryPage } from "../hub/bus.ts";
import { Hub } from "../hub/hub.ts";
import type { HubOptions } from "../hub/options.ts";
import { randomFrom } from "./disturb.ts";

/** Options of {@linkcode HubNetwork}. */
export interface HubNetworkOptions {
  /**
   * What happens depends on it alone, and on what the test does.
   *
   * @default {1}
   */
  seed?: number;
  /**
   * The longest time that a message or a subscription takes, in milliseconds. 0 to 60,000.
   *
   * @default {10}
   */
  delay?: number;
  /**
   * The share of messages that are lost, for each receiver. 0 to 1.
   *
   * @default {0}
   */
  lose?: number;
  /**
   * The share of messages that arrive twice, for each receiver. 0 to 1.
   *
   * @default {0}
   */
  duplicate?: number;
  /**
   * The share of messages that later ones may overtake, for each receiver. 0 to 1.
   *
   * @default {0}
   */
  reorder?: number;
  /**
   * The share of the time in which a hub is away from the bus: for up to two seconds each time. 0 to 0.9.
   *
   * @default {0}
   */
  outage?: number;
  /**
   * How many messages of each group the bus keeps, for `since` and `last` of `join()`. Without it, the bus has no history.
   * 1 to 2^24.
   */
  history?: number | undefined;
}

const HUB_NETWORK_OPTIONS: Known<HubNetworkOptions> = {
  seed: elsewhere,
  delay: elsewhere,
  lose: elsewhere,
  duplicate: elsewhere,
  reorder: elsewhere,
  outage: elsewhere,
  history: (name, value) => checkInteger(name, value, 1, 2 ** 24),
};

const MAX_OUTAGE = 2000;

interface Timer {
  readonly at: number;
  readonly call: () => void;
}

/**
 * Several hubs in one process, on a simulated bus that delays, loses, repeats and reorders messages and goes away, by a
 * seed. Time is simulated, too: it passes only in {@linkcode advance}.
 *
 * @example
 * ```ts
 * import { HubNetwork, sessionPair } from "@parley/tcp/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const network = new HubNetwork({ seed: 7, lose: 0.5 });
 * const [here, there] = [network.hub(), network.hub()];
 * const [client, session] = sessionPair();
 * there.join("news", session);
 * await network.advance(1000);
 * for (let at = 0; at < 10; at++) here.publish("news", `${at}\n`);
 * network.calm();
 * here.publish("news", "end\n");
 * await network.advance(1000);
 * const { received, lost } = there.stats();
 * assertEquals(received + lost, 11);
 * client.abort();
 * session.abort();
 * ```
 */
export class HubNetwork {
  /** The time, in milliseconds. */
  now = 0;
  readonly #random: () => number;
  readonly #delay: number;
  #lose: number;
  #duplicate: number;
  #reorder: number;
  #outage: number;
  readonly #histories: Histories | undefined;
  readonly #buses = new Map<Hub, SimulatedBus>();
  /** In the order of time, and of the calls. */
  #timers: Timer[] = [];

  /**
   * Makes a network without hubs.
   *
   * @param options The seed, and what the bus does to messages.
   * @throws {TypeError | RangeError} If an option is invalid.
   */
  constructor(options: HubNetworkOptions = {}) {
    checkOptions(options, HUB_NETWORK_OPTIONS);
    const { seed = 1, delay = 10, lose = 0, duplicate = 0, reorder = 0, outage = 0 } = options;
    this.#random = randomFrom(checkInteger("seed", seed, 0, 2 ** 32 - 1));
    this.#delay = checkInteger("delay", delay, 0, 60_000);
    this.#lose = checkShare("lose", lose, 1);
    this.#duplicate = checkShare("duplicate", duplicate, 1);
    this.#reorder = checkShare("reorder", reorder, 1);
    this.#outage = checkShare("outage", outage, 0.9);
    if (options.history !== undefined) this.#histories = new Histories(options.history);
  }

  /**
   * Adds a hub.
   *
   * @param options Options of the hub.
   * @returns The hub.
   */
  hub(options: Omit<HubOptions, "bus"> = {}): Hub {
    const bus = new SimulatedBus(this.#delay, this.#random, {
      carry: (...message) => this.#carry(...message),
      after: (delay, call) => void this.#after(delay, call),
      now: () => this.now,
    }, this.#histories);
    const clock = {
      now: () => this.now,
      soon: (call: () => void) => void this.#after(0, call),
      after: (delay: number, call: () => void) => this.#after(delay, call),
    };
    const hub = new Hub({ ...options, bus }, clock);
    this.#buses.set(hub, bus);
    if (this.#outage > 0) this.#planOutage(bus);
    return hub;
  }

  /**
   * Ends a hub as the death of its process does: the others are not told.
   *
   * @param hub The hub. Its sessions stay open, but nothing that it does reaches other hubs.
   */
  kill(hub: Hub): void {
    this.#buses.get(hub)?.kill();
    this.#buses.delete(hub);
  }

  /** From now on, each message arrives once and in order, and the bus does not go away. */
  calm(): void {
    this.#lose =
      this.#duplicate =
      this.#reorder =
      this.#outage =
        0;
    for (const bus of this.#buses.values()) bus.setReady(true);
  }

  /**
   * Lets time pass.
   *
   * @param duration How long, in milliseconds.
   * @returns Resolves when it is over.
   */
  async advance(duration: number): Promise<void> {
    checkInteger("duration", duration, 0, Number.MAX_SAFE_INTEGER);
    const end = this.now + duration;
    for (let next = this.#timers[0]; next !== undefined && next.at <= end; next = this.#timers[0]) {
      this.#timers.shift();
      this.now = next.at;
      next.call();
      for (let step = 0; step < 25; step++) await null; // what waits for the bus goes on
    }
    this.now = end;
  }

  #after(delay: number, call: () => void): () => void {
    const timer = { at: this.now + delay, call };
    const place = this.#timers.findLastIndex(({ at }) => at <= timer.at) + 1;
    this.#timers.splice(place, 0, timer);
    return () => void (this.#timers = this.#timers.filter((other) => other !== timer));
  }

  #carry(from: SimulatedBus, group: string, ...message: Carried): void {
    for (const bus of this.#buses.values()) {
      if (bus === from && message.length === 1 || this.#random() < this.#lose) continue;
      const copies = this.#random() < this.#duplicate ? 2 : 1;
      for (let copy = 0; copy < copies; copy++) {
        const earliest = this.#random() < this.#reorder ? 0 : bus.lastArrival(from);
        const at = Math.max(earliest, this.now + this.#random() * this.#delay);
        if (earliest > 0) bus.setLastArrival(from, at);
        this.#after(at - this.now, () => bus.deliver(group, ...message));
      }
    }
  }

  #planOutage(bus: SimulatedBus): void {
    const length = 1 + this.#random() * MAX_OUTAGE;
    const pause = length * (1 - this.#outage) / this.#outage;
    this.#after(pause, () => {
      if (this.#outage === 0) return;
      bus.setReady(false);
      this.#after(length, () => {
        bus.setReady(true);
        if (this.#outage > 0) this.#planOutage(bus);
      });
    });
  }
}

/** What a simulated bus uses of its network. */
interface NetworkHooks {
  carry(from: SimulatedBus, group: string, ...message: Carried): void;
  after(delay: number, call: () => void): void;
  now(): number;
}

/** A message, and where it was stored, if it was. */
type Carried = [message: Uint8Array, position?: string, previous?: string];

/** How many messages a page has at most. It is small, so that tests see several pages. */
const PAGE = 4;

interface Stored {
  readonly position: number;
  readonly message?: Uint8Array;
}

/** The last messages of each group. */
class Histories {
  readonly #size: number;
  readonly #groups = new Map<string, Stored[]>();
  #last = 0;

  constructor(size: number) {
    this.#size = size;
  }

  /** Returns the position of the message, and that of the one before it. */
  add(group: string, message?: Uint8Array): [position: string, previous: string] {
    const entries = this.#of(group);
    const previous = entries.at(-1)?.position ?? 0;
    entries.push({ position: ++this.#last, ...(message !== undefined && { message }) });
    if (entries.length > this.#size) entries.shift();
    return [`${this.#last}`, `${previous}`];
  }

  read(group: string, after: string): HistoryPage {
    const all = this.#of(group);
    const position = Number(after);
    const following = all.filter((entry) => entry.position > position);
    return {
      entries: following.slice(0, PAGE).map(({ position, message }) => ({
        position: `${position}`,
        ...(message !== undefined && { message: message.slice() }),
      })),
      isComplete: position === 0 || all.some((entry) => entry.position === position),
      isLast: following.length <= PAGE,
    };
  }

  tail(group: string, count: number): string {
    const entries = this.#of(group);
    if (entries.length === 0) this.add(group);
    return `${entries.at(-1 - count)?.position ?? 0}`;
  }

  #of(group: string): Stored[] {
    let entries = this.#groups.get(group);
    if (entries === undefined) this.#groups.set(group, entries = []);
    return entries;
  }
}

class SimulatedBus implements Bus {
  readonly #delay: number;
  readonly #random: () => number;
  readonly #network: NetworkHooks;
  readonly #arrivals = new Map<SimulatedBus, number>();
  /** The subscriptions that are effective. */
  readonly #groups = new Set<string>();
  /** All subscriptions, each with its own identity. */
  readonly #wanted = new Map<string, symbol>();
  #listener: BusListener | undefined;
  #isReady = true;
  #isClosed = false;
  #waiting: (() => void)[] = [];

  readonly history: BusHistory | undefined;

  constructor(
    delay: number,
    random: () => number,
    network: NetworkHooks,
    histories: Histories | undefined,
  ) {
    this.#delay = delay;
    this.#random = random;
    this.#network = network;
    this.history = histories && this.#keep(histories);
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  setReady(isReady: boolean): void {
    if (this.#isClosed || this.#isReady === isReady) return;
    this.#isReady = isReady;
    this.#listener!.onStateChange();
    if (!isReady) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const goOn of waiting) goOn();
    if (this.history !== undefined) this.#listener!.onReconnect();
  }

  start(listener: BusListener): void {
    this.#listener = listener;
  }

  publish(group: string, message: Uint8Array): boolean {
    if (!this.#isClosed) this.#network.carry(this, group, message);
    return true;
  }

  subscribe(group: string): Promise<void> {
    const identity = Symbol();
    this.#wanted.set(group, identity);
    const { promise, resolve } = Promise.withResolvers<void>();
    const attempt = (): void => {
      if (this.#wanted.get(group) !== identity) return;
      if (!this.#isReady) return void this.#waiting.push(attempt);
      this.#groups.add(group);
      this.#network.after(this.#random() * this.#delay, resolve);
    };
    this.#network.after(this.#random() * this.#delay, attempt);
    return promise;
  }

  /** A history to which messages take their time, in order. What is on its way when the bus goes away arrives. */
  #keep(histories: Histories): BusHistory {
    let lastAt = 0;
    const answer = async <T>(read: () => T): Promise<T> => {
      if (this.#isReady) await this.#pause();
      const answer = read();
      await this.#pause();
      if (this.#isReady) return answer;
      throw new Error("the bus is away");
    };
    return {
      publish: (group, message): boolean => {
        if (this.#isClosed) return true;
        const at = lastAt = Math.max(lastAt, this.#network.now() + this.#random() * this.#delay);
        this.#network.after(at - this.#network.now(), () => {
          const [position, previous] = histories.add(group, message);
          this.#network.carry(this, group, message, position, previous);
          if (!this.#isClosed) this.#listener!.onStored(1);
        });
        return true;
      },
      read: (group, after) => answer(() => histories.read(group, after)),
      tail: (group, count) => answer(() => histories.tail(group, count)),
    };
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => this.#network.after(this.#random() * this.#delay, resolve));
  }

  unsubscribe(group: string): void {
    this.#wanted.delete(group);
    this.#groups.delete(group);
  }

  close(): Promise<void> {
    this.kill();
    return Promise.resolve();
  }

  kill(): void {
    this.#isClosed = true;
    this.#groups.clear();
    this.#wanted.clear();
  }

  /** A message of another bus arrives, unless this one is away. */
  deliver(group: string, message: Uint8Array, position?: string, previous?: string): void {
    if (!this.#isReady || !this.#groups.has(group)) return;
    const lent = message.slice();
    this.#listener!.onMessage(lent, position, previous);
    lent.fill(0xff); // the hub must not keep it
  }

  /** When the latest message of another bus arrives. */
  lastArrival(from: SimulatedBus): number {
    return this.#arrivals.get(from) ?? Number.MIN_VALUE;
  }

  setLastArrival(from: SimulatedBus, at: number): void {
    this.#arrivals.set(from, at);
  }
}

function checkShare(name: string, value: unknown, max: number): number {
  if (typeof value !== "number") {
    throw new TypeError(`${name} must be a number, got ${shown(value)}`);
  }
  if (value >= 0 && value <= max) return value;
  throw new RangeError(`${name} must be from 0 to ${max}, got ${value}`);
}
