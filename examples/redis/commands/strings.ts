import type { Client } from "../client.ts";
import { RespError, type RespValue } from "@parley/tcp/codecs";
import { OK } from "../replies.ts";
import {
  type Arguments,
  type CommandTable,
  deadlineIn,
  fits,
  parseInteger,
  SYNTAX_ERROR,
  wrongArity,
} from "./command.ts";

const MAX_LENGTH = 512 * 1024 * 1024 - 64; // the maximum length of a JavaScript string

export const STRINGS: CommandTable = {
  get: { arity: 2, keys: [1, 1, 1], run: (args, { db }) => db.string(args[1]) ?? null },
  set: { arity: -3, keys: [1, 1, 1], run: set },
  mget: {
    arity: -2,
    keys: [1, -1, 1],
    run: ([, ...keys], { db }) =>
      keys.map((key) => {
        const value = db.get(key);
        return typeof value === "string" ? value : null;
      }),
  },
  mset: {
    arity: -3,
    keys: [1, -1, 2],
    run: (args, { db }) => {
      if (args.length % 2 === 0) return wrongArity("mset");
      for (let i = 1; i < args.length; i += 2) {
        db.set(args[i]!, args[i + 1]!);
        db.persist(args[i]!);
      }
      return OK;
    },
  },
  incr: { arity: 2, keys: [1, 1, 1], run: ([, key], client) => add(client, key, 1n) },
  decr: { arity: 2, keys: [1, 1, 1], run: ([, key], client) => add(client, key, -1n) },
  incrby: {
    arity: 3,
    keys: [1, 1, 1],
    run: ([, key, by], client) => add(client, key, parseInteger(by)),
  },
  append: {
    arity: 3,
    keys: [1, 1, 1],
    run: ([, key, tail], { db }) => {
      const text = db.string(key) ?? "";
      if (text.length + tail.length > MAX_LENGTH) {
        return new RespError("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
      }
      db.set(key, text + tail);
      return text.length + tail.length;
    },
  },
  strlen: { arity: 2, keys: [1, 1, 1], run: ([, key], { db }) => db.string(key)?.length ?? 0 },
};

function set(args: Arguments, { db }: Client): RespValue {
  const key = args[1];
  if (args.length === 3) {
    db.set(key, args[2]);
    db.persist(key);
    return OK;
  }
  const { condition, get, deadline } = setOptions(args);
  const old = get ? db.string(key) ?? null : undefined;
  const exists = db.get(key) !== undefined;
  if (condition !== undefined && exists === (condition === "nx")) return old ?? null;
  db.set(key, args[2]);
  if (deadline === undefined) db.persist(key);
  else db.expireAt(key, deadline);
  return old === undefined ? OK : old;
}

interface SetOptions {
  condition?: "nx" | "xx";
  get: boolean;
  deadline?: number;
}

function setOptions(args: Arguments): SetOptions {
  const options: SetOptions = { get: false };
  let lifetime: string | undefined;
  let unit = 1n;
  for (let i = 3; i < args.length; i++) {
    const word = args[i]!.toLowerCase();
    if (word === "get") options.get = true;
    else if (word === "nx" || word === "xx") {
      if ((options.condition ??= word) !== word) throw SYNTAX_ERROR;
    } else if (word === "ex" || word === "px") {
      if (lifetime !== undefined || i + 1 === args.length) throw SYNTAX_ERROR;
      lifetime = args[++i]!;
      unit = word === "ex" ? 1000n : 1n;
    } else throw SYNTAX_ERROR;
  }
  if (lifetime !== undefined) {
    const milliseconds = parseInteger(lifetime) * unit;
    if (milliseconds <= 0n) throw new RespError("ERR invalid expire time in 'set' command");
    options.deadline = deadlineIn(milliseconds, "set");
  }
  return options;
}

function add({ db }: Client, key: string, by: bigint): RespValue {
  const value = parseInteger(db.string(key) ?? "0") + by;
  if (!fits(value)) return new RespError("ERR increment or decrement would overflow");
  db.set(key, String(value));
  return value;
}
