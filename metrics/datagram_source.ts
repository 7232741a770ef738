/** What the figures of a datagram server are as metrics. */

import type { DatagramStats } from "../datagram/options.ts";
import type { ServerState } from "../serve/observer.ts";
import type { Address } from "../transport/connection.ts";
import type { Take } from "./definitions.ts";
import { checkMeasured } from "./check_measured.ts";
import { checkPlace, takeBytes, takeEach, takeServerState } from "./server_source.ts";

/** What metrics use of a datagram server. */
export interface MeasuredDatagramServer {
  /** The address of its socket. */
  readonly addr: Address;
  /** Its state. */
  readonly state: ServerState;
  /** Settles when it has stopped. Until then, the lateness of the event loop is measured. */
  readonly finished?: Promise<void>;
  /**
   * Returns its figures.
   *
   * @returns The figures.
   */
  stats(): DatagramStats;
}

/** Throws unless the values of a datagram server can be taken. */
export function checkDatagramServer(name: string, server: MeasuredDatagramServer): void {
  checkMeasured(`${name} must be what serveDatagrams() returns`, (take) => {
    checkPlace(server);
    takeDatagrams(server, take);
  });
}

/** Gives the values of a datagram server. */
export function takeDatagrams(server: MeasuredDatagramServer, take: Take): void {
  const stats = server.stats();
  takeServerState(server.state, take);
  take("parley.handler.errors", stats.handlerErrors);
  takeBytes("parley.network.io", stats, take);
  take("parley.datagram.received", stats.received);
  take("parley.datagram.sent", stats.sent);
  takeEach("parley.datagram.dropped", "error.type", stats.drops, take);
  const errors = { send: stats.sendErrors, receive: stats.receiveErrors };
  takeEach("parley.datagram.errors", "error.type", errors, take);
  take("parley.datagram.active_handlers", stats.active);
  take("parley.datagram.queued", stats.queued);
  take("parley.datagram.queue.memory", stats.queuedBytes);
  take("parley.datagram.proven_senders", stats.proven);
}
