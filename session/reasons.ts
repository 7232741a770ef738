import { systemErrors } from "../_internal/system_error_classes.ts";
import { type EndReason, FrameTooLargeError, OutputLimitError, RateLimitError } from "../errors.ts";

const CUTS: readonly EndReason[] = [
  ...["local", "limit", "lifetime", "drain"] as const,
  ...["read-idle", "heartbeat-missed"] as const,
];

/**
 * Whether an immediate end for this reason may cut off output. An idle peer has received everything, and a peer that is
 * gone receives nothing any more. But a peer that sends nothing, or answers late, may be receiving a long reply.
 */
export function isCutting(reason: EndReason): boolean {
  return CUTS.includes(reason);
}

/** The reason of an end, by the error that caused it. */
export function reasonOf(error: unknown): EndReason {
  const limits = [OutputLimitError, FrameTooLargeError, RateLimitError];
  if (limits.some((kind) => error instanceof kind)) return "limit";
  const { ConnectionReset, ConnectionAborted, BrokenPipe, NotConnected, UnexpectedEof } =
    systemErrors;
  const gone = [ConnectionReset, ConnectionAborted, BrokenPipe, NotConnected, UnexpectedEof];
  return gone.some((kind) => error instanceof kind) ? "peer" : "error";
}
