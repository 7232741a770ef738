/** A service over TCP and UDP on one port, of the examples that have one. */

import type { Server } from "@parley/tcp";
import type { DatagramServer } from "@parley/tcp/datagram";

/** Both servers of a service. */
export interface Pair extends AsyncDisposable {
  readonly tcp: Server;
  readonly udp: DatagramServer;
  /** Resolves when both have stopped. */
  readonly finished: Promise<unknown>;
  shutdown(): Promise<unknown>;
}

/** Makes one of two servers. */
export function pairOf(tcp: Server, udp: DatagramServer): Pair {
  const shutdown = () => Promise.all([tcp.shutdown(), udp.shutdown()]);
  return {
    tcp,
    udp,
    finished: Promise.all([tcp.finished, udp.finished]),
    shutdown,
    async [Symbol.asyncDispose](): Promise<void> {
      await shutdown();
    },
  };
}
