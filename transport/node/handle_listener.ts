import { lazy } from "../lazy.ts";
import { clearInterval, setInterval } from "node:timers";
import { AcceptQueue } from "../../_internal/accept_queue.ts";
import { closedError, codeOf, statusError, systemError } from "../../_internal/system_errors.ts";
import type { Address, Connection, Listener, NetAddr, UnixAddr } from "../connection.ts";
import { type Ends, HandleConnection } from "./handle_connection.ts";
import {
  type Handles,
  type ListenHandle,
  type PipeListenHandle,
  SERVER,
  SOCKET,
  type StreamHandle,
  type TcpHandle,
  type TcpListenHandle,
} from "./handles.ts";
import { CHECK_INTERVAL, isShortage, type ListenTarget } from "./listen_target.ts";
import { TcpConnection } from "./tcp_connection.ts";
import { addressOf, bind } from "./tcp_handle.ts";

/**
 * Listens with a handle of `node:net`.
 *
 * In Deno, a connection stays in the system's backlog or in the handle until it is accepted. In Node, the handle accepts every connection,
 * so up to `backlog` connections are kept here. Further ones are closed.
 *
 * In Deno 2.9.6, a handle that has failed to accept for lack of a descriptor accepts nothing more, without an error. Calling
 * `readStart()` and `readStop()` makes the runtime check it again. This is done at intervals, since no event reports it.
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
   * @param handles The handle classes.
   * @param handle The listening handle.
   * @param addr The address that it listens on.
   * @param target How it listens.
   */
  constructor(
    handles: Handles,
    handle: ListenHandle,
    addr: Address,
    { backlog, noDelay }: Pick<ListenTarget, "backlog" | "noDelay">,
  ) {
    this.addr = addr;
    this.#handles = handles;
    this.#handle = handle;
    this.#backlog = backlog;
    this.#noDelay = noDelay;
    this.#handle.onconnection = (status, client) => this.#onConnection(status, client);
    this.#handle.onread = () => {};
    this.#timer = setInterval(() => this.#check(), CHECK_INTERVAL);
    this.#timer.unref();
  }

  accept(): Promise<Connection> {
    if (this.#queue.isClosed || this.#queue.isWaiting) return this.#queue.accept();
    const accepted = this.#queue.accept();
    if (this.#isPending) {
      this.#take();
      this.#wake();
    } else if (this.#isShort) this.#check();
    return accepted;
  }

  acceptWaiting(): Connection[] {
    let isTaken = this.#handle.accept !== undefined;
    while (isTaken && this.#queue.length < this.#backlog) isTaken = this.#take();
    return this.#queue.takeAll();
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

  /** Accepts a connection that waits in the handle. Returns whether there was one. */
  #take(): boolean {
    this.#isPending = false;
    const { Tcp, Pipe } = this.#handles;
    const client: StreamHandle = new (this.addr.transport === "tcp" ? Tcp : Pipe)(SOCKET);
    const status = this.#handle.accept!(client);
    if (status === 0) this.#hold(client);
    else {
      client.close();
      if (codeOf(status) !== "EAGAIN") this.#queue.fail(statusError(status, "cannot accept"));
    }
    return status === 0;
  }

  #hold(client: StreamHandle): void {
    if (this.#queue.length >= this.#backlog) return client.close();
    try {
      const Connection = this.addr.transport === "tcp" ? TcpConnection : HandleConnection;
      this.#queue.push(new Connection(this.#handles, client, this.#endsOf(client)));
    } catch (error) { // it was reset already, or there is no descriptor
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

  #check(): void {
    const shortage = this.#handles.isDeno
      ? duplicate(this.#handles, this.#handle)
      : probe(this.#handles, this.addr);
    this.#isShort = shortage !== undefined;
    if (shortage !== undefined) this.#queue.fail(shortage);
    else this.#wake();
  }

  #wake(): void {
    if (this.#handle.accept === undefined) return;
    this.#handle.readStart();
    this.#handle.readStop();
  }
}

/**
 * Tries to duplicate the descriptor, and returns an error if there is none left. Unlike binding another socket, this works
 * for a descriptor that was passed to this process, and without a permission.
 */
function duplicate({ Pipe }: Handles, handle: ListenHandle): Error | undefined {
  const descriptor = handle.fdForIpc!();
  if (descriptor < 0) return systemError("EMFILE", "cannot accept");
  const copy = new Pipe(SOCKET);
  copy.open!(descriptor);
  copy.close();
}

/** Tries to bind another socket to an address that is in use, and returns an error if there is no descriptor left. */
function probe({ Tcp, Pipe }: Handles, addr: Address): Error | undefined {
  const { hostname, port } = addr as NetAddr;
  const { path } = addr as UnixAddr;
  // If the file was removed, the path is not in use, and no one can connect any more.
  if (addr.transport === "unix" && !path.startsWith("\0") && !lazy.fs.existsSync(path)) return;
  const handle = new (addr.transport === "tcp" ? Tcp : Pipe)(SERVER);
  const status = addr.transport === "tcp"
    ? bind(handle as TcpListenHandle, hostname, port, 0)
    : (handle as PipeListenHandle).bind(path);
  handle.close();
  if (status < 0 && isShortage(codeOf(status))) return statusError(status, "cannot accept");
}

function isWildcard({ hostname }: NetAddr): boolean {
  return hostname === "0.0.0.0" || hostname === "::";
}
