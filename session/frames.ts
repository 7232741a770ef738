import { checkMethods, shown } from "../_internal/checks.ts";
import type { Codec, Decoder } from "../codecs/codec.ts";
import { checkReadOptions, type Frames, type ReadOptions } from "./options.ts";
import type { Output } from "./output.ts";
import type { Reader } from "./reader.ts";
import { Reading } from "./reading.ts";

/**
 * Reports an error as the peer's fault that was found not by the decoder but by the code that uses its frames. A handler
 * that lets it through does not count as faulty then.
 */
export let reportInputError: (frames: object, error: Error) => void;

/** A session as a stream of frames. */
export class SessionFrames<In, Out> extends Reading<In> implements Frames<In, Out> {
  readonly #reader: Reader;
  readonly #output: Output;
  readonly #codec: Codec<In, Out>;

  static {
    reportInputError = (frames, error) => {
      if (#reader in frames) frames.#reader.inputError = error;
    };
  }

  constructor(
    reader: Reader,
    output: Output,
    codec: Codec<In, Out>,
    { signal, timeout }: ReadOptions,
  ) {
    super(reader, codec, { signal, timeout, drains: true });
    checkDecoder(this.decoder);
    this.#reader = reader;
    this.#output = output;
    this.#codec = codec;
  }

  override read(options?: ReadOptions): Promise<In | undefined> {
    try {
      if (options !== undefined) checkReadOptions(options);
    } catch (error) {
      return Promise.reject(error);
    }
    return super.read(options);
  }

  send(frame: Out): Promise<void> {
    return this.#output.sendFrame(this.#codec, frame);
  }
}

/** Without `maxBuffered`, an incomplete frame would have no limit. */
function checkDecoder(decoder: Decoder<unknown>): void {
  checkMethods("the decoder", decoder, ["decode"]);
  const { maxBuffered } = decoder;
  if (maxBuffered >= 0) return;
  const got = typeof maxBuffered === "number" ? maxBuffered : shown(maxBuffered);
  throw new TypeError(`maxBuffered of the decoder must be a number of bytes, got ${got}`);
}
