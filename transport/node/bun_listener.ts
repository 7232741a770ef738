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
 *
 * It does not tell when it has no descriptor for a connection, and then tries again and again, which takes most of a core. So
 * that is checked at intervals. A descriptor in reserve is freed then, and until two are free, further connections are closed as
 * they come.
 */
export class BunListener implements Listener {
  readonly addr: Address;
  readonly #target: ListenTarget;
  readonly #queue: AcceptQueue<Connection> = new AcceptQueue();
  readonly #server: BunServer;
  readonly #timer: ReturnType<typeof setInterval>;
  #isShort = false;
  /** A descriptor that is freed when there is none for a connection. */
  #reserve: number | undefined;

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
      throw listenError(shortage(1) ?? error, target);
    }
    this.addr = path === undefined
      ? { transport: "tcp", hostname: host!, port: this.#server.port }
      : { transport: "unix", path };
    this.#check(); // for the reserve
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
    this.#giveReserve();
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
    if (this.#isShort || this.#queue.isClosed || this.#queue.length >= backlog) {
      return socket.close();
    }
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
    const error = shortage(this.#isShort ? 2 : 1);
    if (error === undefined) {
      this.#isShort = false;
      this.#reserve ??= reserve();
      return;
    }
    const hasNone = !this.#isShort || shortage(1) !== undefined;
    this.#isShort = true;
    this.#giveReserve();
    if (hasNone) this.#queue.fail(error);
  }

  #giveReserve(): void {
    if (this.#reserve !== undefined) lazy.fs.closeSync(this.#reserve);
    this.#reserve = undefined;
  }
}

/** The error for a connection, if the process or the system does not have so many descriptors left. */
function shortage(count: number): Error | undefined {
  const descriptors: number[] = [];
  try {
    while (descriptors.length < count) descriptors.push(openNothing());
  } catch (error) {
    const { code } = error as { code?: string };
    if (isShortage(code)) {
      return systemError(code!, "no descriptor for a connection", { cause: error });
    }
  } finally {
    for (const descriptor of descriptors) lazy.fs.closeSync(descriptor);
  }
}

function reserve(): number | undefined {
  try {
    return openNothing();
  } catch { /* there is no such file here, or no descriptor any more */ }
}

function openNothing(): number {
  return lazy.fs.openSync(devNull, "r");
}
