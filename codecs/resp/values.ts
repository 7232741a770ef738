/** The values of RESP, the protocol of Redis. */

/** A value of RESP. A string is a bulk string; a simple string that was read is one, too. `null` stands for no value. */
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

/** A command: its name and its arguments. An empty command has no effect and gets no reply. */
export type RespCommand = readonly string[];

/** A constant reply, whose bytes are made once. {@linkcode respStatus} makes constants. */
export class RespConstant {
  /** The encoded reply in RESP2, as text. */
  readonly text: string;
  /** The encoded reply in RESP3, as text. */
  readonly text3: string;
  /** The encoded reply in RESP2. */
  readonly bytes: Uint8Array;
  /** The encoded reply in RESP3. */
  readonly bytes3: Uint8Array;

  /**
   * Makes a constant of its encoded form, in ASCII.
   *
   * @param text In RESP2, such as `$-1\r\n`.
   * @param text3 In RESP3, if it differs.
   */
  constructor(text: string, text3: string = text) {
    this.text = text;
    this.text3 = text3;
    this.bytes = new TextEncoder().encode(text);
    this.bytes3 = new TextEncoder().encode(text3);
  }
}

/**
 * A simple string: a short status, such as `OK`.
 *
 * @param text The text, without CR and LF.
 * @returns The reply.
 * @throws {TypeError} If the text contains CR or LF.
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

/** The null array of RESP2, for commands that reply with a list. In RESP3, it is `null`. */
export const RESP_NULL_ARRAY: RespConstant = new RespConstant("*-1\r\n", "_\r\n");

/** An error reply of a server. The message begins with a code for programs, such as `ERR`. */
export class RespError extends Error {
  /** The name of the class. */
  override readonly name = "RespError";
}

/** A push: data that the server sends without a request. In RESP2, it is an ordinary list. */
export class RespPush {
  /** The items, beginning with the kind, such as `message`. */
  readonly items: readonly RespValue[];

  /**
   * Makes a push.
   *
   * @param items The items.
   */
  constructor(items: readonly RespValue[]) {
    this.items = items;
  }
}

/** A verbatim string: text for people. In RESP2, it is a bulk string. */
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
