/** Unix datagram sockets, which only Deno has, with `--unstable-net`. */

import { randomUUID } from "node:crypto";
import { unlinkSync } from "node:fs";
import process from "node:process";
import type { Address, UnixAddr } from "../_internal/address.ts";
import { LinkedList } from "../_internal/linked_list.ts";
import { isDeno, runtimeName } from "../_internal/runtime.ts";
import type { DatagramEvents, DatagramSocket } from "./socket.ts";

/** After which time it is an error that a receiver has no room, in milliseconds. */
const STALL = 1_000;
/** How long the socket waits after receiving has failed, in milliseconds: twice as long after each failure in a row. */
const MIN_RETRY = 5;
const MAX_RETRY = 1_000;

/** What is used of `Deno.DatagramConn`, whose types need `--unstable-net` as well. */
interface DenoDatagramConn {
  receive(buffer: Uint8Array): Promise<[Uint8Array, Address]>;
  send(message: Uint8Array, to: UnixAddr): Promise<number>;
  close(): void;
}

type ListenDatagram = (options: UnixAddr) => DenoDatagramConn;

/** Opens a socket that is bound to `path`. */
export function openUnix(path: string, maxMessageSize: number): DatagramSocket {
  const { listenDatagram } = (isDeno ? Deno : {}) as { listenDatagram?: ListenDatagram };
  if (listenDatagram === undefined) {
    throw new TypeError(
      isDeno
        ? "Unix datagram sockets (path) need Deno's --unstable-net"
        : `Unix datagram sockets (path) need Deno with --unstable-net, but this is ${runtimeName()}: use port, or serve() with path`,
    );
  }
  return new UnixDatagramSocket(listenDatagram, path, maxMessageSize);
}

/**
 * Deno's socket cannot send while it waits for a datagram ("Busy"). So a second socket wakes it by a datagram of its own,
 * and it sends what is queued before it receives again.
 */
class UnixDatagramSocket implements DatagramSocket {
  readonly addr: UnixAddr;
  readonly #conn: DenoDatagramConn;
  readonly #waker: DenoDatagramConn;
  readonly #wakerPath: string;
  readonly #buffer: Uint8Array;
  readonly #sends: LinkedList<() => Promise<void>> = new LinkedList();
  #events: DatagramEvents | undefined;
  #isReceiving = false;
  #isWaking = false;
  #isClosed = false;
  /** Ends the wait after a failure. */
  #stopWaiting: () => void = () => {};

  constructor(listen: ListenDatagram, path: string, maxMessageSize: number) {
    this.addr = { transport: "unixpacket", path };
    this.#buffer = new Uint8Array(maxMessageSize + 1); // to see that a datagram is too large
    this.#conn = listen(this.addr);
    this.#wakerPath = process.platform === "linux" ? `\0parley-${randomUUID()}` : `${path}.wake`;
    this.#waker = listen({ transport: "unixpacket", path: this.#wakerPath });
    this.#run();
  }

  start(events: DatagramEvents): void {
    this.#events = events;
  }

  send(message: Uint8Array, to: Address, done: (error?: unknown) => void): void {
    if (!("path" in to) || to.path === "" || to.path === null) {
      const error = new TypeError(
        "the receiver has no path: a client must bind one to be answered",
      );
      return queueMicrotask(() => done(error));
    }
    const { path } = to;
    this.#sends.push(() => this.#sendNow(message, path).then(() => done(), done));
    if (!this.#isReceiving || this.#isWaking) return;
    this.#isWaking = true;
    this.#waker.send(new Uint8Array(0), this.addr).catch((error) => {
      this.#isWaking = false; // someone has removed the file, perhaps
      if (!this.#isClosed) this.#events?.onError(error);
    });
  }

  close(): Promise<void> {
    if (!this.#isClosed) {
      this.#isClosed = true;
      this.#stopWaiting();
      this.#conn.close();
      this.#waker.close();
      for (const path of [this.addr.path, this.#wakerPath]) remove(path);
    }
    return Promise.resolve();
  }

  /** Deno waits until the receiver has room. Nothing can end that, and meanwhile the socket does nothing else. */
  async #sendNow(message: Uint8Array, path: string): Promise<void> {
    const timer = setTimeout(() => {
      const problem = `${path} has not read its datagrams for ${STALL} ms`;
      this.#events?.onError(new Error(`${problem}: until then, nothing is sent or received`));
    }, STALL);
    try {
      await this.#conn.send(message, { transport: "unixpacket", path });
    } finally {
      clearTimeout(timer);
    }
  }

  async #run(): Promise<void> {
    await Promise.resolve(); // until the socket is started
    let retryIn = 0;
    while (!this.#isClosed) {
      try {
        for (let send = this.#sends.shift(); send !== undefined; send = this.#sends.shift()) {
          await send();
        }
        await this.#receive();
        retryIn = 0;
      } catch (error) {
        if (this.#isClosed) return;
        this.#events?.onError(error);
        retryIn = Math.min(MAX_RETRY, Math.max(MIN_RETRY, retryIn * 2));
        await this.#wait(retryIn);
      }
    }
  }

  async #wait(duration: number): Promise<void> {
    if (this.#isClosed) return; // by onError()
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, duration);
    this.#stopWaiting = resolve;
    await promise;
    clearTimeout(timer);
  }

  async #receive(): Promise<void> {
    this.#isReceiving = true;
    try {
      const [message, from] = await this.#conn.receive(this.#buffer);
      const path = (from as UnixAddr | null)?.path ?? "";
      this.#isReceiving = false;
      if (path === this.#wakerPath) this.#isWaking = false;
      else this.#events?.onMessage(new Uint8Array(message), { transport: "unixpacket", path });
    } finally {
      this.#isReceiving = false;
    }
  }
}

/** Removes the file of a socket. An abstract name has none. */
function remove(path: string): void {
  if (path.startsWith("\0")) return;
  try {
    unlinkSync(path);
  } catch { /* someone has removed it */ }
}
