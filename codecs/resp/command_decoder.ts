import { type Decoder, type DecoderInput, MORE } from "../codec.ts";
import type { TextCoder } from "./encoding.ts";
import { RespProtocolError } from "./protocol_error.ts";
import { splitWords } from "./split_words.ts";
import type { RespCommand } from "./values.ts";

const MAX_INLINE = 64 * 1024;

/** The limits of a command. */
export interface CommandLimits {
  maxBulkLength: number;
  maxArguments: number;
  maxCommandLength: number;
}

const [LF, CR, DOLLAR, STAR, MINUS, DIGIT_0] = [0x0a, 0x0d, 0x24, 0x2a, 0x2d, 0x30] as const;

/** What `#readLength()` returns if there is no length. */
const [INCOMPLETE, NEGATIVE, INVALID] = [-1, -2, -3] as const;

/** Decodes commands, as clients send them and as people type them. */
export class CommandDecoder implements Decoder<RespCommand> {
  readonly maxBuffered: number;
  readonly #limits: CommandLimits;
  /** How many bytes of the command are parsed. */
  #at = 0;
  /** How many arguments the command has; -1 if that is not known yet. */
  #count = -1;
  /** How many arguments were found. */
  #found = 0;
  /** Where each of them begins and ends. */
  #bounds: number[] = [];

  readonly #coder: TextCoder;

  constructor(limits: CommandLimits, coder: TextCoder) {
    this.maxBuffered = limits.maxCommandLength;
    this.#limits = limits;
    this.#coder = coder;
  }

  decode(input: DecoderInput): RespCommand | typeof MORE {
    const { buffer, start } = input;
    const end = Math.min(input.end, start + this.maxBuffered); // a command that needs more is too long
    if (this.#count < 0) {
      if (buffer[start] !== STAR) return this.#decodeInline(input);
      const count = this.#readLength(buffer, start, start + 1, end);
      if (count === INCOMPLETE) return MORE;
      if (count === INVALID || count > this.#limits.maxArguments) {
        throw new RespProtocolError("invalid multibulk length", 0);
      }
      this.#count = Math.max(0, count);
    }
    while (this.#found < this.#count) {
      const head = start + this.#at;
      if (head >= end) return MORE;
      if (buffer[head] !== DOLLAR) {
        throw new RespProtocolError(
          `expected '$', got '${String.fromCharCode(buffer[head]!)}'`,
          head - start,
        );
      }
      const length = this.#readLength(buffer, start, head + 1, end);
      if (length === INCOMPLETE) return MORE;
      if (length < 0 || length > this.#limits.maxBulkLength) {
        throw new RespProtocolError("invalid bulk length", head - start);
      }
      const first = this.#at;
      if (start + first + length + 2 > end) {
        this.#at = head - start;
        input.need(first + length + 2);
        return MORE;
      }
      this.#bounds[this.#found * 2] = first;
      this.#bounds[this.#found * 2 + 1] = first + length;
      this.#found++;
      this.#at = first + length + 2; // Redis does not check the line end either
    }
    const command = new Array<string>(this.#count);
    for (let i = 0; i < this.#count; i++) {
      command[i] = this.#coder.decode(
        buffer,
        start + this.#bounds[i * 2]!,
        start + this.#bounds[i * 2 + 1]!,
      );
    }
    return this.#done(input, this.#at, command);
  }

  #done(input: DecoderInput, length: number, command: RespCommand): RespCommand {
    if (this.#bounds.length > 1024) this.#bounds = [];
    this.#at = this.#found = 0;
    this.#count = -1;
    input.consume(length);
    return command;
  }

  /** Reads a decimal number up to the end of the line, and skips the line. */
  #readLength(buffer: Uint8Array, start: number, from: number, end: number): number {
    let value = 0;
    let at = from;
    for (; at < end; at++) {
      const digit = buffer[at]! - DIGIT_0;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    const digits = at - from;
    if (digits === 0 && buffer[at] === MINUS && at < end) {
      const length = this.#readLength(buffer, start, at + 1, end);
      return length > 0 ? NEGATIVE : length < 0 ? length : INVALID;
    }
    if (digits > 15 || (digits > 1 && buffer[from] === DIGIT_0)) return INVALID;
    if (at === end) return INCOMPLETE;
    if (digits === 0 || buffer[at] !== CR) return INVALID;
    if (at + 1 === end) return INCOMPLETE;
    if (buffer[at + 1] !== LF) return INVALID;
    this.#at = at + 2 - start;
    return value;
  }

  /** Decodes a command as people type it: words in a line. */
  #decodeInline(input: DecoderInput): RespCommand | typeof MORE {
    const { buffer, start } = input;
    const end = Math.min(input.end, start + this.maxBuffered);
    const found = buffer.subarray(start + this.#at, end).indexOf(LF);
    const length = found < 0 ? end - start : this.#at + found;
    if (length > MAX_INLINE) throw new RespProtocolError("too big inline request", MAX_INLINE);
    this.#at = length;
    if (found < 0) return MORE;
    const words = splitWords(this.#coder.decode(buffer, start, start + length));
    if (words === undefined) throw new RespProtocolError("unbalanced quotes in request", 0);
    return this.#done(input, length + 1, words);
  }
}
