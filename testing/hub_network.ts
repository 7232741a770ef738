import { checkInteger, shown } from "../_internal/checks.ts";
import { checkOptions, elsewhere, type Known } from "../_internal/options.ts";
import type { Bus, BusListener } from "../hub/bus.ts";
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
}

const HUB_NETWORK_OPTIONS: Known<HubNetworkOptions> = {
  seed: elsewhere,
  delay: elsewhere,
  lose: elsewhere,
  duplicate: elsewhere,
  reorder: elsewhere,
  outage: elsewhere,
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
  }

  /**
   * Adds a hub.
   *
   * @param options Options of the hub.
   * @returns The hub.
   */
  hub(options: Omit<HubOptions, "bus"> = {}): Hub {
    const bus = new SimulatedBus(this.#delay, this.#random, {
      carry: (from, group, message) => this.#carry(from, group, message),
      after: (delay, call) => void this.#after(delay, call),
    });
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
      for (let step = 0; step < 5; step++) await null; // what waits for a subscription goes on
    }
    this.now = end;
  }

  #after(delay: number, call: () => void): () => void {
    const timer = { at: this.now + delay, call };
    const place = this.#timers.findLastIndex(({ at }) => at <= timer.at) + 1;
    this.#timers.splice(place, 0, timer);
    return () => void (this.#timers = this.#timers.filter((other) => other !== timer));
  }

  #carry(from: SimulatedBus, group: string, message: Uint8Array): void {
    for (const bus of this.#buses.values()) {
      if (bus === from || this.#random() < this.#lose) continue;
      const copies = this.#random() < this.#duplicate ? 2 : 1;
      for (let copy = 0; copy < copies; copy++) {
        const earliest = this.#random() < this.#reorder ? 0 : bus.lastArrival(from);
        const at = Math.max(earliest, this.now + this.#random() * this.#delay);
        if (earliest > 0) bus.setLastArrival(from, at);
        this.#after(at - this.now, () => bus.deliver(group, message));
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
  carry(from: SimulatedBus, group: string, message: Uint8Array): void;
  after(delay: number, call: () => void): void;
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

  constructor(delay: number, random: () => number, network: NetworkHooks) {
    this.#delay = delay;
    this.#random = random;
    this.#network = network;
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
  deliver(group: string, message: Uint8Array): void {
    if (!this.#isReady || !this.#groups.has(group)) return;
    const lent = message.slice();
    this.#listener!.onMessage(lent);
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
