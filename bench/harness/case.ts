// The types of cases. The cases themselves are in `cases.ts`.

import type { Load, Pace } from "./generator.ts";
import type { PeerName } from "./peers.ts";
import type { RedisLoad } from "./redis_benchmark.ts";

/** What a case does and measures. */
export type Work =
  /** CPU time for each of many messages, connections or deliveries. */
  | { kind: "load"; load: Load }
  /** Memory per idle session. */
  | { kind: "idle"; sessions: number }
  /** The factor by which the CPU time per message grows from few connections to many. */
  | { kind: "growth"; load: Load; from: number }
  /** CPU time for each request of `redis-benchmark`. */
  | { kind: "redis"; load: RedisLoad };

/** A server in a case. */
export interface Contender {
  readonly name: string;
  readonly peer: PeerName;
  /** The service that the program is started with, if it has several. */
  readonly service?: string;
}

/** A goal of a contender. */
export interface Goal {
  readonly contender: string;
  readonly figure: "cost" | "rate";
  /** The contender to compare with; none for an absolute figure. */
  readonly against?: string;
  readonly atMost?: number;
  readonly atLeast?: number;
}

/** A case: a task of servers, and the contenders. */
export interface Case {
  /** For `--case`, and for the file of its chart. */
  readonly name: string;
  readonly title: string;
  /** The cost of a contender, such as `CPU per message` in `µs`. Lower is better. */
  readonly cost: readonly [what: string, unit: string];
  /** What is counted per second. */
  readonly counted: string;
  readonly work: Work;
  /** How long it is loaded, where that is what the case is about. */
  readonly pace?: Pace;
  /** Whether the servers and the load share all cores, instead of having one each. */
  readonly hasAllCores?: boolean;
  /** The contender whose cost is 1 in every ratio. */
  readonly reference: string;
  readonly contenders: readonly Contender[];
  readonly goals?: readonly Goal[];
}

/** Whether a contender belongs to this repository. */
export function isOurs({ peer }: Pick<Contender, "peer">): boolean {
  return peer.startsWith("parley") || peer.endsWith("Example");
}
