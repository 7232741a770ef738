import type { Session } from "../../../mod.ts";
import { transfer } from "./transfer.ts";

/** Sends all input back (RFC 862). A client that does not read its output is not read any further. */
export function echo(session: Session): Promise<void> {
  return transfer(session, (chunk) => session.send(chunk));
}
