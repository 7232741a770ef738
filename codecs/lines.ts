import { checkInteger, shown } from "../_internal/checks.ts";
import { decodeUtf8 } from "../_internal/utf8.ts";
import { FrameTooLargeError } from "../errors.ts";
import { type Codec, type Decoder, type DecoderInput, type FrameWriter, MORE } from "./codec.ts";

const LF = 0x0a;
const CR = 0x0d;
/** What the peer, or the next program that is given the line, may take for its end. */
const NOT_IN_A_LINE = [
  ["\n", "a line feed"],
  ["\r", "a carriage return"],
  ["\0", "a NUL character"],
] as const;
/** So many bytes are looked at one by one before a search of the whole rest pays. */
const NEAR = 48;

/** Options of {@linkcode lines}. */
export interface LinesOptions {
  /**
   * The most bytes that a line may have without its end, both ways: 1 to 2^30.
   *
   * @default {65536}
   */
  maxLength?: number;
  /**
   * Whether bytes that are no UTF-8 are an error. Otherwise they become U+FFFD.
   *
   * @default {false}
   */
  fatal?: boolean;
  /**
   * What ends the lines that are sent. Lines that are read may end in either.
   *
   * @default {"\n"}
   */
  ending?: "\n" | "\r\n";
}

/**
 * Lines of UTF-8 text, ended by LF or CRLF. A last line without an end counts.
 *
 * @param options Length, strictness, and how sent lines end.
 * @returns The codec. Its decoder throws `FrameTooLargeError`, and `MalformedFrameError` where `fatal` is set; to
 * send a text with LF, CR or NUL in it is a `TypeError`, since others take these for the end of a line, so that whoever
 * has put one into the text would say a line of his own. Lines that are read may have CR and NUL in them.
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
  const { fatal = false, ending = "\n" } = options;
  const maxLength = checkInteger("maxLength", options.maxLength ?? 64 * 1024, 1, 2 ** 30);
  if (ending !== "\n" && ending !== "\r\n") {
    throw new RangeError(`ending must be "\\n" or "\\r\\n", got ${JSON.stringify(ending)}`);
  }
  return new Lines(maxLength, fatal, ending);
}

class Lines implements Codec<string> {
  readonly #maxLength: number;
  readonly #fatal: boolean;
  readonly #ending: string;

  constructor(maxLength: number, fatal: boolean, ending: string) {
    this.#maxLength = maxLength;
    this.#fatal = fatal;
    this.#ending = ending;
  }

  decoder(): Decoder<string> {
    return new LinesDecoder(this.#maxLength, this.#fatal);
  }

  encode(line: string, out: FrameWriter): void {
    encodeLine(line, this.#ending, this.#maxLength, out);
  }
}

class LinesDecoder implements Decoder<string> {
  readonly maxBuffered: number;
  readonly #maxLength: number;
  readonly #fatal: boolean;
  /** How many of the unread bytes are known to hold no line feed. */
  #scanned = 0;

  constructor(maxLength: number, fatal: boolean) {
    this.maxBuffered = maxLength + 1; // a carriage return may wait for its line feed
    this.#maxLength = maxLength;
    this.#fatal = fatal;
  }

  decode(input: DecoderInput): string | typeof MORE {
    const { buffer, start, end } = input;
    const at = findLineFeed(buffer, start + this.#scanned, end);
    const stop = at < 0 ? end : at;
    const length = stop - start - (stop > start && buffer[stop - 1] === CR ? 1 : 0);
    if (length > this.#maxLength) throw new FrameTooLargeError(this.#maxLength, length);
    if (at < 0) {
      this.#scanned = end - start;
      return MORE;
    }
    this.#scanned = 0;
    const line = decodeUtf8(buffer, start, start + length, this.#fatal);
    input.consume(at + 1 - start);
    return line;
  }

  finish(input: DecoderInput): string {
    const { buffer, start, end } = input;
    if (end - start > this.#maxLength) throw new FrameTooLargeError(this.#maxLength, end - start);
    const line = decodeUtf8(buffer, start, end, this.#fatal);
    input.consume(end - start);
    return line;
  }
}

function findLineFeed(buffer: Uint8Array, from: number, end: number): number {
  const near = Math.min(end, from + NEAR);
  for (let i = from; i < near; i++) if (buffer[i] === LF) return i;
  if (near === end) return -1;
  // Bounded by a view: the memory behind `end` may be large, and a search of it would make short pieces dear.
  const found = buffer.subarray(near, end).indexOf(LF);
  return found < 0 ? -1 : near + found;
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

function utf8Length(text: string): number {
  let length = 0;
  for (const character of text) {
    const point = character.codePointAt(0)!;
    length += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
  }
  return length;
}
