import { lazy } from "../lazy.ts";
import type { Server } from "node:net";
import { interruptedError } from "../../_internal/system_errors.ts";
import type { Address, Connection } from "../connection.ts";
import { HandleListener } from "./handle_listener.ts";
import type { Handles, ListenHandle } from "./handles.ts";
import { listenError, type ListenTarget, type StartedListener } from "./listen_target.ts";
import { addressOf } from "./tcp_handle.ts";

/** Lets `net.Server` look up a name or find out the kind of a descriptor, and then listens with its handle. */
export class AdoptedListener implements StartedListener {
  readonly ready: Promise<void> | undefined;
  readonly #handles: Handles;
  readonly #target: ListenTarget;
  readonly #server: Server = lazy.net.createServer();
  #listener: HandleListener | undefined;
  #isReferenced = true;
  #isClosed = false;

  constructor(handles: Handles, target: ListenTarget) {
    this.#handles = handles;
    this.#target = target;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#server.on("error", (error) => reject(listenError(error, target)));
    this.#server.listen(target);
    if (this.#server.listening) {
      this.#adopt();
      return;
    }
    this.#server.on("listening", () => {
      if (this.#isClosed) return reject(interruptedError("listener"));
      this.#adopt();
      resolve();
    });
    this.ready = promise;
  }

  get addr(): Address {
    if (this.#listener !== undefined) return this.#listener.addr;
    const { host = "", port = 0 } = this.#target;
    return { transport: "tcp", hostname: host, port };
  }

  accept(): Promise<Connection> {
    return this.#listener?.accept() ?? this.ready!.then(() => this.accept());
  }

  acceptWaiting(): Connection[] {
    return this.#listener?.acceptWaiting() ?? [];
  }

  close(): void {
    this.#isClosed = true;
    if (this.#listener === undefined) this.#server.close();
    else this.#listener.close();
  }

  ref(): void {
    this.#isReferenced = true;
    (this.#listener ?? this.#server).ref();
  }

  unref(): void {
    this.#isReferenced = false;
    (this.#listener ?? this.#server).unref();
  }

  #adopt(): void {
    const handles = this.#handles;
    const { _handle: handle } = this.#server as unknown as { _handle: ListenHandle };
    const address = this.#server.address();
    const addr: Address = handle instanceof handles.Tcp
      ? addressOf(handle, "getsockname")
      : { transport: "unix", path: typeof address === "string" ? address : "" };
    this.#listener = new HandleListener(handles, handle, addr, this.#target);
    if (!this.#isReferenced) this.#listener.unref();
  }
}
