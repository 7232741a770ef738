/**
 * Sending 16 messages in one write, compared with encoding them by hand into one buffer.
 *
 *     deno bench bench/send_bench.ts
 */

import { Session } from "@parley/tcp/session";
import { inPieces } from "./_pieces.ts";

const MESSAGES = 16;
const encoder = new TextEncoder();
const buffer = new Uint8Array(64 * 1024);

/** A connection without input, which takes all output at once. */
const sink = { ...inPieces(new Uint8Array(0), 1), read: () => new Promise<null>(() => {}) };

for (const size of [16, 64, 1024]) {
  const text = "x".repeat(size);
  const bytes = encoder.encode(text);
  const group = `${MESSAGES} messages of ${size} B`;
  const session = new Session(sink);
  for (const [name, message] of [["text", text], ["bytes", bytes]] as const) {
    Deno.bench({
      name: `session.send() of ${name}`,
      group,
      baseline: name === "text",
      fn: async () => {
        for (let i = 0; i < MESSAGES; i++) await session.send(message);
        await session.flush();
      },
    });
  }
  Deno.bench({
    name: "by hand: encodeInto()",
    group,
    fn: async () => {
      let length = 0;
      for (let i = 0; i < MESSAGES; i++) {
        length += encoder.encodeInto(text, buffer.subarray(length)).written;
      }
      await sink.write(buffer.subarray(0, length));
    },
  });
}
