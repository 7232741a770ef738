import type { Lifecycle } from "./lifecycle.ts";

/** What other rooms of this package may know of a session. */
export interface Inside {
  readonly life: Lifecycle;
  /** Whether it is a session of a server. */
  readonly isServed: boolean;
}

/** Looks into a session. `session.ts` sets it, since only the class has access. */
export let insideOf: (session: object) => Inside;

export function setInsideOf(look: typeof insideOf): void {
  insideOf = look;
}
