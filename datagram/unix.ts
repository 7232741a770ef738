/** Unix datagram sockets, which only Deno has, with `--unstable-net`. */

import { unlinkSync } from "node:fs";
import type { Address, UnixAddr } from "../_internal/address.ts";
import { isDeno, runtimeName } from "../_internal/runtime.ts";
import type { DatagramEvents, DatagramSocket } from "./socket.ts";

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

class UnixDatagramSocket implements DatagramSocket {
  readonly addr: UnixAddr;
  readonly #conn: DenoDatagramConn;
  readonly #buffer: Uint8Array;
  #receiving: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(listen: ListenDatagram, path: string, maxMessageSize: number) {
    this.addr = { transport: "unixpacket", path };
    this.#buffer = new Uint8Array(maxMessageSize + 1); // to see that a datagram is too large
    this.#conn = listen(this.addr);
  }

  start(events: DatagramEvents): void {
    this.#receiving = this.#receive(events);
  }

  send(message: Uint8Array, to: Address, done: (error?: unknown) => void): void {
    if (!("path" in to) || to.path === "" || to.path === null) {
      return done(new TypeError("the receiver has no path: a client must bind one to be answered"));
    }
    this.#conn.send(message, { transport: "unixpacket", path: to.path }).then(() => done(), done);
  }

  async close(): Promise<void> {
    if (!this.#isClosed) {
      this.#isClosed = true;
      this.#conn.close();
      try {
        unlinkSync(this.addr.path);
      } catch { /* someone has removed it */ }
    }
    await this.#receiving;
  }

  async #receive(events: DatagramEvents): Promise<void> {
    while (!this.#isClosed) {
      try {
        const [message, from] = await this.#conn.receive(this.#buffer);
        const path = (from as UnixAddr | null)?.path ?? "";
        events.onMessage(new Uint8Array(message), { transport: "unixpacket", path });
      } catch (error) {
        if (!this.#isClosed) events.onError(error);
      }
    }
  }
}
