/** What the figures of a hub are as metrics. */

import type { HubStats } from "../hub/options.ts";
import type { Take } from "./definitions.ts";

/** What metrics use of a hub. */
export interface MeasuredHub {
  /**
   * Returns its figures.
   *
   * @returns The figures.
   */
  stats(): HubStats;
}

/** Gives the values of a hub. */
export function takeHub(stats: HubStats, take: Take): void {
  take("parley.hub.groups", stats.groups);
  take("parley.hub.sessions", stats.sessions);
  take("parley.hub.memberships", stats.memberships);
  take("parley.hub.published_messages", stats.published);
  take("parley.hub.received_messages", stats.received);
  take("parley.hub.delivered_messages", stats.delivered);
  take("parley.hub.dropped_messages", stats.dropped);
  take("parley.hub.replaced_messages", stats.replaced);
  take("parley.hub.lost_messages", stats.lost);
  take("parley.hub.ignored_messages", stats.ignored);
  take("parley.hub.unpublished_messages", stats.unpublished);
  take("parley.hub.backlog", stats.backlog);
  take("parley.hub.disconnected", stats.isBusReady ? 0 : 1);
  take("parley.hub.errors", stats.errors);
}
