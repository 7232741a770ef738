import { checkFunction, checkMethods } from "../_internal/checks.ts";
import { checkOptions, type Known } from "../_internal/options.ts";
import { type Codec, type Decoder, type DecoderInput, type FrameWriter, MORE } from "./codec.ts";

/** How {@linkcode mapped} turns frames into messages, and writes messages. */
export interface Mapping<Frame, In, Out = In> {
  /**
   * Reads a message from a frame of the other codec.
   *
   * @param frame The frame.
   * @returns The message, which must not be `undefined`.
   * @throws {MalformedFrameError | FrameTooLargeError} If the peer is at fault, as for {@linkcode Decoder.decode}: a
   * `Cursor` over the frame throws the first one. Any other error counts as a bug.
   */
  decode(frame: Frame): In;
  /**
   * Writes a message, as for {@linkcode Codec.encode}: its fields to `out`, or a frame by `encode()` of the other codec.
   *
   * @param message The message.
   * @param out The writer.
   */
  encode(message: Out, out: FrameWriter): void;
}

const MAPPING: Known<Mapping<unknown, unknown>> = { decode: checkFunction, encode: checkFunction };

/**
 * Messages in the frames of another codec: the other one says where a frame begins and ends, and has the limits.
 *
 * @param codec The other codec.
 * @param mapping Reads and writes messages.
 * @returns The codec.
 * @throws {TypeError} If something is missing.
 *
 * @example
 * ```ts
 * import { Cursor, lengthPrefixed, mapped } from "@parley/tcp/codecs";
 * import { Session } from "@parley/tcp/session";
 * import { memoryPair } from "@parley/tcp/transport";
 * import { assertEquals } from "@std/assert";
 *
 * const points = mapped(lengthPrefixed({ width: 1 }), {
 *   decode(frame) {
 *     const cursor = new Cursor(frame);
 *     return { x: cursor.int(2), y: cursor.int(2) };
 *   },
 *   encode({ x, y }: { x: number; y: number }, out) {
 *     out.prefixed(1, (out) => {
 *       out.int(x, 2);
 *       out.int(y, 2);
 *     });
 *   },
 * });
 *
 * const [left, right] = memoryPair();
 * const [a, b] = [new Session(left), new Session(right)];
 * await a.frames(points).send({ x: 3, y: -4 });
 * assertEquals(await b.frames(points).read(), { x: 3, y: -4 });
 * await Promise.all([a.close(), b.close()]);
 * ```
 */
export function mapped<Frame, In, Out = In>(
  codec: Pick<Codec<Frame>, "decoder">,
  mapping: Mapping<Frame, In, Out>,
): Codec<In, Out> {
  checkMethods("codec", codec, ["decoder"]);
  checkOptions(mapping, MAPPING);
  checkFunction("decode", mapping.decode);
  checkFunction("encode", mapping.encode);
  return {
    decoder: () => new MappedDecoder(codec.decoder(), mapping),
    encode: (message, out) => mapping.encode(message, out),
  };
}

class MappedDecoder<Frame, In> implements Decoder<In> {
  readonly maxBuffered: number;
  readonly #decoder: Decoder<Frame>;
  readonly #mapping: Pick<Mapping<Frame, In>, "decode">;

  constructor(decoder: Decoder<Frame>, mapping: Pick<Mapping<Frame, In>, "decode">) {
    this.maxBuffered = decoder.maxBuffered;
    this.#decoder = decoder;
    this.#mapping = mapping;
  }

  decode(input: DecoderInput): In | typeof MORE {
    return this.#map(this.#decoder.decode(input));
  }

  finish(input: DecoderInput): In | typeof MORE {
    return this.#map(this.#decoder.finish?.(input) ?? MORE);
  }

  #map(frame: Frame | typeof MORE): In | typeof MORE {
    return frame === MORE ? MORE : this.#mapping.decode(frame);
  }
}
