/** What is told of the sessions of a server, open and ended. */

import { textOf } from "../_internal/thrown.ts";
import type { SessionEnd } from "../errors.ts";
import type { Server } from "./options.ts";
import { insideOf } from "../session/inside.ts";
import type { Session } from "../session.ts";
import { type Address, formatAddress } from "../transport/connection.ts";

/** How many ended sessions are remembered. */
const MAX_ENDED = 10_000;
/** The longest text of a cause, which a peer can choose. */
const MAX_CAUSE = 300;

/** The facts of a session. Times are in milliseconds. */
export interface SessionRow {
  /** The worker that serves it. The number of the session is one among those of its worker. */
  worker?: number;
  id: number;
  address: string;
  startedAt: number;
  /** Since it began, or how long it lasted. */
  age: number;
  bytesRead: number;
  bytesWritten: number;
  tls?: string;
  subject?: string;
  /** Of an open session. */
  unread?: number;
  unsent?: number;
  idle?: number;
  /** Of an ended one. */
  endedAt?: number;
  reason?: string;
  cause?: string;
}

/** What is remembered of an ended session: its row is made when somebody asks. */
interface Ended {
  id: number;
  address: Address;
  startedAt: number;
  reason: SessionEnd["reason"];
  duration: number;
  cause: string | undefined;
  bytesRead: number;
  bytesWritten: number;
}

/** Which sessions are asked for, and in which order. */
export interface SessionQuery {
  isEnded: boolean;
  sort: string;
  direction: 1 | -1;
  reason: string | null;
  /** In lower case. */
  search: string;
  /** The least value of a number. */
  minima: [key: string, least: number][];
  offset: number;
  limit: number;
}

/** A part of the sessions. */
export interface SessionPage {
  /** How many sessions there are, and how many match. */
  total: number;
  matching: number;
  sessions: SessionRow[];
}

/** The sessions of one server. */
export class SessionList {
  readonly #server: Pick<Server, "sessions" | "observe">;
  readonly #ended: Ended[] = [];
  /** Where the next ended session goes, once there are `MAX_ENDED`. */
  #oldest = 0;
  readonly #stop: () => void;

  constructor(server: Pick<Server, "sessions" | "observe">) {
    this.#server = server;
    this.#stop = server.observe({ onSessionEnd: (session, end) => this.#remember(session, end) });
  }

  stop(): void {
    this.#stop();
  }

  /** Ends an open session. Returns whether there is one with this number. */
  end(id: number): boolean {
    for (const session of this.#server.sessions) {
      if (session.id !== id) continue;
      session.abort(new Error("ended by an administrator"));
      return true;
    }
    return false;
  }

  /** The page of sessions that a query asks for. */
  page(query: SessionQuery): SessionPage {
    return query.isEnded
      ? pageOf(this.#ended, query, ENDED, rowOfEnded)
      : pageOf([...this.#server.sessions], query, OPEN, rowOfOpen);
  }

  #remember(session: Session, { reason, duration, cause }: SessionEnd): void {
    const { id, remoteAddr, startedAt, bytesRead, bytesWritten } = session;
    const ended: Ended = {
      id,
      address: remoteAddr,
      startedAt: startedAt.getTime(),
      reason,
      duration,
      cause: cause === undefined ? undefined : textOf(cause).slice(0, MAX_CAUSE),
      bytesRead,
      bytesWritten,
    };
    if (this.#ended.length < MAX_ENDED) this.#ended.push(ended);
    else {
      this.#ended[this.#oldest] = ended;
      this.#oldest = (this.#oldest + 1) % MAX_ENDED;
    }
  }
}

/** The numbers of a session by their names. What is missing is 0. `now` is in milliseconds since 1970. */
type Numbers<One> = Readonly<Record<string, (one: One, now: number) => number>>;

/** The page of some sessions. Sorted by a number, rows are made only of those on the page: that takes a fifth of the time. */
function pageOf<One>(
  all: readonly One[],
  query: SessionQuery,
  numbers: Numbers<One>,
  rowOf: (one: One, now: number) => SessionRow,
): SessionPage {
  const { reason, search, minima, sort, direction, offset, limit } = query;
  const now = Date.now();
  const large = minima.length === 0
    ? all
    : all.filter((one) => minima.every(([key, least]) => (numbers[key]?.(one, now) ?? 0) >= least));
  if (reason !== null || search !== "" || TEXTS.includes(sort)) {
    const rows = large.map((one) => rowOf(one, now)).filter((row) =>
      (reason === null || row.reason === reason) && (search === "" || textIn(row).includes(search))
    );
    const sessions = sortRows(rows, query).slice(offset, offset + limit);
    return { total: all.length, matching: rows.length, sessions };
  }
  const keys = Float64Array.from(large, (one) => numbers[sort]?.(one, now) ?? 0);
  const order = [...keys.keys()].sort((one, other) => direction * (keys[one]! - keys[other]!));
  const sessions = order.slice(offset, offset + limit).map((at) => rowOf(large[at]!, now));
  return { total: all.length, matching: large.length, sessions };
}

/** Sorts sessions as a query asks for. */
export function sortRows(rows: SessionRow[], { sort, direction }: SessionQuery): SessionRow[] {
  return rows.sort((one, other) => direction * compare(one, other, sort));
}

/** The numbers of an open session. */
const OPEN: Numbers<Session> = {
  id: ({ id }) => id,
  age: ({ startedAt }, now) => now - startedAt.getTime(),
  bytesRead: ({ bytesRead }) => bytesRead,
  bytesWritten: ({ bytesWritten }) => bytesWritten,
  bytes: ({ bytesRead, bytesWritten }) => bytesRead + bytesWritten,
  unread: (session) => insideOf(session).life.reader.input.unread,
  unsent: ({ bytesBuffered }) => bytesBuffered,
  idle: (session) => insideOf(session).life.idleFor,
  startedAt: ({ startedAt }) => startedAt.getTime(),
};

/** The numbers of an ended session. */
const ENDED: Numbers<Ended> = {
  id: ({ id }) => id,
  age: ({ duration }) => Math.round(duration),
  bytesRead: ({ bytesRead }) => bytesRead,
  bytesWritten: ({ bytesWritten }) => bytesWritten,
  bytes: ({ bytesRead, bytesWritten }) => bytesRead + bytesWritten,
  startedAt: ({ startedAt }) => startedAt,
  endedAt: ({ startedAt, duration }) => startedAt + Math.round(duration),
};

function rowOfOpen(session: Session, now: number): SessionRow {
  const { id, remoteAddr, bytesRead, bytesWritten, bytesBuffered: unsent, tls } = session;
  const { life } = insideOf(session);
  const startedAt = session.startedAt.getTime();
  return {
    id,
    address: formatAddress(remoteAddr),
    startedAt,
    age: now - startedAt,
    bytesRead,
    bytesWritten,
    unread: life.reader.input.unread,
    unsent,
    idle: life.idleFor,
    ...(tls && { tls: [tls.protocol, tls.serverName, tls.alpn].filter(Boolean).join(" ") }),
    ...(tls?.peerCertificate && { subject: tls.peerCertificate.subject }),
  };
}

function rowOfEnded(
  { id, address, startedAt, reason, duration, cause, bytesRead, bytesWritten }: Ended,
): SessionRow {
  const age = Math.round(duration);
  return {
    id,
    address: formatAddress(address),
    startedAt,
    age,
    bytesRead,
    bytesWritten,
    endedAt: startedAt + age,
    reason,
    ...(cause !== undefined && { cause }),
  };
}

/** What sessions can be sorted by, and numbers also be filtered by. */
export const NUMBERS: readonly string[] = [
  ...["id", "age", "bytesRead", "bytesWritten", "bytes", "unread", "unsent", "idle"],
  ...["startedAt", "endedAt"],
];
export const TEXTS: readonly string[] = ["address", "reason"];

function numberIn(row: SessionRow, key: string): number {
  if (key === "bytes") return row.bytesRead + row.bytesWritten;
  return row[key as "age"] ?? 0;
}

function compare(one: SessionRow, other: SessionRow, sort: string): number {
  if (!TEXTS.includes(sort)) return numberIn(one, sort) - numberIn(other, sort);
  const [a, b] = [one[sort as "address"] ?? "", other[sort as "address"] ?? ""];
  return a < b ? -1 : a > b ? 1 : one.id - other.id;
}

function textIn({ id, address, reason, cause, tls, subject }: SessionRow): string {
  return `#${id} ${address} ${reason ?? ""} ${cause ?? ""} ${tls ?? ""} ${subject ?? ""}`
    .toLowerCase();
}
