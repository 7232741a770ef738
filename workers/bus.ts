/** The bus between the workers of a server. */

import type { MessagePort } from "node:worker_threads";
import type { Bus, BusListener } from "../hub/bus.ts";
import { Peer } from "./peer.ts";

/** Carries messages between the workers of a server, over a message port between each two of them. */
export class WorkerBus implements Bus {
  readonly #groups = new Set<string>();
  readonly #peers = new Set<Peer>();
  /** The ports to the other workers, until the hub begins. */
  #ports: MessagePort[] = [];
  /** Resolves once the first ports have come. */
  readonly #connected = Promise.withResolvers<void>();
  #isConnected = false;
  #listener: BusListener | undefined;
  #isReady = false;
  #isClosed = false;

  get isReady(): boolean {
    return this.#isReady;
  }

  start(listener: BusListener): void {
    if (this.#listener !== undefined) {
      throw new TypeError("workerBus() is the bus of another hub already: a worker has one hub");
    }
    this.#listener = listener;
    for (const port of this.#ports) this.#open(port);
    this.#ports = [];
    this.#check();
  }

  publish(group: string, message: Uint8Array): boolean {
    let isTaken = true;
    for (const peer of this.#peers) {
      if (peer.groups.has(group) && !peer.send(message)) isTaken = false;
    }
    return isTaken;
  }

  async subscribe(group: string): Promise<void> {
    this.#groups.add(group);
    const noted = [...this.#peers].map((peer) => peer.subscribe(group));
    await this.#connected.promise;
    await Promise.all(noted);
  }

  unsubscribe(group: string): void {
    this.#groups.delete(group);
    for (const peer of this.#peers) peer.unsubscribe(group);
  }

  close(): Promise<void> {
    this.#isClosed = true;
    for (const peer of this.#peers) peer.end();
    return Promise.resolve();
  }

  /** There are other workers. The main thread says so once when this worker serves, and when further ones do. */
  connect(ports: readonly MessagePort[]): void {
    this.#isConnected = true;
    if (this.#listener === undefined) this.#ports.push(...ports);
    else {
      for (const port of ports) this.#open(port);
      this.#check();
    }
  }

  #open(port: MessagePort): void {
    if (this.#isClosed) return port.close();
    const peer = new Peer(port, this.#groups, {
      onMessage: (message) => this.#listener!.onMessage(message),
      onChange: () => {
        if (peer.isClosed) this.#peers.delete(peer);
        this.#check();
      },
    });
    this.#peers.add(peer);
  }

  /** Becomes ready, for ever, once the groups of the first other workers are known. */
  #check(): void {
    if (this.#isReady || !this.#isConnected || this.#listener === undefined) return;
    if (![...this.#peers].every(({ isOpen }) => isOpen)) return;
    this.#isReady = true;
    this.#connected.resolve();
    this.#listener.onStateChange();
  }
}

/** The bus of this thread, if it is a worker. */
let bus: WorkerBus | undefined;

/** Makes this thread a worker. */
export function openBus(): WorkerBus {
  return bus ??= new WorkerBus();
}

/**
 * The bus between the workers of a server, for the hub of a module that `serveWorkers()` serves. Messages go over message
 * ports, only to workers with members of the group. At most 4 MiB of messages are on their way from one worker to another:
 * those that a busy worker does not take in time are lost for it, and told.
 *
 * A worker that dies leaves the bus, and the one that is started in its place joins it.
 *
 * @returns The bus, which can have one hub. `undefined` if this thread is not a worker of `serveWorkers()`: the hub then has
 * the sessions of its thread only, so the same module can be served by `serve()`.
 *
 * @example
 * ```ts ignore
 * // service.ts
 * import type { Session } from "@parley/tcp";
 * import { Hub } from "@parley/tcp/hub";
 * import { workerBus } from "@parley/tcp/workers";
 *
 * const hub = new Hub({ bus: workerBus() });
 *
 * export default async function chat(session: Session) {
 *   await hub.join("hall", session);
 *   for await (const line of session.lines()) hub.publish("hall", `${line}\n`);
 * }
 * ```
 */
export function workerBus(): Bus | undefined {
  return bus;
}
