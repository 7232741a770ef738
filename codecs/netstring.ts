import { checkBytes, checkFunction, checkInteger } from "../_internal/checks.ts";
import { checkOptions, elsewhere, type Known } from "../_internal/options.ts";
import { FrameTooLargeError } from "../errors.ts";
import type { Codec } from "./codec.ts";
import { CountedDecoder } from "./counted.ts";

const COLON = 0x3a;
const COMMA = 0x2c;

/** Options of {@linkcode netstring}. */
export interface NetstringOptions {
  /**
   * The maximum length of a frame, in bytes, in both directions: 1 to 2^30.
   *
   * @default {8388608}
   */
  maxLength?: number;
  /**
   * Called with the length, in bytes, of a frame that exceeds `maxLength`: it is dropped, and reading goes on with the next
   * one. If it throws, its error ends the input. Without it, such a frame is a `FrameTooLargeError`.
   */
  onTooLong?: (length: number) => void;
}

const OPTIONS: Known<NetstringOptions> = { maxLength: elsewhere, onTooLong: checkFunction };

/**
 * Netstrings: the length in decimal digits, a colon, the bytes, and a comma, as in `5:hello,`.
 *
 * @param options The limit.
 * @returns The codec. Its decoder throws `FrameTooLargeError` and `MalformedFrameError`.
 * @throws {RangeError} If an option is out of range.
 *
 * @example
 * ```ts
 * import { netstring } from "@parley/tcp/codecs";
 * import { Session } from "@parley/tcp/session";
 * import { memoryPair } from "@parley/tcp/transport";
 * import { assertEquals } from "@std/assert";
 *
 * const [left, right] = memoryPair();
 * const [a, b] = [new Session(left), new Session(right)];
 * await a.send("5:hello,");
 * assertEquals(await b.frames(netstring()).read(), new TextEncoder().encode("hello"));
 * await Promise.all([a.close(), b.close()]);
 * ```
 */
export function netstring(options: NetstringOptions = {}): Codec<Uint8Array> {
  checkOptions(options, OPTIONS);
  const maxLength = checkInteger("maxLength", options.maxLength ?? 8 * 1024 * 1024, 1, 2 ** 30);
  const { onTooLong } = options;
  const counting = { maxLength, separator: COLON, trailer: COMMA, minLength: 0, onTooLong };
  return {
    decoder: () => new CountedDecoder(counting),
    encode: (frame, out) => {
      checkBytes("a frame", frame);
      if (frame.length > maxLength) throw new FrameTooLargeError(maxLength, frame.length);
      out.text(`${frame.length}:`);
      out.bytes(frame);
      out.text(",");
    },
  };
}
