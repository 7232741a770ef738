import { shown } from "../_internal/checks.ts";
import type { Codec } from "../codecs/codec.ts";
import { prepare } from "../session/prepare.ts";
import { bytesOf } from "../session/prepared_message.ts";

const encoder = new TextEncoder();

/** The bytes of a datagram: of a message by a codec, otherwise of text or bytes. Bytes are not copied. */
export function encodeDatagram<Out>(
  message: Out,
  codec: Pick<Codec<unknown, Out>, "encode"> | undefined,
): Uint8Array {
  if (codec !== undefined) return bytesOf(prepare(message, codec));
  if (message instanceof Uint8Array) return message;
  if (typeof message === "string") return encoder.encode(message);
  throw new TypeError(`a message must be a string or a Uint8Array, got ${shown(message)}`);
}
