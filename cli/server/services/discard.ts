import type { Session } from "../../../mod.ts";
import { transfer } from "./transfer.ts";

/** Reads and drops all input, and sends nothing (RFC 863). */
export function discard(session: Session): Promise<void> {
  return transfer(session, () => {});
}
