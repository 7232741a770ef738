import { checkBoolean, checkFunction, checkInteger, shown } from "../_internal/checks.ts";
import { indexOfByte } from "../_internal/index_of.ts";
import { checkOptions, elsewhere, type Known } from "../_internal/options.ts";
import type { AheadInput } from "../_internal/text_ahead.ts";
import { decodeUtf8, utf8Length } from "../_internal/utf8.ts";
import { FrameTooLargeError, MalformedFrameError, TruncatedFrameError } from "../errors.ts";
import { type Codec, type Decoder, type DecoderInput, type FrameWriter, MORE } from "./codec.ts";
import { COPIES, type CopyingDecoder } from "./copying_decoder.ts";
import type { OnTooLong } from "./skipping.ts";

const LF = 0x0a;
const CR = 0x0d;
/** Lines are decoded together if they are probably that long, with their end, and if that many are unread. */
const LONG = 9;
const MANY = 4;
/** Characters that the peer, or another program that gets the line, may take for the end of a line. */
const NOT_IN_A_LINE = [
  ["\n", "a line feed"],
  ["\r", "a carriage return"],
  ["\0", "a NUL character"],
] as const;
/** The bytes of each end. */
const ENDINGS: Readonly<Record<string, readonly number[]>> = {
  "\n": [LF],
  "\r\n": [CR, LF],
  "\r": [CR],
};

/** Options of {@linkcode lines}. */
export interface LinesOptions {
  /**
   * The maximum length of a line without its end, in bytes, in both directions: 1 to 2^30.
   *
   * @default {65536}
   */
  maxLength?: number;
  /**
   * Whether invalid UTF-8 is an error. Otherwise, invalid bytes become U+FFFD.
   *
   * @default {false}
   */
  fatal?: boolean;
  /**
   * The end of lines that are sent: LF, CRLF, or CR, as serial devices use it. Lines that are read end in LF or CRLF. With
   * CR, they end only in CR.
   *
   * @default {"\n"}
   */
  ending?: "\n" | "\r\n" | "\r";
  /**
   * Whether only `ending` ends a line that is read. Any other CR or LF is malformed, and a last line without an end is cut
   * off. SMTP servers need this, with CRLF (RFC 5321 §2.3.8).
   *
   * @default {false}
   */
  strict?: boolean;
  /**
   * Called with the length, in bytes, of a line that exceeds `maxLength`: it is dropped, and reading goes on with the next
   * one. If it throws, its error ends the input. Without it, such a line is a `FrameTooLargeError`.
   */
  onTooLong?: (length: number) => void;
}

/** The checked options. */
interface Rules extends Required<Omit<LinesOptions, "onTooLong">> {
  onTooLong: OnTooLong | undefined;
}

export const LINES_OPTIONS: Known<LinesOptions> = {
  maxLength: elsewhere,
  fatal: checkBoolean,
  ending: elsewhere,
  strict: checkBoolean,
  onTooLong: checkFunction,
};

/**
 * Lines of UTF-8 text, ended by LF or CRLF. A last line without an end counts, unless `strict` is set.
 *
 * @param options Length, strictness, and how sent lines end.
 * @returns The codec. Its decoder throws `FrameTooLargeError`, and `MalformedFrameError` if `fatal` or `strict` is set.
 * Sending a text that contains LF, CR or NUL is a `TypeError`: other programs may take these for the end of a line, so
 * the author of the text could add a line. Lines that are read may contain CR and NUL.
 * @throws {RangeError} If an option is out of range.
 *
 * @example
 * ```ts
 * import { lines } from "@parley/tcp/codecs";
 * import { Session } from "@parley/tcp/session";
 * import { memoryPair } from "@parley/tcp/transport";
 * import { assertEquals } from "@std/assert";
 *
 * const [left, right] = memoryPair();
 * const [a, b] = [new Session(left), new Session(right)];
 * await a.frames(lines({ ending: "\r\n" })).send("rose");
 * assertEquals(await b.lines().read(), "rose");
 * await Promise.all([a.close(), b.close()]);
 * ```
 */
export function lines(options: LinesOptions = {}): Codec<string> {
  checkOptions(options, LINES_OPTIONS);
  return makeLines(options);
}

/** The same for options whose names are known to be right. */
export function makeLines(options: LinesOptions): Codec<string> {
  const { fatal = false, ending = "\n", strict = false } = options;
  const maxLength = checkInteger("maxLength", options.maxLength ?? 64 * 1024, 1, 2 ** 30);
  if (!Object.hasOwn(ENDINGS, ending)) {
    throw new RangeError(
      `ending must be "\\n", "\\r\\n" or "\\r", got ${JSON.stringify(ending)}`,
    );
  }
  return new Lines({
    maxLength,
    fatal,
    ending,
    strict,
    onTooLong: options.onTooLong,
  });
}

class Lines implements Codec<string> {
  readonly #rules: Rules;

  constructor(rules: Rules) {
    this.#rules = rules;
  }

  decoder(): Decoder<string> {
    return this.#rules.strict ? new StrictLinesDecoder(this.#rules) : new LinesDecoder(this.#rules);
  }

  encode(line: string, out: FrameWriter): void {
    const { ending, maxLength } = this.#rules;
    encodeLine(line, ending, maxLength, out);
  }
}

class LinesDecoder implements CopyingDecoder<string> {
  readonly maxBuffered: number;
  readonly copies: typeof COPIES = COPIES;
  readonly #maxLength: number;
  readonly #fatal: boolean;
  readonly #onTooLong: OnTooLong | undefined;
  /** What ends a line, and its byte. */
  readonly #end: string;
  readonly #last: number;
  /** How many bytes the last line had, with its end. */
  #size = 0;
  /** Whether the input had decoded ahead when the last line was read. */
  #isAhead = false;
  /** How many of the unread bytes are known to end no line. */
  #scanned = 0;
  /** How many bytes of this line were dropped. */
  #dropped = 0;

  constructor({ maxLength, fatal, ending, onTooLong }: Rules) {
    this.maxBuffered = maxLength + 1; // a carriage return may come before its line feed
    this.#maxLength = maxLength;
    this.#fatal = fatal;
    this.#end = ending === "\r" ? "\r" : "\n";
    this.#last = this.#end.charCodeAt(0);
    this.#onTooLong = onTooLong;
  }

  decode(input: DecoderInput & AheadInput): string | typeof MORE {
    const isMany = this.#isAhead || input.end - input.start >= this.#size * MANY;
    if (isMany && this.#size >= LONG && this.#scanned + this.#dropped === 0) {
      const line = this.#fromText(input);
      if (line !== undefined) return line;
    }
    for (;;) {
      const { buffer, start, end } = input;
      const last = this.#last;
      const at = indexOfByte(buffer, last, start + this.#scanned, end);
      const stop = at < 0 ? end : at;
      const hasReturn = last === LF && stop > start && buffer[stop - 1] === CR;
      const length = stop - start - (hasReturn ? 1 : 0);
      if (length + this.#dropped > this.#maxLength) {
        if (this.#drop(input, length, at + 1 - start)) continue;
        return MORE;
      }
      if (at < 0) {
        this.#scanned = end - start;
        return MORE;
      }
      this.#scanned = 0;
      const line = decodeUtf8(buffer, start, start + length, this.#fatal);
      input.consume(this.#size = at + 1 - start);
      return line;
    }
  }

  /** A line of the text that the input has decoded ahead, unless it is too long or not all there. */
  #fromText(input: DecoderInput & AheadInput): string | undefined {
    const ahead = input.textAhead?.(this.#size * MANY);
    const text = ahead?.text;
    this.#isAhead = text !== undefined;
    if (text === undefined) return;
    const from = input.start - ahead!.start;
    const at = text.indexOf(this.#end, from);
    if (at < 0) return;
    const hasReturn = this.#last === LF && at > from && text.charCodeAt(at - 1) === CR;
    const stop = hasReturn ? at - 1 : at;
    if (stop - from > this.#maxLength) return;
    input.consume(this.#size = at + 1 - from);
    return text.slice(from, stop);
  }

  finish(input: DecoderInput): string | typeof MORE {
    const { buffer, start, end } = input;
    const length = end - start;
    if (length + this.#dropped > this.#maxLength) {
      this.#drop(input, length, length);
      return MORE;
    }
    const line = decodeUtf8(buffer, start, end, this.#fatal);
    input.consume(length);
    return line;
  }

  /**
   * Drops a line that is too long, or the part of it that has come. While the line is not complete, one byte stays unread.
   * Returns whether there is more to decode.
   */
  #drop(input: DecoderInput, length: number, size: number): boolean {
    const total = this.#dropped + length;
    if (this.#onTooLong === undefined) throw new FrameTooLargeError(this.#maxLength, total);
    this.#scanned = 0;
    if (size <= 0) {
      const count = input.end - input.start - 1;
      input.consume(count);
      this.#dropped += count;
      return false;
    }
    input.consume(size);
    this.#dropped = 0;
    this.#onTooLong(total);
    return input.end > input.start;
  }
}

/** Lines with exactly one kind of end. A last line without an end is truncated. */
class StrictLinesDecoder implements CopyingDecoder<string> {
  readonly maxBuffered: number;
  readonly copies: typeof COPIES = COPIES;
  readonly #maxLength: number;
  readonly #fatal: boolean;
  readonly #onTooLong: OnTooLong | undefined;
  readonly #ending: readonly number[];
  /** How many of the unread bytes are known to be neither CR nor LF. */
  #scanned = 0;
  /** How many bytes of this line were dropped. */
  #dropped = 0;

  constructor({ maxLength, fatal, ending, onTooLong }: Rules) {
    this.maxBuffered = maxLength + ending.length - 1;
    this.#maxLength = maxLength;
    this.#fatal = fatal;
    this.#onTooLong = onTooLong;
    this.#ending = ENDINGS[ending]!;
  }

  decode(input: DecoderInput): string | typeof MORE {
    while (input.end > input.start) {
      const { buffer, start, end } = input;
      const at = this.#findEnd(buffer, start + this.#scanned, end);
      const length = at - start;
      const total = this.#dropped + length;
      const isTooLong = total > this.#maxLength;
      if (isTooLong && this.#onTooLong === undefined) {
        throw new FrameTooLargeError(this.#maxLength, total);
      }
      const isWhole = this.#isEnd(buffer, at, end, total);
      if (!isWhole) {
        this.#scanned = length;
        if (isTooLong) this.#drop(input, at === end ? length - 1 : length); // one byte stays unread
        return MORE;
      }
      this.#scanned = 0;
      if (isTooLong) {
        input.consume(length + this.#ending.length);
        this.#dropped = 0;
        this.#onTooLong!(total);
        continue;
      }
      const line = decodeUtf8(buffer, start, at, this.#fatal);
      input.consume(length + this.#ending.length);
      return line;
    }
    return MORE;
  }

  finish(input: DecoderInput): typeof MORE {
    if (this.#dropped === 0) return MORE;
    throw new TruncatedFrameError(this.#dropped + input.end - input.start);
  }

  #drop(input: DecoderInput, count: number): void {
    input.consume(count);
    this.#dropped += count;
    this.#scanned = 0;
  }

  /** Whether a line ends at `at`. If the end is not complete, it does not yet. */
  #isEnd(buffer: Uint8Array, at: number, end: number, offset: number): boolean {
    const ending = this.#ending;
    for (let i = 0; i < ending.length; i++) {
      if (at + i === end) return false;
      if (buffer[at + i] === ending[i]) continue;
      const found = buffer[at] === CR ? "carriage return" : "line feed";
      throw new MalformedFrameError(`a bare ${found} does not end a line`, offset);
    }
    return true;
  }

  /** The position of the first CR or LF, or `end`. The expected one is searched first, and limits the other search. */
  #findEnd(buffer: Uint8Array, from: number, end: number): number {
    const first = this.#ending[0]!;
    const likely = indexOfByte(buffer, first, from, end);
    const limit = likely < 0 ? end : likely;
    const other = indexOfByte(buffer, first === CR ? LF : CR, from, limit);
    return other < 0 ? limit : other;
  }
}

function encodeLine(line: string, ending: string, maxLength: number, out: FrameWriter): void {
  if (typeof line !== "string") throw new TypeError(`a line must be a string, got ${shown(line)}`);
  for (const [character, name] of NOT_IN_A_LINE) {
    if (line.includes(character)) throw new TypeError(`a line must not contain ${name}`);
  }
  if (line.length * 3 > maxLength) {
    const length = utf8Length(line);
    if (length > maxLength) throw new FrameTooLargeError(maxLength, length);
  }
  out.text(line + ending);
}
