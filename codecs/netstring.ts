import { checkBytes, checkInteger } from "../_internal/checks.ts";
import { FrameTooLargeError, MalformedFrameError } from "../errors.ts";
import { type Codec, type DecoderInput, MORE } from "./codec.ts";

const ZERO = 0x30;
const NINE = 0x39;
const COLON = 0x3a;
const COMMA = 0x2c;

/** Options of {@linkcode netstring}. */
export interface NetstringOptions {
  /**
   * The most bytes that a frame may have, both ways: 1 to 2^30.
   *
   * @default {8388608}
   */
  maxLength?: number;
}

/**
 * Netstrings: the length in decimal digits, a colon, so many bytes, a comma, as in `5:hello,`.
 *
 * @param options The length.
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
  const maxLength = checkInteger("maxLength", options.maxLength ?? 8 * 1024 * 1024, 1, 2 ** 30);
  const maxDigits = String(maxLength).length;
  return {
    decoder: () => ({
      maxBuffered: maxDigits + 1 + maxLength + 1,
      decode: (input) => decodeNetstring(input, maxLength),
    }),
    encode: (frame, out) => {
      checkBytes("a frame", frame);
      if (frame.length > maxLength) throw new FrameTooLargeError(maxLength, frame.length);
      out.text(`${frame.length}:`);
      out.bytes(frame);
      out.text(",");
    },
  };
}

function decodeNetstring(input: DecoderInput, maxLength: number): Uint8Array | typeof MORE {
  const { buffer, start, end } = input;
  let length = 0;
  let at = start;
  for (; at < end && buffer[at] !== COLON; at++) {
    const byte = buffer[at]!;
    if (byte < ZERO || byte > NINE) {
      throw new MalformedFrameError("a digit or a colon must stand here", at - start);
    }
    if (at > start && length === 0) {
      throw new MalformedFrameError("a length must not begin with 0", 0);
    }
    length = length * 10 + byte - ZERO;
    if (length > maxLength) throw new FrameTooLargeError(maxLength, length);
  }
  if (at === end) return MORE;
  if (at === start) throw new MalformedFrameError("a length must stand before the colon", 0);
  const header = at + 1 - start;
  if (end - at - 1 < length + 1) {
    input.need(header + length + 1);
    return MORE;
  }
  if (buffer[start + header + length] !== COMMA) {
    throw new MalformedFrameError("a comma must end the frame", header + length);
  }
  input.consume(header);
  const frame = input.take(length);
  input.consume(1);
  return frame;
}
