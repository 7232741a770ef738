/**
 * Feeds codecs and the PROXY protocol with random bytes and with broken copies of good input, for a bounded time.
 *
 *     deno task fuzz                 30 seconds, from a random seed
 *     deno task fuzz 300 1234        300 seconds, from this seed
 *
 * Whatever comes, a decoder throws nothing but the documented errors, holds no more than its cap and one read, and
 * makes the same of it however it is cut.
 */

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { randomFrom } from "../testing/disturb.ts";
import type { Codec, FrameWriter } from "../codecs/codec.ts";
import {
  delimited,
  fixed,
  headerPrefixed,
  jsonLines,
  lengthPrefixed,
  lines,
  netstring,
  octetCounted,
  respClient,
  respServer,
  type RespValue,
} from "../codecs/mod.ts";
import { FrameTooLargeError, MalformedFrameError, TruncatedFrameError } from "../errors.ts";
import { encodeProxyHeader } from "../proxy_protocol/mod.ts";
import { anyHeader } from "./_any_header.ts";
import { concat, decode, encode } from "./_codecs.ts";
import { assertDecided } from "./_proxy_headers.ts";

const CAP = 5000;

interface Target {
  codec: Codec<unknown, never>;
  message: (random: Random) => unknown;
}

const version3 = respServer();
version3.version = 3;

export const TARGETS: Record<string, Target> = {
  "delimited()": {
    codec: delimited("\r\n", { maxLength: CAP }),
    message: (random) => random.bytes(50).map((byte) => byte | 0x20),
  },
  "fixed()": { codec: fixed(100), message: (random) => new Uint8Array(100).fill(random.upTo(256)) },
  "jsonLines()": {
    codec: jsonLines({ maxLength: CAP }),
    message: (random) => ({
      text: String.fromCodePoint(random.upTo(0xd000) + 1),
      list: [...random.bytes(5)],
    }),
  },
  "lengthPrefixed()": {
    codec: lengthPrefixed({ maxLength: CAP }),
    message: (random) => random.bytes(300),
  },
  "lengthPrefixed(), little-endian with its header": {
    codec: lengthPrefixed({ width: 2, littleEndian: true, includesHeader: true, maxLength: CAP }),
    message: (random) => random.bytes(300),
  },
  "lengthPrefixed() by varint": {
    codec: lengthPrefixed({ width: "varint", maxLength: CAP }),
    message: (random) => random.bytes(300),
  },
  "lines()": {
    codec: lines({ maxLength: CAP, fatal: true }),
    message: (random) => "ä€x".repeat(random.upTo(20)),
  },
  "lines() that is strict": {
    codec: lines({ ending: "\r\n", strict: true, maxLength: CAP }),
    message: (random) => "ä€x".repeat(random.upTo(20)),
  },
  "lines() that goes on": {
    codec: lines({ maxLength: 50, fatal: true, onTooLong: () => {} }),
    message: (random) => "ä€x".repeat(random.upTo(8)),
  },
  "lengthPrefixed() that goes on": {
    codec: lengthPrefixed({ width: 2, maxLength: 200, onTooLong: () => {} }),
    message: (random) => random.bytes(200),
  },
  "netstring() that goes on": {
    codec: netstring({ maxLength: 200, onTooLong: () => {} }),
    message: (random) => random.bytes(200),
  },
  "octetCounted()": {
    codec: octetCounted({ maxLength: CAP }),
    message: (random) => new Uint8Array(1 + random.upTo(300)).fill(random.upTo(256)),
  },
  "headerPrefixed()": {
    codec: headerPrefixed({ maxLength: CAP / 2, maxHeaderLength: CAP / 2 }),
    message: (random) => ({
      headers: [["Content-Type", "a".repeat(random.upTo(20))]],
      body: random.bytes(100),
    }),
  },
  "headerPrefixed() with a start line": {
    codec: headerPrefixed({
      startLine: true,
      ending: "\n",
      separator: ":",
      terminator: "\0",
      maxLength: CAP / 2,
      maxHeaderLength: CAP / 2,
      onTooLong: () => {},
    }),
    message: (random) => ({ startLine: "SEND", headers: [], body: random.bytes(100) }),
  },
  "respServer()": {
    codec: respServer({ maxBulkLength: 1000, maxArguments: 100, maxCommandLength: CAP }),
    message: (random) => ["SET", "a".repeat(random.upTo(9)), random.upTo(9)],
  },
  "respClient()": {
    codec: {
      ...respClient({ maxBulkLength: 1000, maxItems: 100, maxReplyLength: CAP }),
      encode: (value: RespValue, out: FrameWriter) => version3.encode(value, out),
    },
    message: (random) => ["ä", random.upTo(9), null, [true, 1.5], new Map([["a", new Set(["b"])]])],
  },
  "netstring()": { codec: netstring({ maxLength: CAP }), message: (random) => random.bytes(300) },
};

/** Random choices that a seed brings back. */
export class Random {
  readonly #next: () => number;

  constructor(seed: number) {
    this.#next = randomFrom(seed);
  }

  /** A whole number from 0 to below `limit`. */
  upTo(limit: number): number {
    return Math.floor(this.#next() * limit);
  }

  bytes(limit: number): Uint8Array {
    return new Uint8Array(this.upTo(limit)).map(() => this.upTo(256));
  }
}

/** Runs one round for one target; throws if anything is not as documented. */
export async function fuzzOnce({ codec, message }: Target, random: Random): Promise<void> {
  const good = await encode(
    codec as Codec<unknown, unknown>,
    Array.from({ length: random.upTo(8) }, () => message(random)),
  );
  const input = random.upTo(5) === 0 ? random.bytes(3 * CAP) : mutate(good, random);
  const whole = await decode(codec, [input]);
  const cut = await decode(codec, chop(input, random));
  assertEquals(cut.frames, whole.frames);
  assertEquals(cut.error?.name, whole.error?.name);
  for (const { error, memory } of [whole, cut]) {
    const documented = [FrameTooLargeError, MalformedFrameError, TruncatedFrameError];
    if (error !== undefined) {
      assert(documented.some((kind) => error instanceof kind), `${error.stack}`);
    }
    assert(memory <= CAP + 130 * 1024, `${memory} bytes were held`);
  }
}

/** Runs one round for headers of the PROXY protocol; throws if anything is not as documented. */
export function fuzzHeaderOnce(random: Random): void {
  const [header] = fc.sample(anyHeader, { seed: random.upTo(2 ** 31), numRuns: 1 });
  const good = encodeProxyHeader({
    ...header!,
    crc32c: header!.version === 2 && random.upTo(2) > 0,
  });
  const kept = good.subarray(0, random.upTo(30));
  const input = random.upTo(5) === 0
    ? concat([kept, random.bytes(random.upTo(5) === 0 ? CAP : 100)])
    : mutate(good, random);
  assertDecided(input);
}

/** A broken copy. */
export function mutate(good: Uint8Array, random: Random): Uint8Array {
  let bytes = [...good];
  for (let times = random.upTo(4); times > 0; times--) {
    const at = random.upTo(bytes.length + 1);
    const other = random.upTo(bytes.length + 1);
    const ways = [
      () => bytes[at % Math.max(1, bytes.length)] = random.upTo(256),
      () => bytes.splice(at, random.upTo(10)),
      () => bytes.splice(at, 0, ...random.bytes(10)),
      () => bytes.splice(at, 0, ...bytes.slice(Math.min(at, other), Math.max(at, other))),
      () => bytes = bytes.slice(0, at),
      () => bytes.splice(at, 0, ...new Array(random.upTo(2 * CAP)).fill(random.upTo(256))),
    ];
    ways[random.upTo(ways.length)]!();
  }
  return Uint8Array.from(bytes);
}

function chop(input: Uint8Array, random: Random): Uint8Array[] {
  const pieces = [];
  const most = [1, 3, 50, 2000][random.upTo(4)]!;
  for (let at = 0; at < input.length;) pieces.push(input.subarray(at, at += 1 + random.upTo(most)));
  return pieces;
}

if (import.meta.main) {
  const seconds = Number(Deno.args[0] ?? 30);
  const seed = Number(Deno.args[1] ?? Math.floor(Math.random() * 2 ** 31));
  console.log(`fuzzing for ${seconds} s from seed ${seed}`);
  const random = new Random(seed);
  const end = performance.now() + seconds * 1000;
  let rounds = 0;
  const fuzzers = Object.entries(TARGETS)
    .map(([name, target]): [string, () => Promise<void> | void] => [
      name,
      () => fuzzOnce(target, random),
    ]);
  fuzzers.push(["decodeProxyHeader()", () => fuzzHeaderOnce(random)]);
  for (; performance.now() < end; rounds++) {
    for (const [name, fuzz] of fuzzers) {
      try {
        await fuzz();
      } catch (error) {
        console.error(`${name} failed in round ${rounds} from seed ${seed}`);
        throw error;
      }
    }
  }
  console.log(`${rounds} rounds of ${fuzzers.length} decoders, nothing found`);
}
