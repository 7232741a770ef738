/**
 * Reading commands and replies of Redis that came in one read, compared with doing it by hand.
 *
 *     deno bench bench/resp_bench.ts
 */

import { respClient, respServer } from "@parley/tcp/codecs";
import { decodeAll } from "./_decoding.ts";

const MESSAGES = 16;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

const commands = encoder.encode(
  "*3\r\n$3\r\nSET\r\n$8\r\nkey:1234\r\n$12\r\nrose babala!\r\n".repeat(MESSAGES),
);
const replies = encoder.encode("$12\r\nrose babala!\r\n".repeat(MESSAGES));

const server = respServer();
const client = respClient();

/** The text of a line after its first character, and the start of the next line. */
function numberAt(bytes: Uint8Array, at: number): [value: number, next: number] {
  const end = bytes.indexOf(13, at);
  return [Number(decoder.decode(bytes.subarray(at + 1, end))), end + 2];
}

Deno.bench({
  name: "respServer()",
  group: `${MESSAGES} commands`,
  baseline: true,
  fn: () => void decodeAll(server, commands),
});

Deno.bench({
  name: "by hand: indexOf(), decode()",
  group: `${MESSAGES} commands`,
  fn: () => {
    for (let at = 0; at < commands.length;) {
      const [count, first] = numberAt(commands, at);
      const words = [];
      at = first;
      for (let i = 0; i < count; i++) {
        const [length, start] = numberAt(commands, at);
        words.push(decoder.decode(commands.subarray(start, start + length)));
        at = start + length + 2;
      }
    }
  },
});

Deno.bench({
  name: "respClient()",
  group: `${MESSAGES} replies`,
  baseline: true,
  fn: () => void decodeAll(client, replies),
});

Deno.bench({
  name: "by hand: indexOf(), decode()",
  group: `${MESSAGES} replies`,
  fn: () => {
    for (let at = 0; at < replies.length;) {
      const [length, start] = numberAt(replies, at);
      decoder.decode(replies.subarray(start, start + length));
      at = start + length + 2;
    }
  },
});
