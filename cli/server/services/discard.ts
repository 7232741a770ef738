import type { Session } from "../../../mod.ts";
import { transfer } from "./transfer.ts";

/** Reads and drops what comes, and says nothing (RFC 863). */
export function discard(session: Session): Promise<void> {
  return transfer(session, () => {});
}
