import { checkFunction } from "../_internal/checks.ts";
import { checkOptions, elsewhere, type Known } from "../_internal/options.ts";
import { MalformedFrameError } from "../errors.ts";
import { type Codec, type Decoder, type DecoderInput, MORE } from "./codec.ts";
import { lines } from "./lines.ts";

/** The white space of JSON (RFC 8259 §2). */
const BLANK = /^[ \t\r\n]*$/;
const [TAB, LF, CR, SPACE] = [0x09, 0x0a, 0x0d, 0x20];

/** Options of {@linkcode jsonLines}. */
export interface JsonLinesOptions<In> {
  /**
   * The maximum length of a line without its end, in bytes, in both directions: 1 to 2^30.
   *
   * @default {65536}
   */
  maxLength?: number;
  /**
   * Validates a value and gives it its type. An error that it throws becomes the cause of a `MalformedFrameError`. For
   * Zod, use `schema.parse`; for Valibot, `(value) => v.parse(schema, value)`. Without it, values are not checked.
   *
   * @param value The parsed value of the line.
   * @returns The message.
   */
  parse?: (value: unknown) => In;
  /**
   * Called with the length, in bytes, of a line that exceeds `maxLength`: it is dropped, and reading goes on with the next
   * one. If it throws, its error ends the input. Without it, such a line is a `FrameTooLargeError`.
   */
  onTooLong?: (length: number) => void;
}

const OPTIONS: Known<JsonLinesOptions<unknown>> = {
  maxLength: elsewhere,
  parse: checkFunction,
  onTooLong: checkFunction,
};

/**
 * JSON values, one per line (NDJSON). Lines that contain only white space are skipped.
 *
 * @param options The limit, and a check for values that are read.
 * @returns The codec. Its decoder throws `FrameTooLargeError`, and `MalformedFrameError` for invalid JSON, invalid UTF-8
 * and values that fail the check. The offset is 0 if the engine does not say where parsing stopped. Sending a value that
 * JSON cannot represent is a `TypeError`.
 * @throws {RangeError} If an option is out of range.
 *
 * @example
 * ```ts
 * import { jsonLines } from "@parley/tcp/codecs";
 * import { Session } from "@parley/tcp/session";
 * import { memoryPair } from "@parley/tcp/transport";
 * import { assertEquals } from "@std/assert";
 *
 * interface Greeting {
 *   name: string;
 * }
 *
 * function toGreeting(value: unknown): Greeting {
 *   if (typeof (value as Greeting)?.name === "string") return value as Greeting;
 *   throw new TypeError("a greeting has a name");
 * }
 *
 * const [left, right] = memoryPair();
 * const [a, b] = [new Session(left), new Session(right)];
 * await a.send('{"name":"rose"}\n');
 * const greeting = await b.frames(jsonLines({ parse: toGreeting })).read();
 * assertEquals(greeting?.name, "rose");
 * await Promise.all([a.close(), b.close()]);
 * ```
 */
export function jsonLines<In = unknown, Out = In>(
  options: JsonLinesOptions<In> = {},
): Codec<In, Out> {
  checkOptions(options, OPTIONS);
  const { parse = (value: unknown) => value as In, maxLength = 64 * 1024, onTooLong } = options;
  const text = lines({ maxLength, fatal: true, ...(onTooLong !== undefined && { onTooLong }) });
  return {
    decoder: () => new JsonLinesDecoder(text.decoder(), maxLength, parse),
    encode: (message, out) => {
      const line = JSON.stringify(message) as string | undefined;
      if (line === undefined) throw new TypeError(`JSON cannot represent ${typeof message}`);
      text.encode(line, out);
    },
  };
}

class JsonLinesDecoder<In> implements Decoder<In> {
  readonly maxBuffered: number;
  readonly #maxLength: number;
  readonly #lines: Decoder<string>;
  readonly #parse: (value: unknown) => In;
  /** Whether the unread bytes begin with a line that an earlier call has seen. */
  #isWithin = false;

  constructor(lines: Decoder<string>, maxLength: number, parse: (value: unknown) => In) {
    this.maxBuffered = lines.maxBuffered;
    this.#maxLength = maxLength;
    this.#lines = lines;
    this.#parse = parse;
  }

  decode(input: DecoderInput): In | typeof MORE {
    while (input.end > input.start) {
      if (!this.#isWithin) skipBlankLines(input, this.#maxLength);
      const line = input.end > input.start ? this.#lines.decode(input) : MORE;
      this.#isWithin = line === MORE && input.end > input.start;
      if (line === MORE) break;
      if (!BLANK.test(line)) return this.#message(line);
    }
    return MORE;
  }

  finish(input: DecoderInput): In | typeof MORE {
    const line = this.#lines.finish!(input);
    return line === MORE || BLANK.test(line) ? MORE : this.#message(line);
  }

  #message(line: string): In {
    let value;
    try {
      value = JSON.parse(line);
    } catch (cause) {
      const offset = offsetOf(cause as SyntaxError, line);
      throw new MalformedFrameError("invalid JSON", offset, { cause });
    }
    try {
      return this.#parse(value);
    } catch (cause) {
      throw new MalformedFrameError("the value fails its check", 0, { cause });
    }
  }
}

/**
 * Skips blank lines in one go. A peer may send nothing else, and decoding 64 KiB of line feeds one by one would block the
 * event loop for 4 ms. A line that may be too long is left to the decoder of lines.
 */
function skipBlankLines(input: DecoderInput, maxLength: number): void {
  const { buffer, start, end } = input;
  let line = start;
  for (let at = start; at < end; at++) {
    const byte = buffer[at];
    if (byte === LF) {
      if (at - line > maxLength) break;
      line = at + 1;
    } else if (byte !== SPACE && byte !== CR && byte !== TAB) break;
  }
  input.consume(line - start);
}

/** The offset in bytes at which parsing stopped, if the engine says so; otherwise 0. */
function offsetOf({ message }: SyntaxError, line: string): number {
  const position = /at position (\d+)/.exec(message)?.[1];
  return new TextEncoder().encode(line.slice(0, Number(position ?? 0))).length;
}
