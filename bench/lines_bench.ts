/**
 * Finding and decoding lines that have come in one read, beside doing it by hand.
 *
 *     deno bench bench/lines_bench.ts
 */

import { lines } from "@parley/tcp/codecs";
import { decodeAll } from "./_decoding.ts";

const LINES = 16;
const codec = lines();
const decoder = new TextDecoder();

for (const size of [16, 64, 1024]) {
  const input = new TextEncoder().encode(`${"x".repeat(size - 1)}\n`.repeat(LINES));
  const group = `${LINES} lines of ${size} B`;
  Deno.bench({
    name: "lines()",
    group,
    baseline: true,
    fn: () => void decodeAll(codec, input),
  });
  Deno.bench({
    name: "by hand: indexOf(), decode()",
    group,
    fn: () => {
      for (let start = 0; start < input.length;) {
        const end = input.indexOf(10, start);
        decoder.decode(input.subarray(start, end));
        start = end + 1;
      }
    },
  });
}
