/**
 * How much heap a small frame takes on its way to the handler, beside lines that are split by hand.
 *
 *     deno run --v8-flags=--expose-gc,--min-semi-space-size=256,--max-semi-space-size=256 bench/heap_per_frame.ts
 */

import { lengthPrefixed } from "@parley/tcp/codecs";
import { Session } from "@parley/tcp/session";
import { inPieces } from "./_pieces.ts";

const FRAMES = 100_000;
const line = new TextEncoder().encode("a line of 20 bytes..\n");
const frame = new Uint8Array([0, 0, 0, 17, ...line.subarray(0, 17)]);

const repeated = (bytes: Uint8Array): Uint8Array => {
  const all = new Uint8Array(FRAMES * bytes.length);
  for (let i = 0; i < FRAMES; i++) all.set(bytes, i * bytes.length);
  return all;
};

const WAYS: Record<string, () => Promise<number>> = {
  "lines split by hand": async () => {
    const connection = inPieces(repeated(line), 1024);
    const decoder = new TextDecoder();
    const buffer = new Uint8Array(2048);
    let count = 0;
    for (let end = 0;;) {
      const read = await connection.read(buffer.subarray(end));
      if (read === null) return count;
      end += read;
      let start = 0;
      for (let at = buffer.indexOf(10); at >= 0 && at < end; at = buffer.indexOf(10, start)) {
        decoder.decode(buffer.subarray(start, at));
        count++;
        start = at + 1;
      }
      buffer.copyWithin(0, start, end);
      end -= start;
    }
  },
  "session.lines()": async () => {
    let count = 0;
    const session = new Session(inPieces(repeated(line), 1024));
    for await (const _line of session.lines()) count++;
    session.abort();
    return count;
  },
  "session.frames(lengthPrefixed())": async () => {
    let count = 0;
    const session = new Session(inPieces(repeated(frame), 1024));
    for await (const _frame of session.frames(lengthPrefixed())) count++;
    session.abort();
    return count;
  },
};

const { gc } = globalThis as unknown as { gc: () => void };
for (const [name, run] of Object.entries(WAYS)) {
  await run(); // to have the code compiled
  gc();
  const before = Deno.memoryUsage().heapUsed;
  const count = await run();
  const after = Deno.memoryUsage().heapUsed;
  console.log(`${name}: ${Math.round((after - before) / count)} bytes`);
}
