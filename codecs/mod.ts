/**
 * Codecs: they decode frames from bytes, and encode messages.
 *
 * Pass a codec to `session.frames()`. To write your own, implement {@linkcode Codec}. A decoder throws
 * {@linkcode MalformedFrameError} or {@linkcode FrameTooLargeError} if the peer is at fault.
 *
 * @example A codec for messages that begin with one byte for their length
 * ```ts
 * import { type Codec, MORE } from "@parley/tcp/codecs";
 * import { Session } from "@parley/tcp/session";
 * import { memoryPair } from "@parley/tcp/transport";
 * import { assertEquals } from "@std/assert";
 *
 * const short: Codec<Uint8Array> = {
 *   decoder: () => ({
 *     maxBuffered: 256,
 *     decode(input) {
 *       const total = 1 + input.buffer[input.start]!;
 *       if (input.end - input.start < total) {
 *         input.need(total);
 *         return MORE;
 *       }
 *       input.consume(1);
 *       return input.take(total - 1);
 *     },
 *   }),
 *   encode(message, out) {
 *     out.uint(message.length, 1);
 *     out.bytes(message);
 *   },
 * };
 *
 * const [left, right] = memoryPair();
 * const [a, b] = [new Session(left), new Session(right)];
 * await a.frames(short).send(new Uint8Array([1, 2, 3]));
 * assertEquals(await b.frames(short).read(), new Uint8Array([1, 2, 3]));
 * await Promise.all([a.close(), b.close()]);
 * ```
 *
 * @module
 */

export {
  type Codec,
  type Decoder,
  type DecoderInput,
  type FrameWriter,
  MORE,
  type PrefixedOptions,
  type PrefixWidth,
} from "./codec.ts";
export { Cursor, type CursorOptions } from "./cursor.ts";
export { delimited, type DelimitedOptions } from "./delimited.ts";
export { fixed } from "./fixed.ts";
export {
  type HeadedMessage,
  type HeadedMessageInit,
  headerOf,
  headerPrefixed,
  type HeaderPrefixedOptions,
} from "./header_prefixed.ts";
export { jsonLines, type JsonLinesOptions } from "./json_lines.ts";
export { lengthPrefixed, type LengthPrefixedOptions } from "./length_prefixed.ts";
export { lines, type LinesOptions } from "./lines.ts";
export { mapped, type Mapping } from "./mapped.ts";
export { netstring, type NetstringOptions } from "./netstring.ts";
export { octetCounted, type OctetCountedOptions } from "./octet_counted.ts";
export { FrameTooLargeError, MalformedFrameError } from "../errors.ts";
export type { RespVersion } from "./resp/encode.ts";
export type { RespEncoding } from "./resp/encoding.ts";
export { RespProtocolError } from "./resp/protocol_error.ts";
export {
  respClient,
  type RespClientOptions,
  type RespServer,
  respServer,
  type RespServerOptions,
} from "./resp/resp.ts";
export {
  RESP_NULL_ARRAY,
  type RespCommand,
  RespConstant,
  RespError,
  RespPush,
  respStatus,
  type RespValue,
  RespVerbatim,
} from "./resp/values.ts";
