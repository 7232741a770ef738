import type { Client } from "../client.ts";
import { RESP_NULL_ARRAY, RespError, type RespValue } from "@parley/tcp/codecs";
import { List } from "../store.ts";
import { type Arguments, type CommandTable, parseInteger, wrongArity } from "./command.ts";

type Hash = Map<string, string>;
const Hash = Map<string, string>;
type Members = Set<string>;
const Members = Set<string>;

const NOT_POSITIVE = new RespError("ERR value is out of range, must be positive");

export const LISTS: CommandTable = {
  lpush: {
    arity: -3,
    keys: [1, 1, 1],
    run: (args, { db }) => {
      const list = db.ensure(args[1], List);
      for (let i = 2; i < args.length; i++) list.unshift(args[i]!);
      return list.length;
    },
  },
  rpush: {
    arity: -3,
    keys: [1, 1, 1],
    run: (args, { db }) => {
      const list = db.ensure(args[1], List);
      for (let i = 2; i < args.length; i++) list.push(args[i]!);
      return list.length;
    },
  },
  lpop: {
    arity: -2,
    keys: [1, 1, 1],
    run: (args, client) => pop("lpop", args, client, (list) => list.shift()),
  },
  rpop: {
    arity: -2,
    keys: [1, 1, 1],
    run: (args, client) => pop("rpop", args, client, (list) => list.pop()),
  },
  llen: {
    arity: 2,
    keys: [1, 1, 1],
    run: ([, key], { db }) => db.instance(key, List)?.length ?? 0,
  },
  lrange: {
    arity: 4,
    keys: [1, 1, 1],
    run: ([, key, start, stop], { db }) => {
      const [first, last] = [Number(parseInteger(start)), Number(parseInteger(stop))];
      const list = db.instance(key, List);
      if (list === undefined) return [];
      const from = Math.max(0, first < 0 ? first + list.length : first);
      const to = Math.min(list.length - 1, last < 0 ? last + list.length : last);
      const items: string[] = [];
      for (let i = from; i <= to; i++) items.push(list.at(i));
      return items;
    },
  },
};

function pop(
  name: string,
  args: Arguments,
  { db }: Client,
  take: (list: List) => string,
): RespValue {
  if (args.length > 3) return wrongArity(name);
  const [, key] = args;
  const wanted: string | undefined = args[2];
  const count = wanted === undefined ? 1 : parseCount(wanted);
  const list = db.instance(key, List);
  if (list === undefined) return wanted === undefined ? null : RESP_NULL_ARRAY;
  const items: string[] = [];
  while (items.length < count && list.length > 0) items.push(take(list));
  if (list.length === 0) db.delete(key);
  return wanted === undefined ? items[0]! : items;
}

function parseCount(text: string): number {
  const count = Number(parseInteger(text, NOT_POSITIVE));
  if (count < 0) throw NOT_POSITIVE;
  return count;
}

export const HASHES: CommandTable = {
  hset: {
    arity: -4,
    keys: [1, 1, 1],
    run: (args, { db }) => {
      if (args.length % 2 === 1) return wrongArity("hset");
      const hash = db.ensure(args[1], Hash);
      const before = hash.size;
      for (let i = 2; i < args.length; i += 2) hash.set(args[i]!, args[i + 1]!);
      return hash.size - before;
    },
  },
  hget: {
    arity: 3,
    keys: [1, 1, 1],
    run: ([, key, field], { db }) => db.instance(key, Hash)?.get(field) ?? null,
  },
  hgetall: {
    arity: 2,
    keys: [1, 1, 1],
    run: ([, key], { db }) => db.instance(key, Hash) ?? new Hash(),
  },
  hdel: {
    arity: -3,
    keys: [1, 1, 1],
    run: (args, client) => remove(args, client, client.db.instance(args[1], Hash)),
  },
};

export const SETS: CommandTable = {
  sadd: {
    arity: -3,
    keys: [1, 1, 1],
    run: (args, { db }) => {
      const members = db.ensure(args[1], Members);
      const before = members.size;
      for (let i = 2; i < args.length; i++) members.add(args[i]!);
      return members.size - before;
    },
  },
  srem: {
    arity: -3,
    keys: [1, 1, 1],
    run: (args, client) => remove(args, client, client.db.instance(args[1], Members)),
  },
  smembers: {
    arity: 2,
    keys: [1, 1, 1],
    run: ([, key], { db }) => db.instance(key, Members) ?? new Members(),
  },
  sismember: {
    arity: 3,
    keys: [1, 1, 1],
    run: ([, key, member], { db }) => Number(db.instance(key, Members)?.has(member) ?? false),
  },
};

/** Removes items of a hash or a set. If it becomes empty, its key is removed. */
function remove(args: Arguments, { db }: Client, from: Hash | Members | undefined): RespValue {
  let removed = 0;
  if (from === undefined) return removed;
  for (let i = 2; i < args.length; i++) if (from.delete(args[i]!)) removed++;
  if (from.size === 0) db.delete(args[1]);
  return removed;
}
