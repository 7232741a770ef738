/** The sessions of a server, open and ended, as JSON. */

import { textOf } from "../_internal/thrown.ts";
import type { SessionEnd } from "../errors.ts";
import type { Server } from "../serve/options.ts";
import { insideOf } from "../session/inside.ts";
import type { Session } from "../session.ts";
import { type Address, formatAddress } from "../transport/connection.ts";
import { HttpError } from "./http.ts";

/** How many ended sessions are remembered. */
const MAX_ENDED = 10_000;
/** The longest text of a cause, which a peer can choose. */
const MAX_CAUSE = 300;
const MAX_LIMIT = 500;
const DEFAULT_LIMIT = 50;
/** The longest text to search for. */
const MAX_SEARCH = 200;

/** The facts of a session. Times are in milliseconds. */
interface Row {
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
  end: Omit<SessionEnd, "cause">;
  cause: string | undefined;
  bytesRead: number;
  bytesWritten: number;
}

/** The sessions of one server. */
export class SessionList {
  readonly #server: Server;
  readonly #ended: Ended[] = [];
  /** Where the next ended session goes, once there are `MAX_ENDED`. */
  #oldest = 0;
  readonly #stop: () => void;

  constructor(server: Server) {
    this.#server = server;
    this.#stop = server.observe({ onSessionEnd: (session, end) => this.#remember(session, end) });
  }

  stop(): void {
    this.#stop();
  }

  /** The open session with a number. */
  find(id: unknown): Session | undefined {
    for (const session of this.#server.sessions) if (session.id === id) return session;
  }

  /** The page of sessions that a query asks for. */
  page(query: URLSearchParams): { total: number; matching: number; sessions: Row[] } {
    const { isEnded, sort, direction, reason, search, minima, offset, limit } = read(query);
    const all = isEnded ? this.#ended.map(rowOfEnded) : this.#open();
    const matching = all.filter((row) =>
      (reason === null || row.reason === reason) &&
      minima.every(([key, least]) => numberIn(row, key) >= least) &&
      (search === "" || textIn(row).includes(search))
    );
    matching.sort((one, other) => direction * compare(one, other, sort));
    return {
      total: all.length,
      matching: matching.length,
      sessions: matching.slice(offset, offset + limit),
    };
  }

  #open(): Row[] {
    const now = Date.now();
    return Array.from(this.#server.sessions, (session) => rowOfOpen(session, now));
  }

  #remember(session: Session, { reason, duration, cause }: SessionEnd): void {
    const { id, remoteAddr, startedAt, bytesRead, bytesWritten } = session;
    const ended: Ended = {
      id,
      address: remoteAddr,
      startedAt: startedAt.getTime(),
      end: { reason, duration },
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

function rowOfOpen(session: Session, now: number): Row {
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

function rowOfEnded({ id, address, startedAt, end, cause, bytesRead, bytesWritten }: Ended): Row {
  const age = Math.round(end.duration);
  return {
    id,
    address: formatAddress(address),
    startedAt,
    age,
    bytesRead,
    bytesWritten,
    endedAt: startedAt + age,
    reason: end.reason,
    ...(cause !== undefined && { cause }),
  };
}

const NUMBERS = [
  ...["id", "age", "bytesRead", "bytesWritten", "bytes", "unread", "unsent", "idle"],
  ...["startedAt", "endedAt"],
];
const TEXTS = ["address", "reason"];

function numberIn(row: Row, key: string): number {
  if (key === "bytes") return row.bytesRead + row.bytesWritten;
  return row[key as "age"] ?? 0;
}

function compare(one: Row, other: Row, sort: string): number {
  if (!TEXTS.includes(sort)) return numberIn(one, sort) - numberIn(other, sort);
  const [a, b] = [one[sort as "address"] ?? "", other[sort as "address"] ?? ""];
  return a < b ? -1 : a > b ? 1 : one.id - other.id;
}

function textIn({ id, address, reason, cause, tls, subject }: Row): string {
  return `#${id} ${address} ${reason ?? ""} ${cause ?? ""} ${tls ?? ""} ${subject ?? ""}`
    .toLowerCase();
}

interface Query {
  isEnded: boolean;
  sort: string;
  direction: 1 | -1;
  reason: string | null;
  search: string;
  /** The least value of a number. */
  minima: [key: string, least: number][];
  offset: number;
  limit: number;
}

function read(query: URLSearchParams): Query {
  const state = oneOf(query, "state", ["open", "ended"]);
  const isEnded = state === "ended";
  const minima: Query["minima"] = [];
  for (const key of NUMBERS) {
    const name = `min${key[0]!.toUpperCase()}${key.slice(1)}`;
    if (query.has(name)) minima.push([key, whole(query, name, 0, Number.MAX_SAFE_INTEGER)]);
  }
  return {
    isEnded,
    sort: query.has("sort")
      ? oneOf(query, "sort", [...NUMBERS, ...TEXTS])
      : isEnded
      ? "endedAt"
      : "id",
    direction: oneOf(query, "order", ["desc", "asc"]) === "asc" ? 1 : -1,
    reason: query.get("reason") || null,
    search: (query.get("search") ?? "").slice(0, MAX_SEARCH).toLowerCase(),
    minima,
    offset: whole(query, "offset", 0, Number.MAX_SAFE_INTEGER),
    limit: whole(query, "limit", DEFAULT_LIMIT, MAX_LIMIT),
  };
}

/** A parameter that is one of these; the first is the default. */
function oneOf(query: URLSearchParams, name: string, values: readonly string[]): string {
  const value = query.get(name) ?? values[0]!;
  if (values.includes(value)) return value;
  throw new HttpError(400, `${name} must be one of ${values.join(", ")}`);
}

function whole(query: URLSearchParams, name: string, otherwise: number, most: number): number {
  const text = query.get(name);
  if (text === null) return otherwise;
  if (/^\d{1,16}$/.test(text) && Number(text) <= most) return Number(text);
  throw new HttpError(400, `${name} must be a whole number from 0 to ${most}`);
}
