import { type LogFields, withoutPlaceholders } from "../_internal/logging.ts";
import { factsOf, textOf } from "../_internal/thrown.ts";
import type { SessionEnd } from "../errors.ts";

/** What a log says about the end of a session, of a server or a client. */
export interface EndRecord {
  /** Such as `peer, after 12 ms, 3 bytes in, 4 bytes out`. */
  readonly text: string;
  readonly fields: LogFields;
}

/** Describes how a session has ended and how much it has transferred. */
export function endRecord(
  { bytesRead, bytesWritten }: { readonly bytesRead: number; readonly bytesWritten: number },
  { reason, cause, duration }: SessionEnd,
): EndRecord {
  const why = cause === undefined ? reason : `${reason} (${withoutPlaceholders(textOf(cause))})`;
  return {
    text: `${why}, after ${
      Math.round(duration)
    } ms, ${bytesRead} bytes in, ${bytesWritten} bytes out`,
    fields: {
      reason,
      ...(cause !== undefined && { cause: factsOf(cause) }),
      duration,
      bytesRead,
      bytesWritten,
    },
  };
}
