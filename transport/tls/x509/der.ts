/**
 * A strict reader of DER (X.690 §8, §10, §11): any encoding other than the prescribed one is refused, so bytes have one
 * meaning only. Nothing may be accepted here that webpki, the parser of Deno 2.9.6, refuses: Deno takes the key of a
 * certificate that it cannot parse for proved.
 */

export const BOOLEAN = 0x01;
export const INTEGER = 0x02;
export const BIT_STRING = 0x03;
export const OCTET_STRING = 0x04;
export const OBJECT_IDENTIFIER = 0x06;
export const UTC_TIME = 0x17;
export const GENERALIZED_TIME = 0x18;
export const SEQUENCE = 0x30;
export const SET = 0x31;
/** The tag of a context-specific field is the sum of this and the field's number. */
export const CONTEXT = 0x80;
/** The same for a field that contains other elements. */
export const CONTEXT_CONSTRUCTED = 0xa0;

/** Identifiers in use have 20 bytes at most. To write one of 60,000 bytes as text took 2 s. */
const MAX_OID = 128;

/** Reads DER element by element. Each method throws if the next element is another one than expected. */
export class DerReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** The tag of the next element; `undefined` at the end. */
  get tag(): number | undefined {
    return this.#bytes[this.#at];
  }

  next(): [tag: number, content: Uint8Array, whole: Uint8Array] {
    const from = this.#at;
    const tag = this.#byte();
    if ((tag & 0x1f) === 0x1f) throw new Error("a tag has more than one byte");
    let length = this.#byte();
    if (length >= 0x80) {
      const width = length & 0x7f;
      if (width < 1 || width > 2) {
        throw new Error("an element has 65536 bytes or more, or no definite length");
      }
      length = this.#byte();
      if (width === 2) length = length * 256 + this.#byte();
      if (length < (width === 1 ? 0x80 : 0x100)) {
        throw new Error("a length is not in its shortest form");
      }
    }
    const start = this.#at;
    this.#at += length;
    if (this.#at > this.#bytes.length) throw new Error(CUT_OFF);
    return [tag, this.#bytes.subarray(start, this.#at), this.#bytes.subarray(from, this.#at)];
  }

  /** The content of the next element, which must have this tag. */
  take(tag: number): Uint8Array {
    this.#expect(tag);
    return this.next()[1];
  }

  /** The same element with its tag and length. */
  takeWhole(tag: number): Uint8Array {
    this.#expect(tag);
    return this.next()[2];
  }

  /** The content of the next element if it has this tag; otherwise `undefined`. */
  takeIf(tag: number): Uint8Array | undefined {
    return this.tag === tag ? this.take(tag) : undefined;
  }

  /** A reader of the elements inside the next one. */
  inner(tag: number): DerReader {
    return new DerReader(this.take(tag));
  }

  boolean(): boolean {
    const content = this.take(BOOLEAN);
    const [value] = content;
    if (content.length === 1 && (value === 0x00 || value === 0xff)) return value === 0xff;
    throw new Error("a BOOLEAN is neither true nor false");
  }

  /** The two's complement of an integer. */
  integer(): Uint8Array {
    const content = this.take(INTEGER);
    const [first, second] = content;
    const isPadded = second !== undefined &&
      (first === 0x00 && second < 0x80 || first === 0xff && second >= 0x80);
    if (first === undefined || isPadded) {
      throw new Error("an INTEGER is not in its shortest form");
    }
    return content;
  }

  /** An integer from 0 to 2^31 - 1. */
  smallInteger(): number {
    const content = this.integer();
    if (content.length > 4 || content[0]! >= 0x80) {
      throw new Error("an INTEGER is negative or too large");
    }
    return content.reduce((value, byte) => value * 256 + byte, 0);
  }

  /** The bytes of a BIT STRING without unused bits. */
  bytesOfBits(): Uint8Array {
    const content = this.take(BIT_STRING);
    if (content[0] !== 0) throw new Error("a BIT STRING does not consist of whole bytes");
    return content.subarray(1);
  }

  /** A function that tells whether a named bit is set. Trailing zeros are accepted: they are in wide use. */
  namedBits(): (bit: number) => boolean {
    const content = this.take(BIT_STRING);
    const [unused = 8] = content;
    const isWhole = content.length > 1 ? unused < 8 : unused === 0;
    if (!isWhole || (content.at(-1)! & ((1 << unused) - 1)) !== 0) {
      throw new Error("a BIT STRING has invalid unused bits");
    }
    return (bit) => ((content[1 + (bit >> 3)] ?? 0) & 0x80 >> (bit & 7)) !== 0;
  }

  /** The bytes of an object identifier, in hexadecimal digits. */
  oid(): string {
    const content = this.take(OBJECT_IDENTIFIER);
    if (content.length > MAX_OID) throw new Error("an OBJECT IDENTIFIER is too long");
    let isAtStart = true; // of a component
    for (const byte of content) {
      if (isAtStart && byte === 0x80) throw new Error("an OBJECT IDENTIFIER is padded");
      isAtStart = byte < 0x80;
    }
    if (content.length === 0 || !isAtStart) throw new Error("an OBJECT IDENTIFIER is cut off");
    return hex(content);
  }

  /** Throws if anything is left. */
  end(): void {
    if (!this.isAtEnd) throw new Error("unexpected data after the end");
  }

  #expect(tag: number): void {
    if (this.tag === tag) return;
    const found = this.tag === undefined ? "the end" : `tag ${this.tag}`;
    throw new Error(`expected tag ${tag}, found ${found}`);
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw new Error(CUT_OFF);
    return byte;
  }
}

const CUT_OFF = "an element is cut off";

/** Reads bytes with `read`. Throws if it leaves any of them. */
export function readWhole<Value>(bytes: Uint8Array, read: (reader: DerReader) => Value): Value {
  const reader = new DerReader(bytes);
  const value = read(reader);
  reader.end();
  return value;
}

/** An object identifier in dotted notation. */
export function oidText(oid: string): string {
  const numbers: bigint[] = [];
  let number = 0n;
  for (const digits of oid.match(/../g) ?? []) {
    const byte = parseInt(digits, 16);
    number = number << 7n | BigInt(byte & 0x7f);
    if (byte >= 0x80) continue;
    if (numbers.length === 0) {
      const first = number < 80n ? number / 40n : 2n;
      numbers.push(first, number - first * 40n);
    } else numbers.push(number);
    number = 0n;
  }
  return numbers.join(".");
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

export function hex(bytes: Iterable<number>): string {
  let digits = "";
  for (const byte of bytes) digits += HEX[byte];
  return digits;
}

export function areEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
