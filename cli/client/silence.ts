import type { Session, SessionEndedError } from "../../mod.ts";

/** The message for a connection that was ended because of silence, and what to do about it; `undefined` for others. */
export function silenceOf({ reason }: SessionEndedError, session: Session): string | undefined {
  if (reason === "idle") {
    return `no byte came or went for ${session.idleTimeout} ms: try a longer --idle`;
  }
  if (reason === "read-idle") {
    return `no byte came for ${session.readIdleTimeout} ms: try a longer --read-idle`;
  }
}
