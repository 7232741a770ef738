/** What the figures of a pool of sessions are as metrics. */

import type { SessionPoolStats } from "../connect/pool_options.ts";
import type { Take } from "./definitions.ts";
import { takeEach } from "./server_source.ts";

/** What metrics use of a pool of sessions. */
export interface MeasuredPool {
  /**
   * Returns its figures.
   *
   * @returns The figures.
   */
  stats(): SessionPoolStats;
}

/** Gives the values of a pool. */
export function takePool(stats: SessionPoolStats, take: Take): void {
  const { sessions, idle, leased, waiting } = stats;
  const states = { idle, leased, other: sessions - idle - leased };
  takeEach("parley.pool.sessions", "parley.pool.session.state", states, take);
  take("parley.pool.waiting_callers", waiting);
  take("parley.pool.leases", stats.leases);
  take("parley.pool.wait.duration", stats.waits);
  takeEach("parley.pool.refused_callers", "error.type", stats.refusals, take);
  take("parley.pool.dials", stats.dials);
  take("parley.pool.dial.errors", stats.dialErrors);
}
