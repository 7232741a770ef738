// What the tests of requests() share: a client's frames, and a peer that answers by hand.

import { lines } from "../codecs/lines.ts";
import { type Requests, requests, type RequestsOptions } from "../requests/requests.ts";
import type { Frames, Session } from "../session.ts";
import { sessionPair, type SessionPairOptions } from "../testing/mod.ts";

/** Requests over lines, and the session at the other end. */
export interface Asking<Reply = string> extends AsyncDisposable {
  rpc: Requests<string, string, Reply>;
  client: Session;
  peer: Session;
  /** What the peer was asked. */
  asked: Frames<string>;
  /** Sends lines from the peer. */
  answer(...lines: string[]): Promise<void>;
}

/** Opens a pair of sessions and makes requests over one. */
export function ask(
  options: RequestsOptions<string> = {},
  pairOptions: SessionPairOptions = {},
): Asking {
  return askOver((client) => requests(client.frames(lines()), options), pairOptions);
}

/** Opens a pair of sessions, over one of which `make` makes the requests. */
export function askOver<Reply>(
  make: (client: Session) => Requests<string, string, Reply>,
  pairOptions: SessionPairOptions = {},
): Asking<Reply> {
  const [client, peer] = sessionPair(pairOptions);
  const rpc = make(client);
  return {
    rpc,
    client,
    peer,
    asked: peer.lines(),
    answer: async (...lines) => {
      for (const line of lines) await peer.send(`${line}\n`);
      await peer.flush();
    },
    async [Symbol.asyncDispose](): Promise<void> {
      client.abort();
      peer.abort();
      await Promise.all([client.closed, peer.closed, rpc.closed]);
    },
  };
}

/** The id is the text before the colon. A line without a colon is no reply. */
export const byId: RequestsOptions<string> = {
  requestId: (line) => line.split(":")[0]!,
  replyId: (line) => line.includes(":") ? line.split(":")[0] : undefined,
};
