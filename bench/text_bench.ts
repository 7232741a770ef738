/**
 * Decoding short texts, compared with a `TextDecoder`.
 *
 *     deno bench bench/text_bench.ts
 */

import { decodeUtf8 } from "../_internal/utf8.ts";

const TEXTS: Record<string, string> = {
  "8 B of ASCII": "rose was",
  "64 B of ASCII": "a line of 16 B; ".repeat(4),
  "1 KiB of ASCII": "a line of 16 B; ".repeat(64),
  "1 KiB of mixed text": "grün 薔薇 🌹 ".repeat(45).slice(0, 600),
};

for (const [group, text] of Object.entries(TEXTS)) {
  const bytes = new TextEncoder().encode(text);
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  Deno.bench({
    name: "decodeUtf8()",
    group,
    baseline: true,
    fn: () => void decodeUtf8(bytes, 0, bytes.length, false),
  });
  Deno.bench({
    name: "TextDecoder",
    group,
    fn: () => void decoder.decode(bytes.subarray(0, bytes.length)),
  });
}
