/** The interface between a reader and its readings. */

import { MORE } from "../codecs/codec.ts";
import type { CopyingDecoder } from "../codecs/copying_decoder.ts";

/** The result of `pull()` at the end of input. */
export const END: unique symbol = Symbol("END");

// A frame is compared with these symbols only if it is a symbol: comparing a string takes V8 5 ns.
export function isMore(frame: unknown): frame is typeof MORE {
  return typeof frame === "symbol" && frame === MORE;
}

export function isEnd(frame: unknown): frame is typeof END {
  return typeof frame === "symbol" && frame === END;
}

/** What a reader uses of a reading. */
export interface Waiting<Frame> {
  readonly decoder: CopyingDecoder<Frame>;
  /** The most bytes that one read may bring. If it is `undefined`, the size depends on the reads before. */
  readonly limit: number | undefined;
  /** Whether it is a loop over messages, which a draining server ends between two of them. */
  readonly drains: boolean;
  /** How long it may wait, in milliseconds. */
  readonly timeout: number | undefined;
  /** Tries again, because input has arrived, has ended or has failed. */
  wake(): void;
  /** Whether the decoder is in the middle of a frame, so it may hold offsets. */
  partial: boolean;
  /** Begins the frame again with a new decoder, because bytes were taken or put back meanwhile. */
  renew(): void;
  /** Rejects the promise of the reading. */
  reject(error: unknown): void;
}
