import { type Codec, type Decoder, type DecoderInput, MORE } from "./codec.ts";

/** Decodes a fixed number of bytes. It has no state, so one decoder serves all readings. */
export class Exactly implements Decoder<Uint8Array>, Pick<Codec<Uint8Array>, "decoder"> {
  readonly maxBuffered: number;

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
