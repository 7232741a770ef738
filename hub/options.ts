import {
  checkDuration,
  checkFunction,
  checkInteger,
  checkMethods,
  checkOneOf,
  shown,
} from "../_internal/checks.ts";
import { checkOptions, elsewhere, type Known } from "../_internal/options.ts";
import type { Codec } from "../codecs/codec.ts";
import { Session } from "../session.ts";
import type { Bus } from "./bus.ts";
import { isPosition, type Since } from "./position.ts";

/**
 * What a group does with a message for a session whose peer reads too slowly.
 *
 * | policy | meaning |
 * |---|---|
 * | `end` | the session gets it, and ends at its `maxBufferedOutput`: if no message may be missing |
 * | `drop-newest` | the message is dropped: the cheapest, if messages may be missing |
 * | `drop-oldest` | the oldest messages that wait are dropped: if only the latest ones count |
 * | `conflate` | the message replaces the one with the same key that waits, and takes its place: if only the latest value of each key counts |
 */
export type SlowPolicy = "end" | "drop-newest" | "drop-oldest" | "conflate";

/** Someone who is in a group, in any process. */
export interface Person {
  /** Who it is. Members with the same id are one person. */
  readonly id: string;
  /** What the application says of the person: a value of JSON. The latest one, if several members are this person. */
  readonly info?: unknown;
}

/** Carries traces along with the messages of a hub. `traceMessages()` of `@parley/tcp/metrics` makes one for OpenTelemetry. */
export interface HubTracer {
  /**
   * Returns the trace in which a message is published.
   *
   * @param group The group.
   * @returns `traceparent` of version 00, as in W3C Trace Context §3.2.2; `undefined` for none.
   */
  traceparent(group: string): string | undefined;
  /**
   * A message that belongs to a trace is about to be delivered to a session. It may be dropped if the session is slow.
   *
   * @param session The session.
   * @param group The group.
   * @param traceparent What `traceparent()` has returned, in this process or in another one.
   */
  onDelivery(session: Session, group: string, traceparent: string): void;
}

/** Options of {@linkcode Hub}. */
export interface HubOptions {
  /**
   * Carries messages to the hubs of other processes and threads. Without it, or if it is `undefined`, the hub has only
   * the sessions of its own thread.
   */
  bus?: Bus | undefined;
  /**
   * What happens to messages for a session whose peer reads too slowly. A function returns it for each group, once, when
   * the group begins.
   *
   * @default {"end"}
   */
  slow?: SlowPolicy | ((group: string) => SlowPolicy);
  /**
   * How many bytes of messages may wait for a session, unless the policy is `end`. 1 to 2^30. It must be less than the
   * session's `maxBufferedOutput`, or the session ends first. With `drop-oldest` and `conflate`, each message counts 128
   * bytes more than it has, and the names of its group and key.
   *
   * @default {65536}
   */
  maxWaiting?: number;
  /**
   * The maximum number of groups that have members here. 1 to 2^24. The hub also remembers the number of the last message
   * for this many groups, at least, to which it has published.
   *
   * @default {1_000_000}
   */
  maxGroups?: number;
  /**
   * The maximum number of groups of a session. 1 to 2^24.
   *
   * @default {1000}
   */
  maxGroupsPerSession?: number;
  /**
   * The maximum length of the name of a group, of a key and of the id of a person, in UTF-16 code units. 1 to 1024.
   *
   * @default {256}
   */
  maxNameLength?: number;
  /**
   * The maximum size of messages that wait while the bus is away, in bytes. Messages beyond it are lost for other
   * processes. 0 to 2^30.
   *
   * @default {1_048_576}
   */
  maxBacklog?: number;
  /**
   * Called if messages that another hub has published to a group did not arrive here. It is called when the next message of
   * that hub to the group arrives, before its delivery. Messages from before the group had members here do not count.
   *
   * If the bus has a history, the messages are first looked for there. With `since` or `last` of `join()`, it is also called
   * for the session alone, if messages are missing among those that it gets first.
   *
   * @param group The group.
   * @param from The number of the first message that is missing. Each hub counts its messages to each group from 1. 0 if it
   * is not known: `since` is older than what the bus has kept, or the history cannot be read.
   * @param to The number of the last one, or 0.
   * @param session The session that misses them, if the other members do not.
   */
  onGap?: (group: string, from: number, to: number, session?: Session) => void;
  /**
   * How often the hub tells other processes who is in its groups, in milliseconds. If a process dies, its people leave
   * within four intervals.
   *
   * @default {5000}
   */
  presenceInterval?: number;
  /**
   * The maximum length of the `info` of a person as JSON, in UTF-16 code units. 1 to 65,536.
   *
   * @default {1024}
   */
  maxInfoLength?: number;
  /**
   * Called when a person comes into a group that has members here, in any process.
   *
   * @param group The group.
   * @param person The person.
   * @param isNew Whether the person has just joined. `false` if it was in the group already, and this process has only
   * now learned of it: because the group had no members here, or the bus was away.
   */
  onJoin?: (group: string, person: Person, isNew: boolean) => void;
  /**
   * Called when a person leaves a group that has members here, or the last one does: by `leave()`, with its session or with
   * its process, or because nothing was heard of its process for too long.
   *
   * @param group The group.
   * @param person The person.
   */
  onLeave?: (group: string, person: Person) => void;
  /**
   * Called when the bus begins or ceases to take messages. Sessions of this process get each other's messages meanwhile.
   *
   * @param isReady Whether it takes messages.
   */
  onBusChange?: (isReady: boolean) => void;
  /**
   * Carries traces along with messages, over the bus too, where a message of a trace has 25 bytes more. Without it,
   * messages belong to no trace, also those of processes that have a tracer.
   */
  tracer?: HubTracer;
  /**
   * Called with errors of the bus, with what another process has sent that is no message of a hub, and with what the other
   * functions of these options throw. They are counted as well, in `stats().errors`.
   *
   * @param error What went wrong.
   * @default {the error is printed, at most 10 within 10 seconds}
   */
  onError?: (error: unknown) => void;
}

/** The options with their defaults. */
export type HubSettings =
  & Required<
    Pick<
      HubOptions,
      | "maxWaiting"
      | "maxGroups"
      | "maxGroupsPerSession"
      | "maxNameLength"
      | "maxBacklog"
      | "presenceInterval"
      | "maxInfoLength"
    >
  >
  & { policyOf(group: string): SlowPolicy };

const BUS_METHODS = ["start", "publish", "subscribe", "unsubscribe", "close"] as const;
const POLICIES: readonly SlowPolicy[] = ["end", "drop-newest", "drop-oldest", "conflate"];

export const HUB_OPTIONS: Known<HubOptions> = {
  bus: (name, value) => checkMethods(name, value, BUS_METHODS),
  slow: (name, value) => {
    if (typeof value !== "function") checkOneOf(name, value, POLICIES);
  },
  maxWaiting: elsewhere,
  maxGroups: elsewhere,
  maxGroupsPerSession: elsewhere,
  maxNameLength: elsewhere,
  maxBacklog: elsewhere,
  presenceInterval: elsewhere,
  maxInfoLength: elsewhere,
  onGap: checkFunction,
  onJoin: checkFunction,
  onLeave: checkFunction,
  onBusChange: checkFunction,
  tracer: (name, value) => checkMethods(name, value, ["traceparent", "onDelivery"]),
  onError: checkFunction,
};

export function resolveHubOptions(options: HubOptions): HubSettings {
  checkOptions(options, HUB_OPTIONS);
  const {
    slow = "end",
    maxWaiting = 64 * 1024,
    maxGroups = 1_000_000,
    maxGroupsPerSession = 1000,
    maxNameLength = 256,
    maxBacklog = 1024 * 1024,
    presenceInterval = 5000,
    maxInfoLength = 1024,
  } = options;
  return {
    maxWaiting: checkInteger("maxWaiting", maxWaiting, 1, 2 ** 30),
    maxGroups: checkInteger("maxGroups", maxGroups, 1, 2 ** 24),
    maxGroupsPerSession: checkInteger("maxGroupsPerSession", maxGroupsPerSession, 1, 2 ** 24),
    maxNameLength: checkInteger("maxNameLength", maxNameLength, 1, 1024),
    maxBacklog: checkInteger("maxBacklog", maxBacklog, 0, 2 ** 30),
    presenceInterval: checkDuration("presenceInterval", presenceInterval),
    maxInfoLength: checkInteger("maxInfoLength", maxInfoLength, 1, 65_536),
    policyOf(group: string): SlowPolicy {
      if (typeof slow !== "function") return slow;
      const policy = slow(group);
      checkOneOf(`slow(${JSON.stringify(group)})`, policy, POLICIES);
      return policy;
    },
  };
}

/** Options of {@linkcode Hub.join}. */
export interface JoinOptions {
  /**
   * Who the member is, for {@linkcode Hub.people}. Without it, the member gets messages but is not listed.
   */
  id?: string;
  /** What the application says of the person: a value of JSON. */
  info?: unknown;
  /**
   * A {@linkcode Hub.position}, of any process: the session first gets what was published after it, as far as the bus has
   * kept it. It may come from a peer.
   */
  since?: string | undefined;
  /**
   * How many of the messages that the bus has kept the session gets first, at most: the last ones, or all after `since`
   * if these are fewer. 0 to 10,000.
   */
  last?: number | undefined;
}

export const JOIN_OPTIONS: Known<JoinOptions> = {
  id: elsewhere,
  info: elsewhere,
  since: elsewhere,
  last: elsewhere,
};

const MAX_LAST = 10_000;

/** From where a session wants the history, or `undefined` if it does not. */
export function sinceOf({ since, last }: JoinOptions): Since | undefined {
  if (since !== undefined) {
    if (typeof since !== "string") {
      throw new TypeError(`since must be a string, got ${shown(since)}`);
    }
    if (!isPosition(since)) {
      throw new RangeError(
        `since must be a position of a hub, got ${JSON.stringify(since.slice(0, 50))}`,
      );
    }
  }
  if (last !== undefined) checkInteger("last", last, 0, MAX_LAST);
  return since === undefined && last === undefined ? undefined : { since, last };
}

/** Options of {@linkcode Hub.publish}. */
export interface PublishOptions {
  /** A session that does not get the message, such as the one that it comes from. */
  except?: Session | undefined;
  /**
   * What the message is about, for groups with the policy `conflate`: a later message replaces the one with the same key.
   *
   * @default {""}
   */
  key?: string;
}

/** Options of {@linkcode Hub.publish} for a frame. */
export interface PublishFrameOptions<Message> extends PublishOptions {
  /** Encodes the frame, once. */
  codec: Pick<Codec<unknown, Message>, "encode">;
}

export const PUBLISH_OPTIONS: Known<PublishFrameOptions<unknown>> = {
  except: checkSession,
  key: elsewhere,
  codec: elsewhere,
};

/** Figures of a hub, since it began. */
export interface HubStats {
  /** Groups that have members here. */
  groups: number;
  /** Sessions that are in a group. */
  sessions: number;
  /** How many groups all sessions are in, together. */
  memberships: number;
  /** Calls of `publish()`. */
  published: number;
  /** Messages for slow sessions that were dropped, all sessions counted. */
  dropped: number;
  /** Messages for slow sessions that a later one with the same key has replaced, all sessions counted. */
  replaced: number;
  /** Messages of other processes that have arrived. */
  received: number;
  /** Messages for sessions, all sessions counted, with those that were dropped or replaced. */
  delivered: number;
  /** Messages of other processes that did not arrive, as `onGap` was told. */
  lost: number;
  /** Messages of other processes that arrived twice, or after a later one, and were ignored. */
  ignored: number;
  /** Messages that the bus could not take, at least for one process. */
  unpublished: number;
  /** The size of the messages that wait for the bus, in bytes. */
  backlog: number;
  /** Whether the bus takes messages. `true` without a bus. */
  isBusReady: boolean;
  /** How often something went wrong, as `onError` was told. */
  errors: number;
}

export function checkSession(name: string, value: unknown): void {
  if (value instanceof Session) return;
  throw new TypeError(`${name} must be a Session`);
}
