import { type Codec, type DecoderInput, MORE } from "./codec.ts";
import { COPIES, type CopyingDecoder } from "./copying_decoder.ts";

/** Decodes a fixed number of bytes. It has no state, so one decoder serves all readings. */
export class Exactly implements CopyingDecoder<Uint8Array>, Pick<Codec<Uint8Array>, "decoder"> {
  readonly maxBuffered: number;
  readonly copies: typeof COPIES = COPIES;

  constructor(count: number) {
    this.maxBuffered = count;
  }

  decoder(): this {
    return this;
  }

  decode(input: DecoderInput): Uint8Array | typeof MORE {
    const { maxBuffered } = this;
    if (input.end - input.start >= maxBuffered) return input.take(maxBuffered);
    input.need(maxBuffered);
    return MORE;
  }
}
