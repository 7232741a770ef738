import net from "node:net";
import { clearInterval, setInterval } from "node:timers";
import { AcceptQueue } from "../../_internal/accept_queue.ts";
import { classified, closedError, interruptedError } from "../../_internal/system_errors.ts";
import type { Address, Connection, Listener } from "../connection.ts";
import { isShortage, LOOK_INTERVAL, type Place } from "./place.ts";
import { localAddrOf, remoteAddrOf, SocketConnection } from "./socket_connection.ts";

/**
 * A listener by what is documented of `net.Server`, where there is no way below.
 *
 * `net.Server` takes whatever comes, so as many connections as its backlog has room for are held here until they are
 * accepted, and more are closed.
 *
 * In Deno 2.9.6 one that has met a shortage of descriptors accepts nothing more and does not say so. So it is tried
 * again and again to listen on the same address, which fails for another reason while descriptors are there, and
 * after a shortage of some seconds a new server takes over.
 */
export class ServerListener implements Listener {
  /** Resolves once it listens; not there if it does already. */
  readonly ready: Promise<void> | undefined;
  readonly #place: Place;
  readonly #queue: AcceptQueue<Connection> = new AcceptQueue();
  #addr: Address;
  #server: net.Server;
  #timer: ReturnType<typeof setInterval> | undefined;
  #starting: PromiseWithResolvers<void> | undefined;
  #isReferenced = true;
  #isShort = false;

  constructor(place: Place) {
    this.#place = place;
    this.#addr = place.path === undefined
      ? { transport: "tcp", hostname: place.host ?? "", port: place.port ?? 0 }
      : { transport: "unix", path: place.path };
    this.#server = this.#listen();
    // A Unix socket listens at once, but what is wrong with it is told in a later turn.
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
    if (this.#isShort) this.#look();
    return accepted;
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

  #listen(): net.Server {
    const server = net.createServer({
      allowHalfOpen: true,
      pauseOnConnect: true,
      noDelay: this.#place.noDelay,
    });
    server.on("connection", (socket) => this.#onConnection(socket));
    server.on("listening", () => this.#onListening());
    server.on("error", (error) => this.#onError(error));
    server.listen(this.#place);
    return server;
  }

  #onListening(): void {
    const { path } = this.#place;
    const address = this.#server.address();
    if (path === undefined && address !== null && typeof address === "object") {
      this.#addr = { transport: "tcp", hostname: address.address, port: address.port };
      this.#place.port = address.port;
    }
    this.#starting?.resolve();
    this.#starting = undefined;
    if (this.#timer !== undefined || this.#queue.isClosed) return;
    this.#timer = setInterval(() => this.#look(), LOOK_INTERVAL);
    this.#timer.unref();
  }

  #onError(cause: unknown): void {
    const error = classified(cause, "cannot listen");
    if (this.#starting === undefined) return this.#queue.fail(error);
    this.#starting.reject(error);
    this.#starting = undefined;
  }

  #onConnection(socket: net.Socket): void {
    if (this.#queue.isClosed || this.#queue.length >= this.#place.backlog) socket.destroy();
    else if (socket.destroyed) return; // it was reset already
    else {this.#queue.push(
        new SocketConnection(socket, remoteAddrOf(socket), localAddrOf(socket, this.#addr)),
      );}
  }

  #look(): void {
    const { path, host, port, fd, backlog } = this.#place;
    if (path !== undefined || fd !== undefined) return; // there is no second socket of that kind
    const probe = net.createServer();
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
