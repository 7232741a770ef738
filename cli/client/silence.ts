import type { Session, SessionEndedError } from "../../mod.ts";

/** What to say of a connection that was ended because of silence, if it was, and what to do about it. */
export function silenceOf({ reason }: SessionEndedError, session: Session): string | undefined {
  if (reason === "idle") {
    return `no byte came or went for ${session.idleTimeout} ms: try a longer --idle`;
  }
  if (reason === "read-idle") {
    return `no byte came for ${session.readIdleTimeout} ms: try a longer --read-idle`;
  }
}
