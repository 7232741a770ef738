import { systemErrors } from "../_internal/system_error_classes.ts";
import { setImmediate } from "node:timers";
import type { Address, Connection, Listener } from "./connection.ts";
import { AcceptQueue } from "../_internal/accept_queue.ts";
import { checkInteger } from "../_internal/checks.ts";
import { checkOptions, elsewhere, type Known } from "../_internal/options.ts";

/** Options of {@linkcode memoryPair}. */
export interface MemoryPairOptions {
  /**
   * How many bytes may be in transit in each direction before a write waits: 1 to 2^30.
   *
   * @default {65536}
   */
  capacity?: number;
}

export const MEMORY_PAIR_OPTIONS: Known<MemoryPairOptions> = { capacity: elsewhere };

/**
 * Makes a connection within this process and returns both ends. It behaves like TCP: partial writes, back-pressure,
 * half-close, and a reset if unread input is discarded or a session is aborted. It needs no permission.
 *
 * @param options How much may be in transit.
 * @returns The two ends.
 * @throws {RangeError} If an option is out of range.
 *
 * @example
 * ```ts
 * import { memoryPair } from "@parley/tcp/transport";
 * import { Session } from "@parley/tcp/session";
 * import { assertEquals } from "@std/assert";
 *
 * const [left, right] = memoryPair();
 * const [a, b] = [new Session(left), new Session(right)];
 * await a.send("hello\n");
 * assertEquals(await b.readLine(), "hello");
 * await Promise.all([a.close(), b.close()]);
 * ```
 */
export function memoryPair(options: MemoryPairOptions = {}): [Connection, Connection] {
  checkOptions(options, MEMORY_PAIR_OPTIONS);
  const capacity = checkInteger("capacity", options.capacity ?? 64 * 1024, 1, 2 ** 30);
  const there = new Pipe(capacity);
  const back = new Pipe(capacity);
  return [new MemoryConnection(back, there, "a"), new MemoryConnection(there, back, "b")];
}

/** A listener within this process, for servers and clients that need no socket and no permission. */
export interface MemoryListener extends Listener {
  /**
   * Dials the listener.
   *
   * @param options How much may be in transit.
   * @returns The client's end.
   * @throws {systemErrors.ConnectionRefused} If the listener is closed.
   */
  connect(options?: MemoryPairOptions): Connection;
}

/**
 * Makes a listener within this process, for `serve()`.
 *
 * @returns The listener.
 *
 * @example
 * ```ts
 * import { serve } from "@parley/tcp";
 * import { memoryListener } from "@parley/tcp/transport";
 * import { Session } from "@parley/tcp/session";
 * import { assertEquals } from "@std/assert";
 *
 * const listener = memoryListener();
 * await using _server = serve({ listener }, (session) => session.send("welcome!"));
 * await using client = new Session(listener.connect());
 * for await (const text of client) assertEquals(text, "welcome!");
 * ```
 */
export function memoryListener(): MemoryListener {
  const addr: Address = { transport: "memory", name: "memory" };
  const queue = new AcceptQueue<Connection>();
  return {
    addr,
    accept: () => queue.accept(),
    close: () => queue.close(),
    connect(options?: MemoryPairOptions): Connection {
      if (queue.isClosed) throw new systemErrors.ConnectionRefused("the listener is closed");
      const [client, server] = memoryPair(options);
      queue.push(server);
      return client;
    },
  };
}

class MemoryConnection implements Connection {
  readonly remoteAddr: Address;
  readonly localAddr: Address;
  readonly #input: Pipe;
  readonly #output: Pipe;

  constructor(input: Pipe, output: Pipe, name: string) {
    this.#input = input;
    this.#output = output;
    this.localAddr = { transport: "memory", name: `memory ${name}` };
    this.remoteAddr = { transport: "memory", name: `memory ${name === "a" ? "b" : "a"}` };
  }

  read(buffer: Uint8Array): Promise<number | null> {
    return this.#input.read(buffer);
  }

  write(data: Uint8Array): Promise<number> {
    return this.#output.write(data);
  }

  closeWrite(): Promise<void> {
    return this.#output.end();
  }

  close(): void {
    // As in TCP: discarding unread input resets both directions, and destroys what the peer has not read yet.
    if (this.#input.leave()) this.#output.reset();
    else this.#output.finish();
  }

  /** Data that was written before can still be read, as in TCP from the peer's own system. */
  reset(): void {
    this.#input.leave(GONE.reset);
    this.#output.cut();
  }
}

/** The errors of a side that cannot use the pipe any more. */
const GONE = {
  closed: () => new systemErrors.BadResource("the connection is closed"),
  interrupted: () => new systemErrors.Interrupted("the connection was closed"),
  reset: () => new systemErrors.ConnectionReset("the peer reset the connection"),
  broken: () => new systemErrors.BrokenPipe("the peer is gone"),
};

type Fault = (() => Error) | undefined;

/** One direction of a connection: a ring buffer with a reader and a writer. */
class Pipe {
  readonly #ring: Uint8Array;
  #start = 0;
  #length = 0;
  #ended = false;
  #isCut = false;
  #readFault: Fault;
  #writeFault: Fault;
  #wakeReader: (() => void) | undefined;
  #wakeWriter: (() => void) | undefined;

  constructor(capacity: number) {
    this.#ring = new Uint8Array(capacity);
  }

  async read(buffer: Uint8Array): Promise<number | null> {
    while (this.#length === 0 || this.#readFault !== undefined) {
      if (this.#readFault !== undefined) throw this.#takeReadFault();
      if (this.#isCut) {
        this.#isCut = false; // reported once; then the input has ended
        throw GONE.reset();
      }
      if (this.#ended) return null;
      await new Promise<void>((resolve) => this.#wakeReader = resolve);
    }
    const count = Math.min(buffer.length, this.#length);
    const first = Math.min(count, this.#ring.length - this.#start);
    buffer.set(this.#ring.subarray(this.#start, this.#start + first));
    buffer.set(this.#ring.subarray(0, count - first), first);
    this.#start = (this.#start + count) % this.#ring.length;
    this.#length -= count;
    this.#wake();
    return count;
  }

  async write(data: Uint8Array): Promise<number> {
    while (this.#length === this.#ring.length || this.#writeFault !== undefined || this.#ended) {
      if (this.#writeFault !== undefined) throw this.#writeFault();
      if (this.#ended) throw GONE.broken();
      await new Promise<void>((resolve) => this.#wakeWriter = resolve);
    }
    const count = Math.min(data.length, this.#ring.length - this.#length);
    const at = (this.#start + this.#length) % this.#ring.length;
    const first = Math.min(count, this.#ring.length - at);
    this.#ring.set(data.subarray(0, first), at);
    this.#ring.set(data.subarray(first, count));
    this.#length += count;
    this.#wake();
    return count;
  }

  /** The writer half-closes. */
  end(): Promise<void> {
    if (this.#writeFault !== undefined) return Promise.reject(this.#writeFault());
    this.#ended = true;
    this.#wake();
    return Promise.resolve();
  }

  /** The writer closes. What it has written can still be read. */
  finish(): void {
    this.#ended = true;
    this.#writeFault = this.#wakeWriter === undefined ? GONE.closed : GONE.interrupted;
    this.#wake();
  }

  /** The writer resets. The reader sees it after what was written. */
  cut(): void {
    this.#isCut = true;
    this.finish();
  }

  /** The writer resets. What the reader has not read is destroyed. */
  reset(): void {
    this.finish();
    this.#length = 0;
    this.#readFault ??= GONE.reset;
  }

  /** The reader closes. Returns whether unread bytes are discarded. */
  leave(fault?: () => Error): boolean {
    const unread = this.#length > 0;
    this.#length = 0;
    this.#readFault = this.#wakeReader === undefined ? GONE.closed : GONE.interrupted;
    this.#writeFault ??= fault ?? (unread ? GONE.reset : GONE.broken);
    this.#wake();
    return unread;
  }

  #takeReadFault(): Error {
    const fault = this.#readFault!;
    if (fault === GONE.reset) { // reported once; then the input has ended
      this.#readFault = undefined;
      this.#ended = true;
    }
    return fault();
  }

  /** Waiting calls continue in a later turn, as with a socket. So two busy ends cannot starve the timers. */
  #wake(): void {
    const [reader, writer] = [this.#wakeReader, this.#wakeWriter];
    this.#wakeReader = this.#wakeWriter = undefined;
    if (reader !== undefined) setImmediate(reader);
    if (writer !== undefined) setImmediate(writer);
  }
}
