/** What RESP, the protocol of Redis, has besides strings, numbers and lists. */

/** A value of RESP. A string is a bulk string, or a simple one that was read; `null` says that there is none. */
export type RespValue =
  | string
  | number
  | bigint
  | boolean
  | null
  | readonly RespValue[]
  | ReadonlyMap<RespValue, RespValue>
  | ReadonlySet<RespValue>
  | RespConstant
  | RespError
  | RespPush
  | RespVerbatim;

/** A command: its name and its arguments. One that is empty asks for nothing and gets no reply. */
export type RespCommand = readonly string[];

/** A reply that is always the same: its bytes are made once. {@linkcode respStatus} makes them. */
export class RespConstant {
  /** The bytes as RESP2 has them, each a character. */
  readonly text: string;
  /** The same of RESP3. */
  readonly text3: string;
  /** The bytes of RESP2. */
  readonly bytes: Uint8Array;
  /** The bytes of RESP3. */
  readonly bytes3: Uint8Array;

  /**
   * Makes a reply of ASCII, as it goes over the wire.
   *
   * @param text In RESP2, such as `$-1\r\n`.
   * @param text3 In RESP3, where it differs.
   */
  constructor(text: string, text3: string = text) {
    this.text = text;
    this.text3 = text3;
    this.bytes = new TextEncoder().encode(text);
    this.bytes3 = new TextEncoder().encode(text3);
  }
}

/**
 * A simple string: a short text that says how it went, such as `OK`.
 *
 * @param text The text, without CR and LF.
 * @returns The reply.
 * @throws {TypeError} If there is a CR or LF in it.
 *
 * @example
 * ```ts
 * import { respStatus } from "@parley/tcp/codecs";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(respStatus("OK").text, "+OK\r\n");
 * ```
 */
export function respStatus(text: string): RespConstant {
  if (/[\r\n]/.test(text)) throw new TypeError("a simple string must not contain CR or LF");
  return new RespConstant(`+${text}\r\n`);
}

/** What stands in RESP2 for no list, where a list is asked for. In RESP3, it is `null`. */
export const RESP_NULL_ARRAY: RespConstant = new RespConstant("*-1\r\n", "_\r\n");

/** What a server says of a command that it cannot do. A message begins with a word for programs, such as `ERR`. */
export class RespError extends Error {
  /** The name of the class. */
  override readonly name = "RespError";
}

/** What a client is told without having asked. In RESP2, it is a list like any other. */
export class RespPush {
  /** What it is told, beginning with the kind, such as `message`. */
  readonly items: readonly RespValue[];

  /**
   * Makes a push.
   *
   * @param items What is told.
   */
  constructor(items: readonly RespValue[]) {
    this.items = items;
  }
}

/** Text for people. In RESP2, it is a bulk string. */
export class RespVerbatim {
  /** The text. */
  readonly text: string;
  /** Three letters: `txt`, or `mkd` for Markdown. */
  readonly format: string;

  /**
   * Makes a text.
   *
   * @param text The text.
   * @param format Three letters of ASCII.
   * @throws {TypeError} If the format is something else.
   */
  constructor(text: string, format: string = "txt") {
    if (!/^[\x20-\x7e]{3}$/.test(format)) {
      throw new TypeError("the format of a verbatim string must be three letters of ASCII");
    }
    this.text = text;
    this.format = format;
  }
}
