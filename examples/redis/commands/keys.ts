import type { Client } from "../client.ts";
import { RespError, respStatus, type RespValue } from "@parley/tcp/codecs";
import { OK } from "../replies.ts";
import { List, type Value } from "../store.ts";
import {
  type Arguments,
  type CommandTable,
  deadlineIn,
  parseInteger,
  SYNTAX_ERROR,
} from "./command.ts";

const NX_EXCLUDES = new RespError(
  "ERR NX and XX, GT or LT options at the same time are not compatible",
);
const GT_EXCLUDES_LT = new RespError(
  "ERR GT and LT options at the same time are not compatible",
);

export const KEYS: CommandTable = {
  del: {
    arity: -2,
    keys: [1, -1, 1],
    run: ([, ...keys], { db }) => keys.filter((key) => db.delete(key)).length,
  },
  exists: {
    arity: -2,
    keys: [1, -1, 1],
    run: ([, ...keys], { db }) => keys.filter((key) => db.get(key) !== undefined).length,
  },
  expire: {
    arity: -3,
    keys: [1, 1, 1],
    run: expire,
  },
  ttl: { arity: 2, keys: [1, 1, 1], run: ([, key], client) => ttl(client, key) },
  persist: {
    arity: 2,
    keys: [1, 1, 1],
    run: ([, key], { db }) => Number(db.get(key) !== undefined && db.persist(key)),
  },
  type: { arity: 2, keys: [1, 1, 1], run: ([, key], { db }) => respStatus(typeOf(db.get(key))) },
  keys: {
    arity: 2,
    run: ([, pattern], { db }) => [...db.keys()].filter((key) => matches(key, pattern)),
  },
  dbsize: { arity: 1, run: (_, { db }) => db.size },
  flushall: {
    arity: -1,
    run: ([, mode, ...rest], { instance }) => {
      if (mode !== undefined && (!/^a?sync$/i.test(mode) || rest.length > 1)) return SYNTAX_ERROR;
      for (const db of instance.databases) db.clear();
      return OK;
    },
  },
};

function expire([, key, seconds, ...options]: Arguments, { db }: Client): RespValue {
  const conditions = new Set(options.map((option) => option.toLowerCase()));
  const unknown = options.find((option) => !/^(nx|xx|gt|lt)$/i.test(option));
  if (unknown !== undefined) return new RespError(`ERR Unsupported option ${unknown}`);
  if (conditions.has("nx") && conditions.size > 1) return NX_EXCLUDES;
  if (conditions.has("gt") && conditions.has("lt")) return GT_EXCLUDES_LT;
  const deadline = deadlineIn(parseInteger(seconds) * 1000n, "expire");
  if (db.get(key) === undefined) return 0;
  const present = db.deadline(key);
  const isUnwanted = (conditions.has("nx") && present !== undefined) ||
    (conditions.has("xx") && present === undefined) ||
    (conditions.has("gt") && deadline <= (present ?? Infinity)) ||
    (conditions.has("lt") && deadline >= (present ?? Infinity));
  if (isUnwanted) return 0;
  db.expireAt(key, deadline);
  return 1;
}

/** The time to live in rounded seconds; -1 if the key does not expire, -2 without a key. */
function ttl({ db }: Client, key: string): RespValue {
  if (db.get(key) === undefined) return -2;
  const deadline = db.deadline(key);
  return deadline === undefined ? -1 : Math.round((deadline - Date.now()) / 1000);
}

function typeOf(value: Value | undefined): string {
  if (value === undefined) return "none";
  if (typeof value === "string") return "string";
  return value instanceof List ? "list" : value instanceof Set ? "set" : "hash";
}

/**
 * Whether a key matches a pattern of `*`, `?`, `[a-z]`, `[^a]` and `\x`.
 *
 * Only the last star is ever tried again, further on: an earlier star could match nothing that the last one cannot. So a
 * pattern of many stars cannot keep the server busy, unlike a regular expression.
 */
export function matches(key: string, pattern: string): boolean {
  let [k, p] = [0, 0];
  let [starAt, keyAtStar] = [-1, 0];
  while (k < key.length) {
    const length = pattern[p] === "*" ? 0 : matchOne(key[k]!, pattern, p);
    if (pattern[p] === "*") [starAt, keyAtStar] = [p++, k];
    else if (length > 0) [k, p] = [k + 1, p + length];
    else if (starAt >= 0) [k, p] = [++keyAtStar, starAt + 1];
    else return false;
  }
  while (pattern[p] === "*") p++;
  return p === pattern.length;
}

/** The length of the part of the pattern at `at` that matches the character; 0 if none does. */
function matchOne(character: string, pattern: string, at: number): number {
  switch (pattern[at]) {
    case "?":
      return 1;
    case "[":
      return matchClass(character, pattern, at);
    case "\\":
      if (at + 1 < pattern.length) return pattern[at + 1] === character ? 2 : 0;
  }
  return pattern[at] === character ? 1 : 0;
}

/** The same for a class of characters. An unclosed class ends with the pattern. */
function matchClass(character: string, pattern: string, at: number): number {
  const isNegated = pattern[at + 1] === "^";
  let isMember = false;
  let i = at + (isNegated ? 2 : 1);
  for (; i < pattern.length && pattern[i] !== "]"; i++) {
    if (pattern[i] === "\\" && i + 1 < pattern.length) {
      isMember ||= pattern[++i] === character;
    } else if (pattern[i + 1] === "-" && i + 2 < pattern.length) {
      const [low, high] = [pattern[i]!, pattern[i + 2]!].sort() as [string, string];
      isMember ||= low <= character && character <= high;
      i += 2;
    } else isMember ||= pattern[i] === character;
  }
  return isMember === isNegated ? 0 : Math.min(i + 1, pattern.length) - at;
}
