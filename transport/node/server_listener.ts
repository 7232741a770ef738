import { lazy } from "../lazy.ts";
import type { Server, Socket } from "node:net";
import { clearInterval, setInterval } from "node:timers";
import { AcceptQueue } from "../../_internal/accept_queue.ts";
import { closedError, interruptedError } from "../../_internal/system_errors.ts";
import type { Address, Connection, Listener } from "../connection.ts";
import { CHECK_INTERVAL, isShortage, listenError, type ListenTarget } from "./listen_target.ts";
import { localAddrOf, remoteAddrOf, SocketConnection } from "./socket_connection.ts";

/**
 * A listener with the documented API of `net.Server`, for runtimes whose handles cannot be used.
 *
 * `net.Server` accepts every connection, so up to `backlog` connections are kept here until they are accepted. Further ones
 * are closed.
 *
 * In Deno 2.9.6, a server that has run out of descriptors accepts nothing more, without an error. So this tries at
 * intervals to listen on the same address. With descriptors, that fails because the address is in use. After a shortage, a
 * new server replaces the old one.
 */
export class ServerListener implements Listener {
  /** Resolves once it listens. Missing if it listens already. */
  readonly ready: Promise<void> | undefined;
  readonly #target: ListenTarget;
  readonly #queue: AcceptQueue<Connection> = new AcceptQueue();
  #addr: Address;
  #server: Server;
  #timer: ReturnType<typeof setInterval> | undefined;
  #starting: PromiseWithResolvers<void> | undefined;
  #isReferenced = true;
  #isShort = false;

  constructor(target: ListenTarget) {
    this.#target = target;
    this.#addr = target.path === undefined
      ? { transport: "tcp", hostname: target.host ?? "", port: target.port ?? 0 }
      : { transport: "unix", path: target.path };
    this.#server = this.#listen();
    // A Unix socket listens at once, but its errors come in a later turn.
    if (this.#server.listening) this.#onListening();
    else {
      this.#starting = Promise.withResolvers();
      this.ready = this.#starting.promise;
    }
  }

  get addr(): Address {
    return this.#addr;
  }

  accept(): Promise<Connection> {
    const accepted = this.#queue.accept();
    if (this.#isShort) this.#check();
    return accepted;
  }

  acceptWaiting(): Connection[] {
    return this.#queue.takeAll();
  }

  close(): void {
    if (this.#queue.isClosed) throw closedError("listener");
    clearInterval(this.#timer);
    this.#queue.close();
    this.#server.close();
    this.#starting?.reject(interruptedError("listener"));
  }

  ref(): void {
    this.#isReferenced = true;
    this.#server.ref();
  }

  unref(): void {
    this.#isReferenced = false;
    this.#server.unref();
  }

  #listen(): Server {
    const server = lazy.net.createServer({
      allowHalfOpen: true,
      pauseOnConnect: true,
      noDelay: this.#target.noDelay,
    });
    server.on("connection", (socket) => this.#onConnection(socket));
    server.on("listening", () => this.#onListening());
    server.on("error", (error) => this.#onError(error));
    server.listen(this.#target);
    return server;
  }

  #onListening(): void {
    const address = this.#server.address();
    if (address !== null && typeof address === "object" && address.port !== undefined) {
      this.#addr = { transport: "tcp", hostname: address.address, port: address.port };
      this.#target.port = address.port;
    } else if (this.#target.fd !== undefined) this.#addr = { transport: "unix", path: "" };
    this.#starting?.resolve();
    this.#starting = undefined;
    if (this.#timer !== undefined || this.#queue.isClosed) return;
    this.#timer = setInterval(() => this.#check(), CHECK_INTERVAL);
    this.#timer.unref();
  }

  #onError(cause: unknown): void {
    const error = listenError(cause, this.#target);
    if (this.#starting === undefined) return this.#queue.fail(error);
    this.#starting.reject(error);
    this.#starting = undefined;
  }

  #onConnection(socket: Socket): void {
    if (this.#queue.isClosed || this.#queue.length >= this.#target.backlog) socket.destroy();
    else if (socket.destroyed) return; // it was reset already
    else {this.#queue.push(
        new SocketConnection(socket, remoteAddrOf(socket), localAddrOf(socket, this.#addr)),
      );}
  }

  #check(): void {
    const { path, host, port, fd, backlog } = this.#target;
    if (path !== undefined || fd !== undefined) return; // a second socket cannot be tried there
    const probe = lazy.net.createServer();
    probe.on("error", (error: Error & { code?: string }) => {
      if (this.#queue.isClosed) return;
      const wasShort = this.#isShort;
      this.#isShort = isShortage(error.code);
      if (this.#isShort) this.#queue.fail(error);
      else if (wasShort || !this.#server.listening) this.#startAgain();
    });
    probe.on("listening", () => {
      probe.close();
      if (!this.#queue.isClosed) this.#startAgain();
    });
    probe.listen({ host, port, backlog });
  }

  #startAgain(): void {
    this.#server.close();
    this.#server = this.#listen();
    if (!this.#isReferenced) this.#server.unref();
  }
}
