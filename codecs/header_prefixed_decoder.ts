import { indexOfByte } from "../_internal/index_of.ts";
import { decodeUtf8 } from "../_internal/utf8.ts";
import { FrameTooLargeError, MalformedFrameError } from "../errors.ts";
import { type Decoder, type DecoderInput, MORE } from "./codec.ts";
import { checkTrailer, type OnTooLong, Skipping } from "./skipping.ts";

const [TAB, LF, CR, SPACE, COLON, DEL] = [0x09, 0x0a, 0x0d, 0x20, 0x3a, 0x7f] as const;
const NO_LENGTH = -1;

/** A message with headers that was read. */
export interface HeadedMessage {
  /** The line before the headers; `""` if the protocol has none. */
  startLine: string;
  /** Names and values as they were received, in their order. */
  headers: readonly (readonly [name: string, value: string])[];
  /** The body. */
  body: Uint8Array;
}

/** The checked options of `headerPrefixed()`. */
export interface HeaderRules {
  hasStartLine: boolean;
  /** In lower case. */
  lengthNames: readonly string[];
  /** Whether only CRLF ends a line. */
  isStrict: boolean;
  trims: boolean;
  terminator: number | undefined;
  maxLength: number;
  maxHeaderLength: number;
  onTooLong: OnTooLong | undefined;
}

/** Parses each line once, as it comes, and consumes a message as a whole. */
export class HeaderPrefixedDecoder implements Decoder<HeadedMessage> {
  readonly maxBuffered: number;
  readonly #rules: HeaderRules;
  readonly #skipping: Skipping = new Skipping();
  /** Where the first line begins that is not parsed yet, or the body. */
  #at = 0;
  /** How many of the unread bytes are known to contain no further line end or terminator. */
  #scanned = 0;
  #isBody = false;
  #startLine: string | undefined;
  #headers: [name: string, value: string][] = [];
  #length = NO_LENGTH;

  constructor(rules: HeaderRules) {
    this.maxBuffered = rules.maxHeaderLength + rules.maxLength + 1;
    this.#rules = rules;
  }

  decode(input: DecoderInput): HeadedMessage | typeof MORE {
    while (this.#skipping.isDone || this.#skipping.goOn(input)) {
      while (!this.#isBody) if (!this.#readLine(input)) return MORE;
      if (this.#length === NO_LENGTH) return this.#readToTerminator(input);
      if (this.#length <= this.#rules.maxLength) return this.#readCounted(input);
      this.#drop();
    }
    return MORE;
  }

  finish(input: DecoderInput): typeof MORE {
    this.#skipping.finish(input);
    return MORE;
  }

  /** Parses one line. Returns whether it was complete. */
  #readLine(input: DecoderInput): boolean {
    const { buffer, start, end } = input;
    const { isStrict, maxHeaderLength, hasStartLine, terminator } = this.#rules;
    const from = start + this.#at;
    const at = indexOfByte(buffer, LF, start + this.#scanned, end);
    const size = (at < 0 ? end : at + 1) - start;
    if (size > maxHeaderLength) throw new FrameTooLargeError(maxHeaderLength, size);
    this.#scanned = size;
    if (at < 0) return false;
    const hasReturn = at > from && buffer[at - 1] === CR;
    if (isStrict && !hasReturn) {
      throw new MalformedFrameError("a bare line feed does not end a line", at - start);
    }
    const stop = hasReturn ? at - 1 : at;
    const bare = indexOfByte(buffer, CR, from, stop);
    if (bare >= 0) {
      throw new MalformedFrameError("a bare carriage return does not end a line", bare - start);
    }
    this.#at = size;
    if (stop > from) this.#takeLine(buffer, start, from, stop);
    else if (hasStartLine && this.#startLine === undefined) {
      input.consume(size);
      this.#at = this.#scanned = 0;
    } else {
      if (this.#length === NO_LENGTH && terminator === undefined) {
        throw new MalformedFrameError(`${this.#rules.lengthNames[0]} is missing`, from - start);
      }
      this.#isBody = true;
    }
    return true;
  }

  #takeLine(buffer: Uint8Array, start: number, from: number, stop: number): void {
    const { hasStartLine, lengthNames, trims } = this.#rules;
    if (hasStartLine && this.#startLine === undefined) {
      this.#startLine = decodeUtf8(buffer, from, stop, true, start);
      return;
    }
    const colon = indexOfByte(buffer, COLON, from, stop);
    if (colon <= from) throw new MalformedFrameError("expected a header", from - start);
    for (let at = from; at < colon; at++) {
      if (buffer[at]! > SPACE && buffer[at]! < DEL) continue;
      throw new MalformedFrameError("a header's name must be visible ASCII", at - start);
    }
    let [first, last] = [colon + 1, stop];
    if (trims) {
      while (first < last && isBlank(buffer[first]!)) first++;
      while (first < last && isBlank(buffer[last - 1]!)) last--;
    }
    const name = decodeUtf8(buffer, from, colon, true, start);
    const value = decodeUtf8(buffer, first, last, true, start);
    this.#headers.push([name, value]);
    if (!lengthNames.includes(name.toLowerCase())) return;
    if (this.#length !== NO_LENGTH) {
      throw new MalformedFrameError(`${name} occurs twice`, from - start);
    }
    if (!/^\d+$/.test(value)) {
      throw new MalformedFrameError(`${name} must be a number`, first - start);
    }
    this.#length = Number(value);
  }

  #readCounted(input: DecoderInput): HeadedMessage | typeof MORE {
    const { buffer, start, end } = input;
    const { terminator } = this.#rules;
    const size = this.#at + this.#length;
    const total = size + (terminator === undefined ? 0 : 1);
    if (end - start < total) {
      input.need(total);
      return MORE;
    }
    if (terminator !== undefined) checkTrailer(buffer[start + size]!, terminator, size);
    return this.#finishMessage(input, this.#length);
  }

  #readToTerminator(input: DecoderInput): HeadedMessage | typeof MORE {
    const { buffer, start, end } = input;
    const { terminator, maxLength } = this.#rules;
    const at = indexOfByte(buffer, terminator!, start + this.#scanned, end);
    const length = (at < 0 ? end : at) - start - this.#at;
    if (length > maxLength) throw new FrameTooLargeError(maxLength, length);
    this.#scanned = this.#at + length;
    return at < 0 ? MORE : this.#finishMessage(input, length);
  }

  #finishMessage(input: DecoderInput, length: number): HeadedMessage {
    const { startLine, headers } = this.#begin();
    input.consume(this.#at);
    const body = input.take(length);
    if (this.#rules.terminator !== undefined) input.consume(1);
    this.#at = this.#scanned = 0;
    return { startLine, headers, body };
  }

  #drop(): void {
    const { maxLength, terminator, onTooLong } = this.#rules;
    const length = this.#length;
    if (onTooLong === undefined || length > Number.MAX_SAFE_INTEGER) {
      throw new FrameTooLargeError(maxLength, length);
    }
    this.#skipping.begin(this.#at + length, terminator);
    this.#begin();
    this.#at = this.#scanned = 0;
    onTooLong(length);
  }

  /** Begins another message. Returns what was read of the last one. */
  #begin(): Pick<HeadedMessage, "startLine" | "headers"> {
    const read = { startLine: this.#startLine ?? "", headers: this.#headers };
    this.#isBody = false;
    this.#startLine = undefined;
    this.#headers = [];
    this.#length = NO_LENGTH;
    return read;
  }
}

function isBlank(byte: number): boolean {
  return byte === SPACE || byte === TAB;
}
