/** Codecs on datagrams: each datagram is a whole input of its own. */

import { checkBytes, checkInteger } from "../_internal/checks.ts";
import { type Codec, type Decoder, type DecoderInput, MORE } from "../codecs/codec.ts";
import { FrameTooLargeError, TruncatedFrameError } from "../errors.ts";

/** The bytes of a datagram as the input of a decoder. */
class DatagramInput implements DecoderInput {
  readonly buffer: Uint8Array;
  start = 0;
  readonly end: number;
  readonly #maxBuffered: number;

  constructor(message: Uint8Array, maxBuffered: number) {
    this.buffer = message;
    this.end = message.length;
    this.#maxBuffered = maxBuffered;
  }

  consume(count: number): void {
    this.start += checkInteger("count", count, 0, this.end - this.start);
  }

  need(total: number): void {
    if (total > this.#maxBuffered) throw new FrameTooLargeError(this.#maxBuffered, total);
  }

  take(count: number): Uint8Array {
    const from = this.start;
    this.consume(count);
    return this.buffer.subarray(from, this.start);
  }
}

/** Takes the messages out of one datagram, one by one. */
export class Decoding<In> {
  readonly #input: DatagramInput;
  readonly #decoder: Decoder<In>;

  constructor(codec: Pick<Codec<In>, "decoder">, datagram: Uint8Array) {
    this.#decoder = codec.decoder();
    this.#input = new DatagramInput(datagram, this.#decoder.maxBuffered);
  }

  /**
   * The next message, or `MORE` if there is none left.
   *
   * @throws What the decoder throws; a `TruncatedFrameError` if the rest is not a whole message.
   */
  next(): In | typeof MORE {
    const input = this.#input;
    if (input.start === input.end) return MORE;
    const message = this.#decode(() => this.#decoder.decode(input));
    if (message !== MORE || input.start === input.end) return message;
    const last = this.#decoder.finish === undefined
      ? MORE
      : this.#decode(() => this.#decoder.finish!(input));
    if (last !== MORE || input.start === input.end) return last;
    throw new TruncatedFrameError(input.end - input.start);
  }

  #decode(run: () => In | typeof MORE): In | typeof MORE {
    const before = this.#input.start;
    const message = run();
    if (message === MORE || this.#input.start > before) return message;
    throw new TypeError("the decoder returned a frame without consuming a byte");
  }
}

/**
 * Decodes a whole datagram.
 *
 * @param codec Decodes the messages.
 * @param datagram The bytes, which the messages may share.
 * @returns The messages: none if the datagram is empty.
 * @throws {MalformedFrameError | FrameTooLargeError} If the codec says so.
 * @throws {TruncatedFrameError} If the rest of the datagram is not a whole message.
 *
 * @example The lines of statsd
 * ```ts
 * import { decodeDatagram } from "@parley/tcp/datagram";
 * import { lines } from "@parley/tcp/codecs";
 * import { assertEquals } from "@std/assert";
 *
 * const datagram = new TextEncoder().encode("hits:1|c\nload:320|ms");
 * assertEquals(decodeDatagram(lines(), datagram), ["hits:1|c", "load:320|ms"]);
 * ```
 */
export function decodeDatagram<In>(
  codec: Pick<Codec<In>, "decoder">,
  datagram: Uint8Array,
): In[] {
  const decoding = new Decoding(codec, checkBytes("datagram", datagram));
  const messages: In[] = [];
  for (let message = decoding.next(); message !== MORE; message = decoding.next()) {
    messages.push(message);
  }
  return messages;
}
