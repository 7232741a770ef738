// What the tests of datagrams share.

import dgram from "node:dgram";
import { once } from "node:events";
import type { DatagramServer, NetAddr } from "../datagram/mod.ts";

export const text = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes);
export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** The port of a server on UDP. */
export function portOf(server: DatagramServer<never>): number {
  return (server.addr as NetAddr).port;
}

/** A UDP socket by hand, which keeps what it receives. */
export class Peer implements AsyncDisposable {
  readonly received: string[] = [];
  readonly #socket: dgram.Socket;
  #news: PromiseWithResolvers<void> = Promise.withResolvers();

  private constructor(socket: dgram.Socket) {
    this.#socket = socket;
    socket.on("message", (message) => {
      this.received.push(String(message));
      this.#news.resolve();
      this.#news = Promise.withResolvers();
    });
  }

  static async bind(hostname = "127.0.0.1", port = 0): Promise<Peer> {
    const socket = dgram.createSocket(hostname.includes(":") ? "udp6" : "udp4");
    socket.bind(port, hostname);
    await once(socket, "listening");
    return new Peer(socket);
  }

  get port(): number {
    return this.#socket.address().port;
  }

  send(message: string | Uint8Array, port: number, hostname = "127.0.0.1"): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#socket.send(message, port, hostname, (error) => error ? reject(error) : resolve());
    return promise;
  }

  /** Waits until so many datagrams have come. */
  async until(count: number): Promise<string[]> {
    while (this.received.length < count) await this.#news.promise;
    return this.received;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#socket, "close");
    this.#socket.close();
    await closed;
  }
}
