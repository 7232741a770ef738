import { setImmediate } from "node:timers";
import { checkDuration, checkInteger } from "../_internal/checks.ts";
import { checkOptions, elsewhere, type Known, NO_OPTIONS } from "../_internal/options.ts";
import { closedError, systemError } from "../_internal/system_errors.ts";
import type { Address, DatagramEvents, DatagramSocket, NetAddr } from "../datagram/mod.ts";
import { randomFrom } from "./disturb.ts";

/** The largest datagram of UDP over IPv4, in bytes. */
const MAX_SIZE = 65_507;
/** How long a datagram that is to arrive after the next one waits for it, in milliseconds. */
const HOLD = 5;

/** The faults of a network for datagrams. Probabilities are from 0 to 1. */
export interface DatagramNetworkOptions {
  /**
   * The seed of the randomness: the same seed and the same sends give the same faults. An integer from 0 to 2^32 - 1.
   *
   * @default {1}
   */
  seed?: number;
  /**
   * How probable it is that a datagram is lost.
   *
   * @default {0}
   */
  lose?: number;
  /**
   * How probable it is that a datagram arrives twice.
   *
   * @default {0}
   */
  duplicate?: number;
  /**
   * How probable it is that a datagram arrives after the next one to the same address.
   *
   * @default {0}
   */
  reorder?: number;
  /**
   * Each datagram takes a random time up to this, in milliseconds, so that it may overtake others.
   *
   * @default {0}
   */
  delay?: number;
}

const NETWORK_OPTIONS: Known<DatagramNetworkOptions> = {
  seed: elsewhere,
  lose: elsewhere,
  duplicate: elsewhere,
  reorder: elsewhere,
  delay: elsewhere,
};

/** What a network has done so far, in datagrams. */
export interface DatagramNetworkStats {
  /** Datagrams that were sent. */
  sent: number;
  /** Datagrams that were lost. */
  lost: number;
  /** Datagrams that arrived twice. */
  duplicated: number;
  /** Datagrams that arrived after the next one. */
  reordered: number;
}

/** A network within the process. {@linkcode datagramNetwork} makes it. */
export interface DatagramNetwork {
  /**
   * Opens a socket on the network, to pass as `socket` to `serveDatagrams()` or `connectDatagrams()`.
   *
   * @param hostname Its IP address. Default: `192.0.2.1`.
   * @param port Its port. By default, the next free one from 49152 on.
   * @returns The socket.
   * @throws {Deno.errors.AddrInUse} If there is a socket at that address.
   */
  socket(hostname?: string, port?: number): DatagramSocket;
  /**
   * Returns the current figures.
   *
   * @returns The figures.
   */
  stats(): DatagramNetworkStats;
}

/**
 * Makes a network that loses, duplicates, reorders and delays datagrams. It opens no socket and needs no permission.
 *
 * @param options The faults.
 * @returns The network.
 * @throws {TypeError | RangeError} If an option is out of range.
 *
 * @example A client that repeats its question until there is an answer
 * ```ts
 * import { connectDatagrams, serveDatagrams } from "@parley/tcp/datagram";
 * import { datagramNetwork } from "@parley/tcp/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const network = datagramNetwork({ seed: 7, lose: 0.5, duplicate: 0.2 });
 * await using server = serveDatagrams({ socket: network.socket() }, (message, sender) => sender.send(message));
 * await using client = await connectDatagrams({ socket: network.socket(), remoteAddr: server.addr });
 *
 * let answer;
 * while (answer === undefined) {
 *   await client.send("rose");
 *   answer = await client.receive({ timeout: 20 }).catch(() => undefined);
 * }
 * assertEquals(new TextDecoder().decode(answer), "rose");
 * ```
 */
export function datagramNetwork(options: DatagramNetworkOptions = NO_OPTIONS): DatagramNetwork {
  checkOptions(options, NETWORK_OPTIONS);
  const { seed = 1, delay } = options;
  return new Network({
    random: randomFrom(checkInteger("seed", seed, 0, 2 ** 32 - 1)),
    lose: probability("lose", options.lose),
    duplicate: probability("duplicate", options.duplicate),
    reorder: probability("reorder", options.reorder),
    delay: delay === undefined ? 0 : checkDuration("delay", delay),
  });
}

function probability(name: string, value: number | undefined): number {
  if (value === undefined || (value >= 0 && value <= 1)) return value ?? 0;
  throw new RangeError(`${name} must be a number from 0 to 1, got ${value}`);
}

interface Faults {
  readonly random: () => number;
  readonly lose: number;
  readonly duplicate: number;
  readonly reorder: number;
  readonly delay: number;
}

class Network implements DatagramNetwork {
  readonly #faults: Faults;
  readonly #sockets: Map<string, NetworkSocket> = new Map();
  readonly #stats: DatagramNetworkStats = { sent: 0, lost: 0, duplicated: 0, reordered: 0 };
  #nextPort = 49_152;

  constructor(faults: Faults) {
    this.#faults = faults;
  }

  socket(hostname: string = "192.0.2.1", port: number = this.#nextPort++): DatagramSocket {
    const addr = {
      transport: "udp",
      hostname,
      port: checkInteger("port", port, 1, 65535),
    } as const;
    const key = keyOf(addr);
    if (this.#sockets.has(key)) throw systemError("EADDRINUSE", `cannot bind ${key}`);
    const socket = new NetworkSocket(addr, {
      carry: (message, to) => this.#carry(message, addr, to),
      leave: () => void this.#sockets.delete(key),
    });
    this.#sockets.set(key, socket);
    return socket;
  }

  stats(): DatagramNetworkStats {
    return { ...this.#stats };
  }

  #carry(message: Uint8Array, from: NetAddr, to: Address): void {
    const { random, lose, duplicate, reorder } = this.#faults;
    this.#stats.sent++;
    const isLost = random() < lose;
    const isDoubled = random() < duplicate;
    const isLate = random() < reorder;
    if (isLost) return void this.#stats.lost++;
    const receiver = this.#sockets.get(keyOf(to));
    if (receiver === undefined) return;
    if (isDoubled) this.#stats.duplicated++;
    if (isLate) this.#stats.reordered++;
    for (let copy = 0; copy < (isDoubled ? 2 : 1); copy++) {
      // Each copy has its own memory: it belongs to the receiver.
      const arrive = () => receiver.events?.onMessage(new Uint8Array(message), from);
      receiver.put(isLate, () => this.#later(receiver, arrive));
    }
  }

  #later(receiver: NetworkSocket, arrive: () => void): void {
    const { random, delay } = this.#faults;
    if (delay > 0) receiver.wait(random() * delay, arrive);
    else setImmediate(arrive);
  }
}

interface SocketHooks {
  carry(message: Uint8Array, to: Address): void;
  leave(): void;
}

class NetworkSocket implements DatagramSocket {
  readonly addr: NetAddr;
  events: DatagramEvents | undefined;
  readonly #hooks: SocketHooks;
  readonly #timers: Set<ReturnType<typeof setTimeout>> = new Set();
  /** What is to arrive after the next datagram. */
  #held: (() => void)[] = [];
  #isClosed = false;

  constructor(addr: NetAddr, hooks: SocketHooks) {
    this.addr = addr;
    this.#hooks = hooks;
  }

  start(events: DatagramEvents): void {
    this.events = events;
  }

  send(message: Uint8Array, to: Address, done: (error?: unknown) => void): void {
    const error = this.#isClosed
      ? closedError("socket")
      : message.length > MAX_SIZE
      ? systemError("EMSGSIZE", "the datagram is too large")
      : undefined;
    if (error === undefined) this.#hooks.carry(new Uint8Array(message), to);
    queueMicrotask(() => done(error));
  }

  close(): Promise<void> {
    this.#isClosed = true;
    this.events = undefined;
    this.#held = [];
    for (const timer of this.#timers) clearTimeout(timer);
    this.#hooks.leave();
    return Promise.resolve();
  }

  /** Passes an arrival on, after those that were held for it; or holds it. */
  put(isLate: boolean, pass: () => void): void {
    if (isLate) {
      this.#held.push(pass);
      this.wait(HOLD, () => this.#release());
    } else {
      pass();
      this.#release();
    }
  }

  wait(time: number, act: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, time);
    this.#timers.add(timer);
  }

  #release(): void {
    const held = this.#held;
    this.#held = [];
    for (const pass of held) pass();
  }
}

function keyOf(address: Address): string {
  return "hostname" in address ? `${address.hostname} ${address.port}` : "";
}
