// What a case is made of. The cases themselves are in `cases.ts`.

import type { Load, Pace } from "./generator.ts";
import type { PeerName } from "./peers.ts";
import type { RedisLoad } from "./redis_benchmark.ts";

/** What is done in a case, and so what is measured. */
export type Work =
  /** CPU time for each of many messages, connections or deliveries. */
  | { kind: "load"; load: Load }
  /** Memory for each session that says nothing. */
  | { kind: "idle"; sessions: number }
  /** How many times the CPU time for a message grows from few connections to many. */
  | { kind: "growth"; load: Load; from: number }
  /** CPU time for each request of `redis-benchmark`. */
  | { kind: "redis"; load: RedisLoad };

/** A server in a case. */
export interface Contender {
  readonly name: string;
  readonly peer: PeerName;
  /** What the program is told to serve; nothing for one that serves only one thing. */
  readonly service?: string;
}

/** What is asked of a contender. */
export interface Goal {
  readonly contender: string;
  readonly figure: "cost" | "rate";
  /** The contender beside whose figure it is put; none for a figure by itself. */
  readonly against?: string;
  readonly atMost?: number;
  readonly atLeast?: number;
}

/** One thing that servers do, and who is measured doing it. */
export interface Case {
  /** For `--case`, and for the file of its chart. */
  readonly name: string;
  readonly title: string;
  /** What is told of each contender: `CPU per message`, in `µs`. The less the better. */
  readonly cost: readonly [what: string, unit: string];
  /** What is counted a second. */
  readonly counted: string;
  readonly work: Work;
  /** How long it is loaded, where that is what the case is about. */
  readonly pace?: Pace;
  /** The contender whose cost is 1 in every ratio. */
  readonly reference: string;
  readonly contenders: readonly Contender[];
  readonly goals?: readonly Goal[];
}

/** Whether a contender is what this repository makes. */
export function isOurs({ peer }: Pick<Contender, "peer">): boolean {
  return peer === "parley" || peer === "parleyNode" || peer === "redisExample";
}
