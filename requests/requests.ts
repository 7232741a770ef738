/** Requests and their replies over the frames of a session. This module: `requests()`. */

import { Client } from "../connect/reconnect.ts";
import type { ReconnectingClient } from "../connect/reconnect_options.ts";
import type { Frames } from "../session.ts";
import {
  checkFrames,
  type MultiFrameOptions,
  type Requests,
  type RequestsOptions,
  resolveRequestsOptions,
} from "./options.ts";
import { Pipeline } from "./pipeline.ts";

export type {
  MultiFrameOptions,
  RequestId,
  RequestOptions,
  Requests,
  RequestsOptions,
  StreamOptions,
} from "./options.ts";

/**
 * Makes requests whose replies may have several frames, up to the one that is the last by `isLast`.
 *
 * @param source The frames or the client, as for `requests()` without `isLast`.
 * @param options How replies end and are matched with requests, and the limits.
 * @returns The requests.
 * @throws {TypeError | RangeError} If an option is invalid.
 *
 * @example Replies of several frames, as in SMTP
 * ```ts
 * import { requests } from "@parley/tcp";
 * import { sessionPair } from "@parley/tcp/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const [client, server] = sessionPair();
 * const smtp = requests(client.lines({ ending: "\r\n" }), { isLast: (line) => line[3] !== "-" });
 * const reply = smtp.request("EHLO client.example");
 * await server.send("250-mail.example\r\n250 SIZE 1000\r\n");
 * assertEquals(await reply, ["250-mail.example", "250 SIZE 1000"]);
 * await smtp.close();
 * await Promise.all([client.close(), server.close()]);
 * ```
 */
export function requests<In, Out = In>(
  source: Frames<In, Out> | ReconnectingClient<Frames<In, Out>>,
  options: MultiFrameOptions<In, Out>,
): Requests<In, Out, In[]>;
/**
 * Makes requests over frames: each gets its own reply, and many may be in flight on one session.
 *
 * Replies are matched with requests by their order, as in Redis or SMTP, or by an id, if the options say how to read it.
 * If a request is aborted or has its timeout, only this request fails. Its late reply is dropped, and never taken for the
 * reply to another request. In order, a reply without a request ends the requests with a `MalformedFrameError`, since
 * later replies would be given to the wrong requests. With ids, such a reply is dropped, or passed to `onUnmatched`.
 *
 * Frames are read from the next turn of the event loop on, until the requests are closed. Nothing else may read the
 * session meanwhile.
 *
 * Over a client of `reconnect()`, requests wait for a session that is set up. If a session ends, the requests that were
 * sent fail with the reason, or are sent again over the next session if they are `idempotent`. Requests that were not sent
 * wait for the next session.
 *
 * @param source The frames of a session, which can still send other messages; or a client of `reconnect()` whose `setUp`
 * returns frames. The requests own that client: it dials at once, and is closed with them.
 * @param options How replies are matched with requests, and the limits.
 * @returns The requests.
 * @throws {TypeError | RangeError} If an option is invalid.
 *
 * @example In order
 * ```ts
 * import { requests } from "@parley/tcp";
 * import { lines } from "@parley/tcp/codecs";
 * import { sessionPair } from "@parley/tcp/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const [client, server] = sessionPair();
 * const serving = (async () => {
 *   for await (const name of server.lines()) await server.send(`hello, ${name}!\n`);
 *   await server.close();
 * })();
 *
 * const greetings = requests(client.frames(lines()), { timeout: 5_000 });
 * assertEquals(
 *   await Promise.all(["rose", "think"].map((name) => greetings.request(name))),
 *   ["hello, rose!", "hello, think!"],
 * );
 * await greetings.close();
 * await Promise.all([client.close(), serving]);
 * ```
 *
 * @example Over a client that reconnects
 * ```ts
 * import { type NetAddr, reconnect, requests, serve } from "@parley/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * // This server hangs up after each reply.
 * await using server = serve({ port: 0 }, async (session) => {
 *   await session.send(`hello, ${await session.readLine()}!\n`);
 * });
 * const { port } = server.addr as NetAddr;
 *
 * const client = reconnect({ port, setUp: (session) => session.lines() });
 * await using greetings = requests(client);
 * for (const name of ["rose", "think"]) {
 *   assertEquals(await greetings.request(name, { idempotent: true }), `hello, ${name}!`);
 * }
 * ```
 *
 * @example By an id
 * ```ts
 * import { requests } from "@parley/tcp";
 * import { jsonLines } from "@parley/tcp/codecs";
 * import { sessionPair } from "@parley/tcp/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const [client, server] = sessionPair();
 * const rpc = requests(client.frames(jsonLines<{ id: number; sum?: number }>()), {
 *   requestId: ({ id }) => id,
 *   replyId: ({ id }) => id,
 * });
 * const replies = Promise.all([rpc.request({ id: 7 }), rpc.request({ id: 8 })]);
 * await server.send('{"id":8,"sum":80}\n{"id":7,"sum":70}\n');
 * assertEquals((await replies).map(({ sum }) => sum), [70, 80]);
 * await rpc.close();
 * await Promise.all([client.close(), server.close()]);
 * ```
 */
export function requests<In, Out = In>(
  source: Frames<In, Out> | ReconnectingClient<Frames<In, Out>>,
  options?: RequestsOptions<In, Out>,
): Requests<In, Out>;
export function requests<In, Out>(
  source: Frames<In, Out> | ReconnectingClient<Frames<In, Out>>,
  options: RequestsOptions<In, Out> = {},
): Requests<In, Out, unknown> {
  if (!(source instanceof Client)) checkFrames("frames", source);
  const over = source as Frames<In, Out> | Client<Frames<In, Out>>;
  return new Pipeline(over, resolveRequestsOptions(options));
}
