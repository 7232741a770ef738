/** The sessions of a server, whether they are in this thread or in workers. */

import {
  SessionList,
  type SessionPage,
  type SessionQuery,
  sortRows,
} from "../serve/session_list.ts";
import { insideOfWorkers, type WorkersInside } from "../workers/inside.ts";
import { isLocal, type ServedBy } from "./servers.ts";

/** The sessions of a server. */
export interface Sessions {
  page(query: SessionQuery): SessionPage | Promise<SessionPage>;
  /** Ends an open session. Returns whether there is one with this number. */
  end(id: number, worker: number | undefined): boolean | Promise<boolean>;
  /** Remembers no more. */
  stop(): void;
}

/** The sessions of a server, which are remembered from now on when they have ended. */
export function sessionsOf(server: ServedBy): Sessions {
  return isLocal(server) ? new SessionList(server) : new WorkerSessions(insideOfWorkers(server)!);
}

class WorkerSessions implements Sessions {
  readonly #inside: WorkersInside;

  constructor(inside: WorkersInside) {
    this.#inside = inside;
    inside.rememberSessions();
  }

  async page(query: SessionQuery): Promise<SessionPage> {
    const { offset, limit } = query;
    const whole: SessionPage = { total: 0, matching: 0, sessions: [] };
    const mine = { ...query, offset: 0, limit: offset + limit };
    for (const [worker, answer] of await this.#inside.askSessions({ kind: "page", query: mine })) {
      const { total, matching, sessions } = answer as SessionPage;
      whole.total += total;
      whole.matching += matching;
      for (const session of sessions) whole.sessions.push({ worker, ...session });
    }
    whole.sessions = sortRows(whole.sessions, query).slice(offset, offset + limit);
    return whole;
  }

  async end(id: number, worker: number | undefined): Promise<boolean> {
    if (worker === undefined) return false;
    const [answer] = await this.#inside.askSessions({ kind: "end", id }, worker);
    return answer?.[1] === true;
  }

  stop(): void {} // they end with their threads
}
