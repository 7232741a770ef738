// A proxy that makes its connections fail as networks do.

import { once } from "node:events";
import net from "node:net";

/** Relays to a port of the loopback address until a method makes it fail. */
export class UnreliableProxy implements AsyncDisposable {
  readonly #target: number;
  readonly #sockets = new Set<net.Socket>();
  #server: net.Server | undefined;
  #port = 0;

  private constructor(target: number) {
    this.#target = target;
  }

  static async open(target: number): Promise<UnreliableProxy> {
    const proxy = new UnreliableProxy(target);
    await proxy.accept();
    return proxy;
  }

  get port(): number {
    return this.#port;
  }

  /** Resets all connections. */
  kill(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** Stops relaying over the existing connections, and keeps them open. */
  stall(): void {
    for (const socket of this.#sockets) socket.unpipe().resume();
  }

  /** Resets all connections and refuses further ones until `accept()`. */
  async refuse(): Promise<void> {
    const server = this.#server!;
    this.#server = undefined;
    const closed = once(server, "close");
    server.close();
    this.kill();
    await closed;
  }

  /** Accepts connections, again on the same port. */
  async accept(): Promise<void> {
    for (;;) {
      const server = net.createServer({ allowHalfOpen: true }, (socket) => this.#relay(socket));
      server.listen(this.#port, "127.0.0.1");
      try {
        await once(server, "listening");
      } catch (error) { // the system may hold the port for a moment
        if ((error as { code?: string }).code !== "EADDRINUSE") throw error;
        await new Promise((resolve) => setTimeout(resolve, 5));
        continue;
      }
      this.#server = server;
      this.#port = (server.address() as net.AddressInfo).port;
      return;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#server !== undefined) await this.refuse();
  }

  #relay(near: net.Socket): void {
    const far = net.connect({ port: this.#target, host: "127.0.0.1", allowHalfOpen: true });
    for (const [one, other] of [[near, far], [far, near]] as const) {
      this.#sockets.add(one);
      one.on("error", () => {}).on("close", () => {
        this.#sockets.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  }
}
