import { readFrom, type Source } from "./standard_input.ts";

/** The size of a read, in bytes. */
const CHUNK = 64 * 1024;
const CR = 13;
const LF = 10;

/**
 * The input of a relay. Bytes that were not sent stay at its head, for the next connection. While a chunk is sent, one
 * further chunk is read.
 */
export class RelayInput {
  readonly #source: Source;
  readonly #crlf: boolean;
  #spare = [new Uint8Array(CHUNK), new Uint8Array(CHUNK)];
  #head: Promise<Uint8Array | undefined> | undefined;
  #unsent: Uint8Array | undefined;
  #ahead: Promise<Uint8Array | undefined> | undefined;
  #endsInCr = false;
  #isDone = false;

  constructor(source: Source, options: { crlf: boolean }) {
    this.#source = source;
    this.#crlf = options.crlf;
  }

  /** Whether the input has ended and all of it was sent. */
  get isDone(): boolean {
    return this.#isDone;
  }

  /** The bytes to send next, `undefined` at the end. They stay the same until some are sent. */
  next(): Promise<Uint8Array | undefined> {
    return this.#head ??= this.#advance();
  }

  /** Some of the bytes of `next()` were sent. */
  consume(count: number): void {
    if (this.#unsent === undefined) return;
    const rest = this.#unsent.subarray(count);
    this.#unsent = rest.length > 0 ? rest : undefined;
    this.#head = rest.length > 0 ? Promise.resolve(rest) : undefined;
  }

  async #advance(): Promise<Uint8Array | undefined> {
    const chunk = this.#unsent = await (this.#ahead ?? this.#read());
    this.#isDone = chunk === undefined;
    if (chunk !== undefined) {
      this.#ahead = this.#read();
      this.#ahead.catch(() => {}); // next() reports it
    }
    return chunk;
  }

  async #read(): Promise<Uint8Array | undefined> {
    const [buffer, other] = this.#spare as [Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>];
    this.#spare = [other, buffer];
    const count = await readFrom(this.#source, buffer);
    if (count === null) return undefined;
    const bytes = buffer.subarray(0, count);
    return this.#crlf ? this.#withCrlf(bytes) : bytes;
  }

  /** Inserts a CR before each LF without one. It takes the last byte of the previous chunk into account. */
  #withCrlf(bytes: Uint8Array): Uint8Array {
    const result = new Uint8Array(bytes.length * 2);
    let length = 0;
    let before = this.#endsInCr ? CR : 0;
    for (const byte of bytes) {
      if (byte === LF && before !== CR) result[length++] = CR;
      result[length++] = before = byte;
    }
    this.#endsInCr = before === CR;
    return result.subarray(0, length);
  }
}
