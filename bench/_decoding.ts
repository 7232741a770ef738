import { type Codec, type DecoderInput, MORE } from "@parley/tcp/codecs";

/** Decodes all frames of `bytes`, which contains only complete ones, and returns their number. */
export function decodeAll<Frame>(codec: Codec<Frame, never>, bytes: Uint8Array): number {
  const decoder = codec.decoder();
  let start = 0;
  const input: DecoderInput = {
    buffer: bytes,
    get start(): number {
      return start;
    },
    end: bytes.length,
    consume: (count) => void (start += count),
    need: () => {},
    take: (count) => bytes.slice(start, start += count),
  };
  let frames = 0;
  while (start < bytes.length && decoder.decode(input) !== MORE) frames++;
  return frames;
}
