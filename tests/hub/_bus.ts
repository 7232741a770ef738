// A bus in one thread that a test controls.

import type { Bus, BusListener } from "../../hub/mod.ts";

/** The buses of one network. Each message of one goes to all that have subscribed, its own hub included. */
export class TestNetwork {
  readonly buses: TestBus[] = [];
  /** What happens to a message on its way to a bus. By default, it is delivered at once. */
  carry: (deliver: () => void, to: TestBus) => void = (deliver) => deliver();

  bus(): TestBus {
    const bus = new TestBus(this);
    this.buses.push(bus);
    return bus;
  }
}

export class TestBus implements Bus {
  readonly maxMessageSize = 10_000;
  readonly groups: Set<string> = new Set();
  listener: BusListener | undefined;
  isClosed: boolean = false;
  /** What `publish()` returns. */
  takes: boolean = true;
  /** Resolves subscriptions. */
  subscribing: Promise<void> = Promise.resolve();
  readonly #network: TestNetwork;
  #isReady = true;

  constructor(network: TestNetwork) {
    this.#network = network;
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  set isReady(isReady: boolean) {
    this.#isReady = isReady;
    this.listener!.onStateChange();
  }

  start(listener: BusListener): void {
    this.listener = listener;
  }

  publish(group: string, message: Uint8Array): boolean {
    for (const bus of this.#network.buses) {
      if (!bus.groups.has(group)) continue;
      this.#network.carry(() => {
        const copy = message.slice();
        bus.listener!.onMessage(copy);
        copy.fill(0); // nothing may use it any more
      }, bus);
    }
    return this.takes;
  }

  subscribe(group: string): Promise<void> {
    this.groups.add(group);
    return this.subscribing;
  }

  unsubscribe(group: string): void {
    this.groups.delete(group);
  }

  close(): Promise<void> {
    this.isClosed = true;
    return Promise.resolve();
  }
}
