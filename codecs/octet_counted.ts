import { checkBytes, checkFunction, checkInteger } from "../_internal/checks.ts";
import { checkOptions, elsewhere, type Known } from "../_internal/options.ts";
import { FrameTooLargeError } from "../errors.ts";
import type { Codec } from "./codec.ts";
import { CountedDecoder } from "./counted.ts";

const SPACE = 0x20;

/** Options of {@linkcode octetCounted}. */
export interface OctetCountedOptions {
  /**
   * The maximum length of a message, in bytes, in both directions: 1 to 2^30.
   *
   * @default {65536}
   */
  maxLength?: number;
  /**
   * Called with the length, in bytes, of a message that exceeds `maxLength`: it is dropped, and reading goes on with the
   * next one. If it throws, its error ends the input. Without it, such a message is a `FrameTooLargeError`.
   */
  onTooLong?: (length: number) => void;
}

const OPTIONS: Known<OctetCountedOptions> = { maxLength: elsewhere, onTooLong: checkFunction };

/**
 * Octet counting, as used by syslog over TCP and TLS (RFC 6587 §3.4.1, RFC 5425 §4.3): the length in decimal digits, a
 * space, and the bytes, as in `5 hello`.
 *
 * @param options The limit.
 * @returns The codec. Its decoder throws `FrameTooLargeError` and `MalformedFrameError`. An empty message cannot be sent.
 * @throws {TypeError | RangeError} If an option is invalid.
 *
 * @example
 * ```ts
 * import { octetCounted } from "@parley/tcp/codecs";
 * import { Session } from "@parley/tcp/session";
 * import { memoryPair } from "@parley/tcp/transport";
 * import { assertEquals } from "@std/assert";
 *
 * const [left, right] = memoryPair();
 * const [a, b] = [new Session(left), new Session(right)];
 * await a.send("14 <34>1 - - - - 14 <35>1 - - - - ");
 * assertEquals(await b.frames(octetCounted()).read(), new TextEncoder().encode("<34>1 - - - - "));
 * await Promise.all([a.close(), b.close()]);
 * ```
 */
export function octetCounted(options: OctetCountedOptions = {}): Codec<Uint8Array> {
  checkOptions(options, OPTIONS);
  const maxLength = checkInteger("maxLength", options.maxLength ?? 64 * 1024, 1, 2 ** 30);
  const { onTooLong } = options;
  const counting = { maxLength, separator: SPACE, trailer: undefined, minLength: 1, onTooLong };
  return {
    decoder: () => new CountedDecoder(counting),
    encode: (message, out) => {
      const { length } = checkBytes("a message", message);
      if (length === 0) throw new RangeError("a message must not have 0 bytes");
      if (length > maxLength) throw new FrameTooLargeError(maxLength, length);
      out.text(`${length} `);
      out.bytes(message);
    },
  };
}
