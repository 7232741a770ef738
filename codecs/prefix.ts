/** The options that `FrameWriter.prefixed()` and `Cursor.prefixed()` have in common. */

import { checkBoolean, checkInteger } from "../_internal/checks.ts";
import { MAX_VARINT } from "../_internal/numbers.ts";
import { elsewhere, type Known } from "../_internal/options.ts";
import type { PrefixedOptions, PrefixWidth } from "./codec.ts";

export const PREFIXED_OPTIONS: Known<PrefixedOptions> = {
  includesHeader: checkBoolean,
  littleEndian: checkBoolean,
  maxWidth: elsewhere,
};

/** The size of a length, or the maximum size of a varint. Throws if the options contradict each other. */
export function prefixSize(
  width: PrefixWidth,
  includesHeader: boolean,
  maxWidth: number | undefined,
): number {
  if (width === "varint") {
    if (includesHeader) {
      throw new TypeError("includesHeader cannot be combined with a varint, whose own size varies");
    }
    return checkInteger("maxWidth", maxWidth ?? MAX_VARINT, 1, MAX_VARINT);
  }
  if (maxWidth !== undefined) {
    throw new TypeError(`maxWidth is for varints, but width is ${width}`);
  }
  return checkInteger("width", width, 1, 8);
}
