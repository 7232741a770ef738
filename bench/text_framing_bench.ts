/**
 * Decoding messages that begin with their length as text, compared with doing it by hand.
 *
 *     deno bench bench/text_framing_bench.ts
 */

import { headerPrefixed, octetCounted } from "@parley/tcp/codecs";
import { decodeAll } from "./_decoding.ts";

const MESSAGES = 16;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

const body = '{"jsonrpc":"2.0","id":1,"method":"textDocument/hover"}';
const lsp = encoder.encode(`Content-Length: ${body.length}\r\n\r\n${body}`.repeat(MESSAGES));
const text = "<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 - hello";
const syslog = encoder.encode(`${text.length} ${text}`.repeat(MESSAGES));

const headers = headerPrefixed();
const octets = octetCounted();

Deno.bench({
  name: "headerPrefixed()",
  group: `${MESSAGES} messages of LSP`,
  baseline: true,
  fn: () => void decodeAll(headers, lsp),
});

Deno.bench({
  name: "by hand: decode(), indexOf(), split()",
  group: `${MESSAGES} messages of LSP`,
  fn: () => {
    for (let at = 0; at < lsp.length;) {
      const head = decoder.decode(lsp.subarray(at, at + 1024));
      const end = head.indexOf("\r\n\r\n");
      const pairs = head.slice(0, end).split("\r\n").map((line) => line.split(": "));
      const length = Number(new Map(pairs as [string, string][]).get("Content-Length"));
      lsp.slice(at + end + 4, at += end + 4 + length);
    }
  },
});

Deno.bench({
  name: "octetCounted()",
  group: `${MESSAGES} messages of syslog`,
  baseline: true,
  fn: () => void decodeAll(octets, syslog),
});

Deno.bench({
  name: "by hand: indexOf(), decode(), slice()",
  group: `${MESSAGES} messages of syslog`,
  fn: () => {
    for (let at = 0; at < syslog.length;) {
      const space = syslog.indexOf(32, at);
      const length = Number(decoder.decode(syslog.subarray(at, space)));
      syslog.slice(space + 1, at = space + 1 + length);
    }
  },
});
