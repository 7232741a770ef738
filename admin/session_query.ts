import { NUMBERS, type SessionQuery, TEXTS } from "../serve/session_list.ts";
import { HttpError } from "./http.ts";

const MAX_LIMIT = 500;
const DEFAULT_LIMIT = 50;
/** The highest number of the first session of a page. */
const MAX_OFFSET = 1_000_000;
/** The longest text to search for. */
const MAX_SEARCH = 200;

/** Reads the parameters of a request. */
export function readQuery(query: URLSearchParams): SessionQuery {
  const state = oneOf(query, "state", ["open", "ended"]);
  const isEnded = state === "ended";
  const minima: SessionQuery["minima"] = [];
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
    offset: whole(query, "offset", 0, MAX_OFFSET),
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
