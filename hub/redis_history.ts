/** The history of a bus over Redis: a stream for each group. */

import type { HistoryEntry, HistoryPage } from "./bus.ts";
import { type HistoryOptions, PAGE_LENGTH, PAGE_SIZE } from "./history_options.ts";
import type { Unstored } from "./store_queue.ts";

/** The largest message that is read, in bytes. Hubs publish none that is larger. */
const MAX_ENTRY = 1024 * 1024;
/** A message that was stored begins with this byte, where others have the version of their format. */
const STORED = 2;

/**
 * Stores messages, and sends them to the subscribers with their positions. The first key has the number of the last batch
 * of this bus, so that a batch that is sent again is stored once. What cannot be stored is sent without a position.
 */
const STORE = `
local length, age = ARGV[2], tonumber(ARGV[3])
if tonumber(redis.call('GET', KEYS[1]) or '0') >= tonumber(ARGV[1]) then return {} end
redis.call('SET', KEYS[1], ARGV[1], 'EX', 3600)
local time = redis.call('TIME')
local oldest = string.format('%.0f', math.max(0, time[1] * 1000 - age))
local errors = {}
for i = 2, #KEYS do
  local key, message = KEYS[i], ARGV[i + 2]
  local last = redis.pcall('XREVRANGE', key, '+', '-', 'COUNT', 1)
  local id = last.err and last or
    redis.pcall('XADD', key, 'MAXLEN', '~', length, '*', 'message', message)
  if id.err then
    errors[#errors + 1] = id.err
  else
    redis.call('XTRIM', key, 'MINID', '~', oldest)
    redis.call('PEXPIRE', key, age)
    local previous = last[1] and last[1][1] or '0'
    message = string.char(${STORED}, #id, #previous) .. id .. previous .. message
  end
  redis.call('PUBLISH', key, message)
end
return errors`;

/**
 * Reads what follows a position. Returns whether the position is that of an entry, whether there is no more, and each
 * entry's position with its message, or with the number of its bytes if it is not one of a hub.
 */
const READ = `
local after, max = ARGV[1], tonumber(ARGV[4])
local first = redis.call('XRANGE', KEYS[1], after, '+', 'COUNT', 1)[1]
local found = { first and first[1] == after and 1 or 0, 1 }
local size = 0
while #found < 2 + 2 * ARGV[2] and size < tonumber(ARGV[3]) do
  local entry = redis.call('XRANGE', KEYS[1], '(' .. after, '+', 'COUNT', 1)[1]
  if not entry then return found end
  after = entry[1]
  local fields, bytes = entry[2], 0
  for _, field in ipairs(fields) do bytes = bytes + #field end
  found[#found + 1] = after
  if #fields == 2 and fields[1] == 'message' and #fields[2] <= max then
    found[#found + 1] = fields[2]
    size = size + bytes
  else
    found[#found + 1] = fields[1] == 'begin' and -1 or bytes
  end
end
found[2] = #redis.call('XRANGE', KEYS[1], '(' .. after, '+', 'COUNT', 1) == 0 and 1 or 0
return found`;

/** Finds the position before the last entries. An empty stream gets an entry, so that each position is that of one. */
const TAIL = `
local count = tonumber(ARGV[1])
local entries = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', count + 1)
if #entries == 0 then
  local id = redis.call('XADD', KEYS[1], '*', 'begin', '')
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return count == 0 and id or '0'
end
return entries[count + 1] and entries[count + 1][1] or '0'`;

/** Runs a script. Texts in the answer are bytes. */
type Run = (
  script: string,
  keys: readonly string[],
  args: readonly (string | Uint8Array)[],
) => Promise<unknown>;

/** Streams of Redis, by the keys of groups. */
export class RedisStreams {
  readonly #run: Run;
  readonly #maxMessages: string;
  readonly #maxAge: string;
  readonly #batches: string;
  readonly #onError: (error: unknown) => void;

  /** `batches` is the key for the number of the last batch. */
  constructor(
    { maxMessages, maxAge }: Required<HistoryOptions>,
    batches: string,
    run: Run,
    onError: (error: unknown) => void,
  ) {
    this.#maxMessages = `${maxMessages}`;
    this.#maxAge = `${maxAge}`;
    this.#batches = batches;
    this.#run = run;
    this.#onError = onError;
  }

  async store(batch: readonly Unstored[], number: number, keys: readonly string[]): Promise<void> {
    const errors = await this.#run(STORE, [this.#batches, ...keys], [
      ...[`${number}`, this.#maxMessages, this.#maxAge],
      ...batch.map(({ bytes }) => bytes),
    ]);
    for (const error of errors as Uint8Array[]) {
      this.#onError(new Error(`a message is not kept: ${textOf(error)}`));
    }
  }

  async read(key: string, after: string): Promise<HistoryPage> {
    const limits = [PAGE_LENGTH, PAGE_SIZE, MAX_ENTRY].map(String);
    const [isFound, isLast, ...found] = await this.#run(READ, [key], [after, ...limits]) as [
      number,
      number,
      ...(Uint8Array | number)[],
    ];
    const entries: HistoryEntry[] = [];
    for (let at = 0; at < found.length; at += 2) {
      const position = textOf(found[at] as Uint8Array);
      const content = found[at + 1]!;
      if (typeof content !== "number") entries.push({ position, message: content });
      else {
        entries.push({ position });
        if (content >= 0) this.#onError(strange(key, position, content));
      }
    }
    return { entries, isComplete: after === "0" || isFound === 1, isLast: isLast === 1 };
  }

  async tail(key: string, count: number): Promise<string> {
    return textOf(await this.#run(TAIL, [key], [`${count}`, this.#maxAge]) as Uint8Array);
  }
}

/** Calls a listener with a message of a channel, and where it was stored, if it was. */
export function receive(
  bytes: Uint8Array,
  onMessage: (message: Uint8Array, position?: string, previous?: string) => void,
): void {
  if (bytes[0] !== STORED) return onMessage(bytes);
  const [, length = 0, previousLength = 0] = bytes;
  const end = 3 + length;
  onMessage(
    bytes.subarray(end + previousLength),
    textOf(bytes.subarray(3, end)),
    textOf(bytes.subarray(end, end + previousLength)),
  );
}

const decoder = new TextDecoder();

function textOf(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

function strange(key: string, position: string, size: number): Error {
  return new Error(
    `the entry ${position} of the stream ${
      JSON.stringify(key)
    }, with ${size} bytes, is no message of a hub`,
  );
}
