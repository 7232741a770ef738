import { clearInterval, setInterval } from "node:timers";
import { devNull } from "node:os";
import { AcceptQueue } from "../../_internal/accept_queue.ts";
import { closedError, systemError } from "../../_internal/system_errors.ts";
import type { Address, Connection, Listener } from "../connection.ts";
import { lazy } from "../lazy.ts";
import { BunConnection } from "./bun_connection.ts";
import { bunListen, type BunServer, type BunSocket } from "./bun_sockets.ts";
import { CHECK_INTERVAL, isShortage, listenError, type ListenTarget } from "./listen_target.ts";

type Socket = BunSocket<BunConnection>;

/**
 * A listener over `Bun.listen`.
 *
 * It accepts every connection, so up to `backlog` connections are kept here until they are accepted. Further ones are closed.
 * It does not tell when it has no descriptor for a connection, so that is checked at intervals.
 */
export class BunListener implements Listener {
  readonly addr: Address;
  readonly #target: ListenTarget;
  readonly #queue: AcceptQueue<Connection> = new AcceptQueue();
  readonly #server: BunServer;
  readonly #timer: ReturnType<typeof setInterval>;
  #isShort = false;

  constructor(target: ListenTarget) {
    this.#target = target;
    const { host, port = 0, path, reusePort = false } = target;
    try {
      this.#server = bunListen!<BunConnection>({
        ...(path === undefined ? { hostname: host!, port, reusePort } : { unix: path }),
        allowHalfOpen: true,
        socket: {
          binaryType: "uint8array",
          open: (socket) => this.#onOpen(socket),
          data: (socket, bytes) => socket.data.onInput(bytes, true),
          drain: (socket) => socket.data.onDrain(),
          end: (socket) => socket.data.onInputEnd(),
          close: (socket, error) => socket.data?.onClosed(error),
          error: (_, error) => reportError(error),
        },
      });
    } catch (error) {
      throw listenError(shortage() ?? error, target);
    }
    this.addr = path === undefined
      ? { transport: "tcp", hostname: host!, port: this.#server.port }
      : { transport: "unix", path };
    this.#timer = setInterval(() => this.#check(), CHECK_INTERVAL);
    this.#timer.unref();
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
    this.#server.stop();
  }

  ref(): void {
    this.#server.ref();
  }

  unref(): void {
    this.#server.unref();
  }

  #onOpen(socket: Socket): void {
    const { backlog, path, noDelay } = this.#target;
    const { remoteAddress } = socket;
    if (path === undefined && remoteAddress === undefined) return socket.terminate(); // it was reset already
    if (this.#queue.isClosed || this.#queue.length >= backlog) return socket.close();
    socket.pause();
    socket.data = remoteAddress === undefined
      ? new BunConnection(socket, { transport: "unix", path: "" }, this.addr)
      : new BunConnection(
        socket,
        { transport: "tcp", hostname: remoteAddress, port: socket.remotePort },
        { transport: "tcp", hostname: socket.localAddress, port: socket.localPort },
      );
    if (path === undefined) socket.data.setNoDelay(noDelay);
    this.#queue.push(socket.data);
  }

  #check(): void {
    const error = shortage();
    this.#isShort = error !== undefined;
    if (error !== undefined) this.#queue.fail(error);
  }
}

/** The error for a connection, if the process or the system has no descriptor left. */
function shortage(): Error | undefined {
  try {
    lazy.fs.closeSync(lazy.fs.openSync(devNull, "r"));
  } catch (error) {
    const { code } = error as { code?: string };
    if (isShortage(code)) {
      return systemError(code!, "no descriptor for a connection", { cause: error });
    }
  }
}
