import type { SessionPage, SessionQuery } from "../serve/session_list.ts";

/** A question about the sessions of workers: a page of them, or to end one. */
export type SessionsQuestion =
  | { readonly kind: "page"; readonly query: SessionQuery }
  | { readonly kind: "end"; readonly id: number };

/** A page, or whether the session was there. */
export type SessionsAnswer = SessionPage | boolean;

/** What other rooms of this package may ask a server with workers. */
export interface WorkersInside {
  /** Lets all workers, also those that start later, remember the sessions that have ended. */
  rememberSessions(): void;
  /** Asks one worker, or all. The answers have the numbers of their workers; those that do not answer in time have none. */
  askSessions(question: SessionsQuestion, worker?: number): Promise<[number, SessionsAnswer][]>;
}

/**
 * Looks into a server with workers; `undefined` if it is something else. `serve_workers.ts` sets it, since only the class
 * has access.
 */
export let insideOfWorkers: (server: object) => WorkersInside | undefined = (): undefined =>
  undefined;

export function setInsideOfWorkers(look: typeof insideOfWorkers): void {
  insideOfWorkers = look;
}
