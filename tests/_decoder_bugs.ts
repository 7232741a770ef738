// Decoders with bugs, which must not be taken for errors of the peer.

import { type Codec, type DecoderInput, MORE } from "../codecs/codec.ts";

/** A codec whose decoder fails when it gets a byte. */
export function codecOf(decode: (input: DecoderInput) => unknown): Codec<unknown> {
  return {
    decoder: () => ({ maxBuffered: 10, decode: decode as () => unknown }),
    encode: () => {},
  };
}

interface Bug {
  decode: (input: DecoderInput) => unknown;
  kind: new (...args: never[]) => Error;
  words: string;
}

const TEXT: unknown = "no such case";

export const DECODER_BUGS: Record<string, Bug> = {
  "a TypeError": {
    decode: () => (undefined as unknown as string).length,
    kind: TypeError,
    words: "undefined",
  },
  "an error of no class of its own": {
    decode: () => {
      throw new Error("no such case");
    },
    kind: Error,
    words: "no such case",
  },
  "a text": {
    decode: () => {
      throw TEXT;
    },
    kind: Error,
    words: "the decoder threw",
  },
  "bytes consumed that are not there": {
    decode: (input) => input.consume(100),
    kind: RangeError,
    words: "cannot consume 100 bytes",
  },
  "a frame of no bytes": { decode: () => "frame", kind: TypeError, words: "consumed nothing" },
  "no result": {
    decode: (input) => input.consume(1),
    kind: TypeError,
    words: "the decoder returned undefined: it must return a frame or MORE",
  },
};

/** The same at the end of input. */
export const FINISHING_BUG: Codec<unknown> = {
  decoder: () => ({
    maxBuffered: 10,
    decode: () => MORE,
    finish: (input) => input.consume(1),
  }),
  encode: () => {},
};
