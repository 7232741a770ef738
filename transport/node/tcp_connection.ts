import { statusError } from "../../_internal/system_errors.ts";
import { type Ends, HandleConnection } from "./handle_connection.ts";
import type { Handles, StreamHandle, TcpHandle } from "./handles.ts";
import { reset, withTcp } from "./tcp_handle.ts";

/** A connection of TCP over a handle. */
export class TcpConnection extends HandleConnection {
  #isNoDelay: boolean;

  constructor(handles: Handles, handle: StreamHandle, ends: Ends) {
    super(handles, handle, ends);
    this.#isNoDelay = ends.noDelay;
  }

  reset(): void {
    const handle = this.release();
    if (handle !== undefined) reset(this.handles, handle, () => this.settle());
  }

  setNoDelay(noDelay = true): void {
    if (noDelay === this.#isNoDelay) return;
    this.#isNoDelay = noDelay;
    this.#configure((tcp) => tcp.setNoDelay(noDelay));
  }

  setKeepAlive(keepAlive: boolean | number = true): void {
    const delay = typeof keepAlive === "number" ? Math.ceil(keepAlive / 1000) : 0;
    this.#configure((tcp) => tcp.setKeepAlive(keepAlive !== false, delay));
  }

  #configure(run: (tcp: TcpHandle) => number): void {
    if (this.handle === undefined) return;
    const status = withTcp(this.handles, this.handle, run);
    if (status !== 0) throw statusError(status, "cannot change the connection");
  }
}
