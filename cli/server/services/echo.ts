import type { Session } from "../../../mod.ts";
import { transfer } from "./transfer.ts";

/** Sends back what comes (RFC 862). Who does not take it back is read no further. */
export function echo(session: Session): Promise<void> {
  return transfer(session, (chunk) => session.send(chunk));
}
