/** `prepare()`, which `session.ts` publishes. */

import { BufferPool } from "./buffer_pool.ts";
import { checkMethods, shown } from "../_internal/checks.ts";
import { concat } from "../_internal/concat.ts";
import { OutputBuffer } from "./output_buffer.ts";
import { PreparedMessage } from "./prepared_message.ts";
import type { Codec } from "../codecs/codec.ts";

/**
 * Encodes a message once for many sessions: a broadcast. Pass it to {@linkcode Session.send}. Sessions that have nothing
 * else to write share its memory, even if their peers are slow.
 *
 * @param data Text, which is sent as UTF-8, or bytes, which are copied.
 * @returns The message.
 *
 * @example
 * ```ts
 * import { connect, type NetAddr, prepare, serve } from "@parley/tcp";
 * import { lines } from "@parley/tcp/codecs";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = serve({ port: 0 }, async (session) => {
 *   for await (const line of session.lines()) {
 *     const message = prepare(`${session.id}: ${line}`, lines());
 *     for (const receiver of server.sessions) receiver.send(message);
 *   }
 * });
 *
 * await using session = await connect({ port: (server.addr as NetAddr).port });
 * await session.send("hello\n");
 * assertEquals(await session.readLine(), "1: hello");
 * ```
 */
export function prepare(data: string | Uint8Array): PreparedMessage;
/**
 * Encodes a frame once for many sessions.
 *
 * @param message The frame.
 * @param codec Encodes the frame.
 * @returns The message.
 * @throws What the codec throws if the frame cannot be encoded.
 */
export function prepare<Message>(
  message: Message,
  codec: Pick<Codec<unknown, Message>, "encode">,
): PreparedMessage;
export function prepare(
  message: unknown,
  codec?: Pick<Codec<unknown, unknown>, "encode">,
): PreparedMessage {
  return new PreparedMessage(codec === undefined ? copied(message) : encoded(message, codec));
}

const encoder = new TextEncoder();

function copied(data: unknown): Uint8Array {
  if (typeof data === "string") return encoder.encode(data);
  if (data instanceof Uint8Array) return new Uint8Array(data);
  throw new TypeError(`data to prepare must be a string or a Uint8Array, got ${shown(data)}`);
}

function encoded<Message>(
  message: Message,
  codec: Pick<Codec<unknown, Message>, "encode">,
): Uint8Array {
  checkMethods("codec", codec, ["encode"]);
  const buffer = new OutputBuffer(new BufferPool());
  buffer.addFrame(codec, message);
  const pieces: Uint8Array[] = [];
  while (!buffer.isEmpty) pieces.push(buffer.take().bytes);
  return concat(pieces);
}
