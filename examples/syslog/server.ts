// Receives syslog over UDP (RFC 5426) and TCP (RFC 6587) on the same port, and prints the messages.
//
//     deno run --allow-net examples/syslog/server.ts [PORT]
//
// Then send some:
//
//     logger --udp --server 127.0.0.1 --port 5514 hello
//     logger --tcp --server 127.0.0.1 --port 5514 hello
//     logger --tcp --octet-count --server 127.0.0.1 --port 5514 hello

import {
  formatAddress,
  type NetAddr,
  printable,
  serve,
  type ServeOptions,
  type Session,
} from "@parley/tcp";
import { lines, octetCounted } from "@parley/tcp/codecs";
import { serveDatagrams, type ServeDatagramsOptions } from "@parley/tcp/datagram";
import { type Pair, pairOf } from "../pair.ts";
import { parseSyslog, type SyslogMessage } from "./message.ts";

const MAX_LENGTH = 8 * 1024;
const ONE = "1".charCodeAt(0);
const NINE = "9".charCodeAt(0);
const decoder = new TextDecoder();

/** Serves syslog on one port. `onMessage` is called with each message and the address of its sender. */
export function serveSyslog(
  port: number,
  onMessage: (message: SyslogMessage, from: string) => void,
  options: { tcp?: ServeOptions; udp?: ServeDatagramsOptions } = {},
): Pair {
  const take = (text: string, from: string): void => {
    const message = parseSyslog(text.replace(/[\n\0]$/, ""));
    if (message !== undefined) onMessage(message, from); // anything else is not syslog
  };
  const tcp = serve({ port, idleTimeout: Infinity, ...options.tcp }, async (session) => {
    const from = formatAddress(session.remoteAddr);
    for await (const text of messagesOf(session)) take(text, from);
  });
  const udp = serveDatagrams(
    { port: (tcp.addr as NetAddr).port, maxMessageSize: MAX_LENGTH, ...options.udp },
    (message, sender) => take(decoder.decode(message), formatAddress(sender.remoteAddr)),
  );
  return pairOf(tcp, udp);
}

/** The messages of a connection. A length in digits comes first, or each is a line: the first byte tells (RFC 6587 §3.4). */
async function* messagesOf(session: Session): AsyncIterable<string> {
  const { value: first } = await session.bytes().next();
  if (first === undefined) return;
  session.unread(first);
  const isCounted = first[0]! >= ONE && first[0]! <= NINE;
  if (!isCounted) yield* session.frames(lines({ maxLength: MAX_LENGTH }));
  else {
    const frames = session.frames(octetCounted({ maxLength: MAX_LENGTH }));
    for await (const frame of frames) yield decoder.decode(frame);
  }
}

if (import.meta.main) {
  const server = serveSyslog(
    Number(Deno.args[0] ?? 5514),
    ({ facility, severity, text }, from) =>
      console.log(`${from} ${facility}.${severity} ${printable(text)}`),
    { tcp: { logger: console }, udp: { logger: console } },
  );
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => server.shutdown());
  }
  await server.finished;
}
