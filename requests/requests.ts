/** Requests and their replies over the frames of a session. Here: `requests()`. */

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
 * Makes requests whose replies may have several frames: all up to one that is the last, by `isLast`.
 *
 * @param source What `requests()` without `isLast` takes.
 * @param options How replies end and find their requests, and what bounds them.
 * @returns The requests.
 * @throws {TypeError | RangeError} If an option is wrong.
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
 * Replies belong to requests by their order, as in Redis or SMTP, or by an id, if the options say where it stands. A
 * request that is aborted or comes to its timeout fails by itself; its late reply is dropped and never taken for that
 * of another. In order, a reply that nothing asked for ends the requests with a `MalformedFrameError`, since what
 * follows would be given to the wrong ones. With ids, one that belongs to nothing is dropped, or handed to
 * `onUnmatched`.
 *
 * Frames are read from the next turn of the event loop on, for as long as the requests are not closed: meanwhile
 * nothing else may read the session.
 *
 * Of a client that comes back, requests wait for a session that is set up. Those that were sent when one ends fail with
 * the reason, or go to the next one if they are `idempotent`; those that were not sent wait for it.
 *
 * @param source The frames of a session, through which other messages can be sent as before; or a client of
 * `reconnect()` whose `setUp` returns such frames. It belongs to the requests then, dials at once, and is closed with them.
 * @param options How replies find their requests, and what bounds them.
 * @returns The requests.
 * @throws {TypeError | RangeError} If an option is wrong.
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
 * @example Of a client that comes back
 * ```ts
 * import { reconnect, requests, serve } from "@parley/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * // This server hangs up after each reply.
 * await using server = serve({ port: 0 }, async (session) => {
 *   await session.send(`hello, ${await session.readLine()}!\n`);
 * });
 * const { port } = server.addr as Deno.NetAddr;
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
