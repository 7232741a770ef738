import { type EndReason, FrameTooLargeError, OutputLimitError } from "../errors.ts";

const CUTS: readonly EndReason[] = ["local", "limit", "lifetime", "drain", "read-idle"];

/**
 * Whether an end that comes at once can come in the middle of what is said. An idle peer has heard all; one that is
 * gone hears nothing any more. One that only says nothing may be taking a long reply.
 */
export function isCutting(reason: EndReason): boolean {
  return CUTS.includes(reason);
}

/** What an error says about the reason of an end. */
export function reasonOf(error: unknown): EndReason {
  if (error instanceof OutputLimitError || error instanceof FrameTooLargeError) return "limit";
  const { ConnectionReset, ConnectionAborted, BrokenPipe, NotConnected, UnexpectedEof } =
    Deno.errors;
  const gone = [ConnectionReset, ConnectionAborted, BrokenPipe, NotConnected, UnexpectedEof];
  return gone.some((kind) => error instanceof kind) ? "peer" : "error";
}
