/**
 * One frame in ever more pieces: the time is proportional to the length plus the number of reads, not to their product.
 *
 *     deno bench --allow-net bench/frames_bench.ts
 */

import { type Codec, lengthPrefixed, lines, netstring } from "@parley/tcp/codecs";
import { Session } from "@parley/tcp/session";
import { inPieces } from "./_pieces.ts";

const LENGTH = 1024 * 1024;

const body = new Uint8Array(LENGTH).fill(0x78);
const prefixed = new Uint8Array([0, 16, 0, 0, ...body]);
const line = new Uint8Array([...body, 0x0a]);
const counted = new Uint8Array([...new TextEncoder().encode(`${LENGTH}:`), ...body, 0x2c]);

const CASES: [name: string, codec: Codec<unknown, never>, input: Uint8Array][] = [
  ["lengthPrefixed()", lengthPrefixed(), prefixed],
  ["lines()", lines({ maxLength: LENGTH }), line],
  ["netstring()", netstring(), counted],
];

for (const [name, codec, input] of CASES) {
  for (const pieces of [100, 1000, 10_000]) {
    Deno.bench({
      name: `${pieces} pieces`,
      group: `a frame of 1 MiB by ${name}`,
      baseline: pieces === 100,
      fn: async () => {
        const session = new Session(inPieces(input, Math.ceil(input.length / pieces)));
        await session.frames(codec).read();
        session.abort();
      },
    });
  }
}

for (const pieces of [100, 1000, 10_000]) {
  Deno.bench({
    name: `by hand: ${pieces} pieces`,
    group: "reads alone",
    fn: async () => {
      const connection = inPieces(line, Math.ceil(line.length / pieces));
      const buffer = new Uint8Array(line.length);
      for (let end = 0; end < line.length;) end += await connection.read(buffer.subarray(end)) ?? 0;
      buffer.indexOf(0x0a);
    },
  });
}
