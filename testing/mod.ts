/**
 * Tools to test your own protocol: sessions within the process, a handler against a scripted peer, and simulated bad
 * networks whose failures a seed reproduces. Nothing here opens a socket or needs a permission.
 *
 * @example The greeting service, over a network that splits its input anywhere
 * ```ts
 * import type { Session } from "@parley/tcp";
 * import { converse } from "@parley/tcp/testing";
 * import { assertEquals } from "@std/assert";
 *
 * async function greet(session: Session) {
 *   for await (const name of session.lines()) await session.send(`hello, ${name}!\n`);
 * }
 *
 * for (let seed = 1; seed <= 20; seed++) {
 *   const { end, error } = await converse(greet, async (peer) => {
 *     await peer.send("rose\nthink\n");
 *     await peer.expect("hello, rose!\nhello, think!\n");
 *     await peer.closeWrite();
 *     await peer.expectEnd();
 *   }, { network: { seed, chop: 5 } });
 *   assertEquals([end.reason, error], ["peer", undefined]);
 * }
 * ```
 *
 * @module
 */

import { systemErrors } from "../_internal/system_error_classes.ts";
import { checkBytes, checkDuration, checkFunction, checkInteger } from "../_internal/checks.ts";
import { checkOptions, elsewhere, type Known, within } from "../_internal/options.ts";
import { disturb, type Disturbance } from "./disturb.ts";
import { type SessionEnd, TruncatedFrameError } from "../errors.ts";
import { type Handler, serve } from "../serve/serve.ts";
import { Session, type SessionOptions } from "../session.ts";
import { SESSION_OPTIONS } from "../session/options.ts";
import type { Connection } from "../transport/connection.ts";
import {
  MEMORY_PAIR_OPTIONS,
  memoryListener,
  memoryPair,
  type MemoryPairOptions,
} from "../transport/memory.ts";

export {
  type DatagramNetwork,
  datagramNetwork,
  type DatagramNetworkOptions,
  type DatagramNetworkStats,
} from "./datagram_network.ts";
export type { Address, DatagramEvents, DatagramSocket, NetAddr } from "../datagram/mod.ts";
export type { SessionEnd } from "../errors.ts";
export type { Hub, HubOptions } from "../hub/mod.ts";
export { HubNetwork, type HubNetworkOptions } from "./hub_network.ts";
export type { Handler } from "../serve/serve.ts";
export type { Session, SessionOptions } from "../session.ts";
export type { Connection } from "../transport/connection.ts";
export type { MemoryPairOptions } from "../transport/memory.ts";

/** The faults of a network, seen from the side under test. Each is off unless it is set. */
export interface NetworkOptions {
  /**
   * The seed of the randomness: the same seed splits and delays in the same way. An integer from 0 to 2^32 - 1.
   *
   * @default {1}
   */
  seed?: number;
  /** Each read brings, and each write takes, a random number of bytes from 1 to this: 1 to 2^30. */
  chop?: number;
  /** Each read and write waits for a random time up to this, in milliseconds. */
  delay?: number;
  /** After this many bytes of input, nothing more arrives, as if the peer had vanished. 0 to 2^40. */
  stallAfter?: number;
  /** After this many bytes, the input ends. 0 to 2^40. */
  truncateAfter?: number;
  /** After this many bytes of input, the connection is reset. 0 to 2^40. */
  resetAfter?: number;
  /** After this many bytes of output, no more is taken, as by a peer that does not read. 0 to 2^40. */
  blockAfter?: number;
}

/**
 * Wraps a connection in a simulated bad network.
 *
 * @param connection The connection.
 * @param options The faults.
 * @returns The connection to use instead.
 * @throws {TypeError | RangeError} If an option is out of range.
 *
 * @example
 * ```ts
 * import { Session } from "@parley/tcp/session";
 * import { hostileNetwork } from "@parley/tcp/testing";
 * import { memoryPair } from "@parley/tcp/transport";
 * import { assertRejects } from "@std/assert";
 *
 * const [left, right] = memoryPair();
 * const peer = new Session(right);
 * const session = new Session(hostileNetwork(left, { resetAfter: 3 }));
 * await peer.send("rose\n");
 * await assertRejects(() => session.readLine(), Error, "peer (ConnectionReset");
 * peer.abort();
 * ```
 */
export function hostileNetwork(connection: Connection, options: NetworkOptions): Connection {
  return disturb(connection, checkNetwork(options));
}

const NETWORK_OPTIONS: Known<NetworkOptions> = {
  seed: elsewhere,
  chop: elsewhere,
  delay: elsewhere,
  stallAfter: elsewhere,
  truncateAfter: elsewhere,
  resetAfter: elsewhere,
  blockAfter: elsewhere,
};

function checkNetwork(options: NetworkOptions): Disturbance {
  checkOptions(options, NETWORK_OPTIONS);
  const after = (name: keyof NetworkOptions) =>
    options[name] === undefined ? Infinity : checkInteger(name, options[name], 0, 2 ** 40);
  return {
    seed: checkInteger("seed", options.seed ?? 1, 0, 2 ** 32 - 1),
    chop: options.chop === undefined ? Infinity : checkInteger("chop", options.chop, 1, 2 ** 30),
    delay: options.delay === undefined ? 0 : checkDuration("delay", options.delay),
    stallAfter: after("stallAfter"),
    truncateAfter: after("truncateAfter"),
    resetAfter: after("resetAfter"),
    blockAfter: after("blockAfter"),
  };
}

/** Options of {@linkcode sessionPair}. */
export interface SessionPairOptions extends MemoryPairOptions {
  /** Options of the first session. */
  left?: SessionOptions;
  /** Options of the second session. */
  right?: SessionOptions;
  /** The faults of the network, as the first session sees them. */
  network?: NetworkOptions;
}

const SESSION_PAIR_OPTIONS: Known<SessionPairOptions> = {
  ...MEMORY_PAIR_OPTIONS,
  left: within(SESSION_OPTIONS),
  right: within(SESSION_OPTIONS),
  network: within(NETWORK_OPTIONS),
};

/**
 * Creates two connected sessions within the process.
 *
 * @param options Options of each session, and the network between them.
 * @returns The two sessions. Close both at once: each waits for the other to finish.
 * @throws {TypeError | RangeError} If an option is out of range.
 *
 * @example
 * ```ts
 * import { sessionPair } from "@parley/tcp/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const [left, right] = sessionPair({ network: { chop: 1 } });
 * await right.send("rose\n");
 * assertEquals(await left.readLine(), "rose");
 * await Promise.all([left.close(), right.close()]);
 * ```
 */
export function sessionPair(options: SessionPairOptions = {}): [Session, Session] {
  checkOptions(options, SESSION_PAIR_OPTIONS);
  const { left, right, network = {}, ...pair } = options;
  const [near, far] = memoryPair(pair);
  return [new Session(hostileNetwork(near, network), left), new Session(far, right)];
}

/** Options of {@linkcode converse}. */
export interface ConverseOptions extends MemoryPairOptions {
  /** Options of the handler's session. */
  session?: SessionOptions;
  /** The faults of the network, as the handler sees them. */
  network?: NetworkOptions;
  /**
   * How long an expectation of the peer may take, in milliseconds.
   *
   * @default {5000}
   */
  timeout?: number;
}

const CONVERSE_OPTIONS: Known<ConverseOptions> = {
  ...MEMORY_PAIR_OPTIONS,
  session: within(SESSION_OPTIONS),
  network: within(NETWORK_OPTIONS),
  timeout: elsewhere,
};

/** The result of a conversation. */
export interface Conversation {
  /** How the handler's session ended. */
  end: SessionEnd;
  /** The handler's own error, if it threw one. */
  error: unknown;
}

/**
 * Runs a handler as a server does, against a peer that follows a script. When the script returns, the peer disconnects.
 * The conversation is over when the handler's session has ended, too.
 *
 * @param handler The handler.
 * @param script What the peer does.
 * @param options Options of the session, the network, and the peer's timeout.
 * @returns How the session ended, and what the handler threw.
 * @throws What the script throws, such as a failed expectation.
 *
 * @example
 * ```ts
 * import { converse } from "@parley/tcp/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const { end } = await converse((session) => session.send("welcome!"), async (peer) => {
 *   await peer.expect("welcome!");
 *   await peer.expectEnd();
 * });
 * assertEquals(end.reason, "local");
 * ```
 */
export async function converse(
  handler: Handler,
  script: (peer: ScriptedPeer) => Promise<void>,
  options: ConverseOptions = {},
): Promise<Conversation> {
  checkFunction("handler", handler);
  checkFunction("script", script);
  checkOptions(options, CONVERSE_OPTIONS);
  const { session: behaviour, network: how = {}, timeout: patience = 5_000, ...pair } = options;
  const timeout = checkDuration("timeout", patience);
  const network = checkNetwork(how);
  const listener = memoryListener();
  const connection = listener.connect(pair); // before anything runs that a bad option would leave running
  const over = Promise.withResolvers<SessionEnd>();
  let error: unknown;
  const server = serve({
    ...behaviour,
    listener: {
      addr: listener.addr,
      accept: async () => disturb(await listener.accept(), network),
      close: () => listener.close(),
    },
    observer: {
      onHandlerError: (thrown) => error = thrown,
      onSessionEnd: (_session, end) => over.resolve(end),
    },
  }, handler);
  const session = new Session(connection);
  const peer = new ScriptedPeer(session, timeout);
  try {
    await script(peer);
    session.close();
    return { end: await over.promise, error };
  } finally {
    session.abort();
    server.abort();
    await server.finished;
    await session.closed;
  }
}

/** The peer of a handler's session. {@linkcode converse} creates it. */
export class ScriptedPeer {
  /** The session of the peer, for everything else. */
  readonly session: Session;
  readonly #timeout: number;

  /**
   * Makes the peer.
   *
   * @param session Its session.
   * @param timeout How long an expectation may take, in milliseconds.
   */
  constructor(session: Session, timeout: number) {
    this.session = session;
    this.#timeout = timeout;
  }

  /**
   * Sends at once.
   *
   * @param data Text or bytes.
   * @returns Resolves once the data is written.
   */
  async send(data: string | Uint8Array): Promise<void> {
    await this.session.send(data);
    await this.session.flush();
  }

  /**
   * Reads as many bytes as are expected, and compares them.
   *
   * @param expected Text or bytes.
   * @throws {Error} If something else comes, the input ends, or not enough comes in time.
   */
  async expect(expected: string | Uint8Array): Promise<void> {
    const wanted = typeof expected === "string"
      ? new TextEncoder().encode(expected)
      : checkBytes("what is expected", expected);
    const got = await this.#inTime(show(wanted), async (signal) => {
      try {
        return await this.session.readExactly(wanted.length, { signal, maxLength: 2 ** 30 });
      } catch (error) {
        if (!(error instanceof TruncatedFrameError)) throw error;
        return (await this.session.bytes().next()).value ?? new Uint8Array(0);
      }
    });
    if (got.length < wanted.length || got.some((byte, i) => byte !== wanted[i])) {
      throw new Error(`the peer expected ${show(wanted)}, got ${show(got)}`);
    }
  }

  /**
   * Reads to the end of input, which must come before anything else.
   *
   * @throws {Error} If something else comes, or nothing in time.
   */
  async expectEnd(): Promise<void> {
    const { value, done } = await this.#inTime(
      "the end of input",
      (signal) => this.session.bytes({ signal }).next(),
    );
    if (!done) throw new Error(`the peer expected the end of input, got ${show(value)}`);
  }

  /**
   * Waits for the connection to be reset, which must come before anything else. A session is reset when it is cut off, for
   * example because its handler threw. With a transport that cannot reset, such as `Deno.listen`, a real peer sees the
   * end of input instead.
   *
   * @throws {Error} If something else comes, or nothing in time.
   */
  async expectReset(): Promise<void> {
    const got = await this.#inTime("a reset", async (signal) => {
      try {
        const { value, done } = await this.session.bytes({ signal }).next();
        return done ? "the end of input" : show(value);
      } catch (error) {
        if ((error as Error).cause instanceof systemErrors.ConnectionReset) return;
        throw error;
      }
    });
    if (got !== undefined) throw new Error(`the peer expected a reset, got ${got}`);
  }

  /**
   * Half-closes.
   *
   * @returns Resolves once the handler can see it.
   */
  closeWrite(): Promise<void> {
    return this.session.closeWrite();
  }

  /** Disconnects at once. */
  abort(): void {
    this.session.abort();
  }

  async #inTime<T>(what: string, wait: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (this.#timeout === Infinity) return await wait(new AbortController().signal);
    const patience = new AbortController();
    const late = new Error(`the peer expected ${what} within ${this.#timeout} ms`);
    const timer = setTimeout(() => patience.abort(late), this.#timeout);
    try {
      return await wait(patience.signal);
    } finally {
      clearTimeout(timer);
    }
  }
}

function show(bytes: Uint8Array): string {
  return JSON.stringify(new TextDecoder().decode(bytes));
}
