/** What the figures of a hub are as metrics. */

import type { Take } from "./definitions.ts";

/** What metrics use of a hub. */
export interface MeasuredHub {
  /**
   * Returns its figures.
   *
   * @returns The figures.
   */
  stats(): MeasuredHubStats;
}

/** What metrics use of the figures of a hub. */
export interface MeasuredHubStats {
  /** Groups that have members. */
  readonly groups: number;
  /** Sessions that are in a group. */
  readonly sessions: number;
  /** How many groups all sessions are in, together. */
  readonly memberships: number;
  /** Messages that were published here. */
  readonly published: number;
  /** Messages of other processes that have arrived. */
  readonly received: number;
  /** Messages for slow sessions that were dropped. */
  readonly dropped: number;
  /** Messages for slow sessions that a later one has replaced. */
  readonly replaced: number;
  /** Messages of other processes that did not arrive. */
  readonly lost: number;
  /** Messages of other processes that arrived twice or too late. */
  readonly ignored: number;
  /** Messages that the bus could not take. */
  readonly unpublished: number;
  /** The size of the messages that wait for the bus, in bytes. */
  readonly backlog: number;
  /** Whether the bus takes messages. */
  readonly isBusReady: boolean;
  /** How often something went wrong. */
  readonly errors: number;
}

/** Gives the values of a hub. */
export function takeHub(stats: MeasuredHubStats, take: Take): void {
  take("parley.hub.groups", stats.groups);
  take("parley.hub.sessions", stats.sessions);
  take("parley.hub.memberships", stats.memberships);
  take("parley.hub.published_messages", stats.published);
  take("parley.hub.received_messages", stats.received);
  take("parley.hub.dropped_messages", stats.dropped);
  take("parley.hub.replaced_messages", stats.replaced);
  take("parley.hub.lost_messages", stats.lost);
  take("parley.hub.ignored_messages", stats.ignored);
  take("parley.hub.unpublished_messages", stats.unpublished);
  take("parley.hub.backlog", stats.backlog);
  take("parley.hub.bus.ready", stats.isBusReady ? 1 : 0);
  take("parley.hub.errors", stats.errors);
}
