import { checkBytes, checkInteger } from "../_internal/checks.ts";
import type { Codec } from "./codec.ts";
import { Exactly } from "./exactly.ts";

/**
 * Frames of a fixed length.
 *
 * @param length The length of a frame in bytes: 1 to 2^30.
 * @returns The codec. Sending a frame of another length is a `RangeError`.
 * @throws {TypeError | RangeError} If the length is out of range.
 *
 * @example
 * ```ts
 * import { fixed } from "@parley/tcp/codecs";
 * import { Session } from "@parley/tcp/session";
 * import { memoryPair } from "@parley/tcp/transport";
 * import { assertEquals } from "@std/assert";
 *
 * const [left, right] = memoryPair();
 * const [a, b] = [new Session(left), new Session(right)];
 * await a.send(new Uint8Array([1, 2, 3, 4]));
 * assertEquals(await b.frames(fixed(2)).read(), new Uint8Array([1, 2]));
 * await Promise.all([a.close(), b.close()]);
 * ```
 */
export function fixed(length: number): Codec<Uint8Array> {
  checkInteger("length", length, 1, 2 ** 30);
  return {
    decoder: () => new Exactly(length),
    encode: (frame, out) => {
      const got = checkBytes("a frame", frame).length;
      if (got !== length) throw new RangeError(`a frame must have ${length} bytes, got ${got}`);
      out.bytes(frame);
    },
  };
}
