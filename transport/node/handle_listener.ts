import { existsSync } from "node:fs";
import { clearInterval, setInterval } from "node:timers";
import { AcceptQueue } from "../../_internal/accept_queue.ts";
import { closedError, codeOf, statusError } from "../../_internal/system_errors.ts";
import type { Address, Connection, Listener, NetAddr, UnixAddr } from "../connection.ts";
import { type Ends, HandleConnection } from "./handle_connection.ts";
import {
  type Handles,
  type ListenHandle,
  SERVER,
  SOCKET,
  type StreamHandle,
  type TcpHandle,
} from "./handles.ts";
import { isShortage, LOOK_INTERVAL, type Place } from "./place.ts";
import { TcpConnection } from "./tcp_connection.ts";
import { addressOf, bind } from "./tcp_handle.ts";

/**
 * Listens with a handle of `node:net`.
 *
 * In Deno a connection stays with the system until it is wanted. In Node the handle takes whatever comes, so as many
 * as `backlog` are held here, and more are closed.
 *
 * In Deno 2.9.6 a handle whose accept has failed once, for want of a descriptor, accepts nothing more and does not say
 * so. To start and stop to read from it makes the runtime look at it again. That is done at intervals, since nothing
 * else tells of it.
 */
export class HandleListener implements Listener {
  readonly addr: Address;
  readonly #handles: Handles;
  readonly #handle: ListenHandle;
  readonly #backlog: number;
  readonly #noDelay: boolean;
  readonly #queue: AcceptQueue<Connection> = new AcceptQueue();
  readonly #timer: ReturnType<typeof setInterval>;
  /** Whether a connection can be taken from the handle. */
  #isPending = false;
  #isShort = false;

  /**
   * @param handles Where handles come from.
   * @param handle The handle, which listens.
   * @param addr On what.
   * @param place How.
   */
  constructor(
    handles: Handles,
    handle: ListenHandle,
    addr: Address,
    { backlog, noDelay }: Pick<Place, "backlog" | "noDelay">,
  ) {
    this.addr = addr;
    this.#handles = handles;
    this.#handle = handle;
    this.#backlog = backlog;
    this.#noDelay = noDelay;
    this.#handle.onconnection = (status, client) => this.#onConnection(status, client);
    this.#handle.onread = () => {};
    this.#timer = setInterval(() => this.#look(), LOOK_INTERVAL);
    this.#timer.unref();
  }

  accept(): Promise<Connection> {
    if (this.#queue.isClosed || this.#queue.isWaiting) return this.#queue.accept();
    const accepted = this.#queue.accept();
    if (this.#isPending) {
      this.#take();
      this.#wake();
    } else if (this.#isShort) this.#look();
    return accepted;
  }

  close(): void {
    if (this.#queue.isClosed) throw closedError("listener");
    clearInterval(this.#timer);
    this.#handle.close();
    this.#queue.close();
  }

  ref(): void {
    this.#handle.ref();
  }

  unref(): void {
    this.#handle.unref();
  }

  #onConnection(status: number, client: StreamHandle | undefined): void {
    if (this.#queue.isClosed) client?.close();
    else if (status !== 0) this.#queue.fail(statusError(status, "cannot accept"));
    else if (client !== undefined) this.#hold(client);
    else if (this.#queue.isWaiting) this.#take();
    else this.#isPending = true;
  }

  /** Takes the connection that waits in the handle for the accept that waits here. */
  #take(): void {
    this.#isPending = false;
    const { Tcp, Pipe } = this.#handles;
    const client: StreamHandle = new (this.addr.transport === "tcp" ? Tcp : Pipe)(SOCKET);
    const status = this.#handle.accept!(client);
    if (status === 0) return this.#hold(client);
    client.close();
    if (codeOf(status) !== "EAGAIN") this.#queue.fail(statusError(status, "cannot accept"));
  }

  #hold(client: StreamHandle): void {
    if (this.#queue.length >= this.#backlog) return client.close();
    try {
      const Connection = this.addr.transport === "tcp" ? TcpConnection : HandleConnection;
      this.#queue.push(new Connection(this.#handles, client, this.#endsOf(client)));
    } catch (error) { // it was reset already, or there is no descriptor for it
      client.close();
      this.#queue.fail(error);
    }
  }

  #endsOf(client: StreamHandle): Ends {
    const { addr } = this;
    const noDelay = this.#noDelay;
    if (addr.transport !== "tcp") {
      return { remoteAddr: { transport: "unix", path: "" }, localAddr: addr, noDelay };
    }
    const tcp = client as TcpHandle;
    const remoteAddr = addressOf(tcp, "getpeername");
    return {
      remoteAddr,
      localAddr: isWildcard(addr) ? addressOf(tcp, "getsockname") : addr,
      noDelay,
    };
  }

  #look(): void {
    const status = probe(this.#handles, this.addr);
    this.#isShort = status < 0 && isShortage(codeOf(status));
    if (this.#isShort) this.#queue.fail(statusError(status, "cannot accept"));
    else this.#wake();
  }

  #wake(): void {
    if (this.#handle.accept === undefined) return;
    this.#handle.readStart();
    this.#handle.readStop();
  }
}

/** Tries to get another socket for an address that is taken, and returns the status of that. */
function probe({ Tcp, Pipe }: Handles, addr: Address): number {
  try {
    if (addr.transport === "tcp") {
      return withHandle(new Tcp(SERVER), (handle) => bind(handle, addr.hostname, addr.port, 0));
    }
    const { path } = addr as UnixAddr;
    // Where somebody has removed the file, the path is not taken: nobody can connect any more, either.
    if (!path.startsWith("\0") && !existsSync(path)) return 0;
    return withHandle(new Pipe(SERVER), (handle) => handle.bind(path));
  } catch { // the address of a descriptor that was handed to this process, which may listen on nothing itself
    return 0;
  }
}

function withHandle<Handle extends ListenHandle>(
  handle: Handle,
  run: (handle: Handle) => number,
): number {
  try {
    return run(handle);
  } finally {
    handle.close();
  }
}

function isWildcard({ hostname }: NetAddr): boolean {
  return hostname === "0.0.0.0" || hostname === "::";
}
