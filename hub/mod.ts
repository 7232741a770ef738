/**
 * Groups of sessions that get each other's messages, in one process or in many: {@linkcode Hub}.
 *
 * @example A chat with rooms
 * ```ts
 * import { serve } from "@parley/tcp";
 * import { Hub } from "@parley/tcp/hub";
 *
 * await using hub = new Hub({ slow: "drop-oldest" });
 * await using server = serve({ port: 0 }, async (session) => {
 *   for await (const line of session.lines()) {
 *     const [, command, room, text] = /^(\w+) (\S+) ?(.*)$/.exec(line) ?? [];
 *     if (room === undefined) continue;
 *     if (command === "join") hub.join(room, session);
 *     else if (command === "leave") hub.leave(room, session);
 *     else if (command === "say") hub.publish(room, `${text}\n`, { except: session });
 *   }
 * });
 * ```
 *
 * @module
 */

export { GroupLimitError } from "../errors.ts";
export type { Bus, BusHistory, BusListener, HistoryEntry, HistoryPage } from "./bus.ts";
export type { HistoryOptions } from "./history_options.ts";
export { Hub } from "./hub.ts";
export { natsBus, type NatsBusOptions, type NatsConnection, type NatsMessage } from "./nats_bus.ts";
export type { JetStreamManager, NatsHistoryOptions } from "./nats_history.ts";
export type {
  HubOptions,
  HubStats,
  HubTracer,
  JoinOptions,
  Person,
  PublishFrameOptions,
  PublishOptions,
  SlowPolicy,
} from "./options.ts";
export {
  type IoRedisClient,
  type NodeRedisClient,
  redisBus,
  type RedisBusOptions,
  type RedisClients,
  type RedisEvents,
} from "./redis_bus.ts";
