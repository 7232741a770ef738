import type { Decoder } from "./codec.ts";

/** A symbol, since the decoder of a user may have a property of the same name. */
export const COPIES: unique symbol = Symbol("COPIES");

/** A decoder that may say that it keeps no view of the input's memory. */
export interface CopyingDecoder<Frame> extends Decoder<Frame> {
  /**
   * Whether all that it returns is a copy. Then it may decode input in memory that other sessions share. A decoder of a user
   * does not say so: if it returned a view by mistake, that would show what other sessions receive later.
   */
  readonly copies?: typeof COPIES | undefined;
}
