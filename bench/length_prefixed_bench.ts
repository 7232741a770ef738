/**
 * Taking frames with their length in front out of one read, beside doing it by hand.
 *
 *     deno bench bench/length_prefixed_bench.ts
 */

import { lengthPrefixed } from "@parley/tcp/codecs";
import { decodeAll } from "./_decoding.ts";

const FRAMES = 16;
const codec = lengthPrefixed();

for (const size of [16, 64, 1024]) {
  const input = new Uint8Array(FRAMES * size);
  const view = new DataView(input.buffer);
  for (let at = 0; at < input.length; at += size) view.setUint32(at, size - 4);
  const group = `${FRAMES} frames of ${size} B`;
  Deno.bench({
    name: "lengthPrefixed()",
    group,
    baseline: true,
    fn: () => void decodeAll(codec, input),
  });
  Deno.bench({
    name: "by hand: getUint32(), slice()",
    group,
    fn: () => {
      for (let at = 0; at < input.length;) {
        const end = at + 4 + view.getUint32(at);
        input.slice(at + 4, end);
        at = end;
      }
    },
  });
}
