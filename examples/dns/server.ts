// A small name server for a zone in a file, over UDP and TCP on the same port.
//
//     deno run --allow-net --allow-read examples/dns/server.ts ZONE [PORT]
//
// A line of the file is a name, a time to live, a type and a value:
//
//     rose.example. 300 A 192.0.2.1
//     rose.example. 300 AAAA 2001:db8::1
//     rose.example. 300 TXT roses are red
//
// Then ask:  dig @127.0.0.1 -p 5353 rose.example TXT
//
// An answer that is too large for UDP, or for what an unproven sender has sent, is truncated: the client asks again over
// TCP, where nobody can forge an address. `packets.ts` has the messages, and `zone.ts` the file.

import { type NetAddr, serve, type ServeOptions } from "@parley/tcp";
import { lengthPrefixed } from "@parley/tcp/codecs";
import {
  AmplificationLimitError,
  serveDatagrams,
  type ServeDatagramsOptions,
} from "@parley/tcp/datagram";
import {
  type Answer,
  encodeAnswer,
  formatError,
  isQuery,
  parseQuestion,
  type Question,
  RCODES,
} from "./packets.ts";
import { type Pair, pairOf } from "../pair.ts";
import { parseZone, type Zone } from "./zone.ts";

/** Serves a zone. */
export function serveDns(
  port: number,
  zone: Zone,
  options: { tcp?: ServeOptions; udp?: ServeDatagramsOptions } = {},
): Pair {
  const tcp = serve({ port, idleTimeout: 10_000, ...options.tcp }, async (session) => {
    const frames = session.frames(lengthPrefixed({ width: 2 })); // RFC 1035 §4.2.2
    for await (const message of frames) {
      const question = questionOf(message);
      if (question === undefined) return;
      const answer = question instanceof Uint8Array
        ? question
        : encodeAnswer(question, answerTo(question, zone));
      await frames.send(answer);
    }
  });
  const udp = serveDatagrams(
    { port: (tcp.addr as NetAddr).port, maxMessageSize: 4096, ...options.udp },
    async (message, sender) => {
      const question = questionOf(message);
      if (question === undefined) return;
      if (question instanceof Uint8Array) return await sender.send(question);
      const answer = answerTo(question, zone);
      const encoded = encodeAnswer(question, answer);
      try {
        if (encoded.length <= question.maxSize) return await sender.send(encoded);
      } catch (error) {
        if (!(error instanceof AmplificationLimitError)) throw error;
      }
      await sender.send(encodeAnswer(question, answer, true));
    },
  );
  return pairOf(tcp, udp);
}

/** The question of a message; the answer to one that cannot be parsed; `undefined` if nothing must be answered. */
function questionOf(message: Uint8Array): Question | Uint8Array | undefined {
  try {
    return parseQuestion(message);
  } catch {
    return formatError(message);
  }
}

function answerTo(question: Question, zone: Zone): Answer {
  if (!isQuery(question)) return { rcode: RCODES.NOTIMP, records: [] };
  const records = zone.get(question.name);
  if (records === undefined) return { rcode: RCODES.NXDOMAIN, records: [] };
  return {
    rcode: RCODES.NOERROR,
    records: records.filter(({ type }) => type === question.type),
  };
}

if (import.meta.main) {
  const [file, port = "5353"] = Deno.args;
  if (file === undefined) throw new TypeError("wanted: the file of a zone, and perhaps a port");
  const server = serveDns(Number(port), parseZone(await Deno.readTextFile(file)), {
    tcp: { logger: console },
    udp: { logger: console },
  });
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => server.shutdown());
  }
  await server.finished;
}
