import {
  checkBoolean,
  checkBytes,
  checkFunction,
  checkInteger,
  checkOneOf,
  shown,
} from "../_internal/checks.ts";
import { checkOptions, elsewhere, type Known } from "../_internal/options.ts";
import { utf8Length } from "../_internal/utf8.ts";
import { FrameTooLargeError } from "../errors.ts";
import type { Codec, FrameWriter } from "./codec.ts";
import {
  type HeadedMessage,
  HeaderPrefixedDecoder,
  type HeaderRules,
} from "./header_prefixed_decoder.ts";

export type { HeadedMessage };

/** Options of {@linkcode headerPrefixed}. */
export interface HeaderPrefixedOptions {
  /**
   * Whether a message begins with a line that is not a header, as in SIP and STOMP. Empty lines before it are skipped.
   *
   * @default {false}
   */
  startLine?: boolean;
  /**
   * The names, in any case, of the header with the length of the body in bytes. The first name is the one that is sent.
   *
   * @default {"Content-Length"}
   */
  lengthHeader?: string | readonly string[];
  /**
   * The end of lines. With CRLF, lines that are read must end in CRLF. With LF, they may end in either.
   *
   * @default {"\r\n"}
   */
  ending?: "\r\n" | "\n";
  /**
   * The separator that is sent between a name and its value. With `": "`, spaces and tabs around a value that is read are
   * dropped. With `":"`, as in STOMP, they belong to the value.
   *
   * @default {": "}
   */
  separator?: ": " | ":";
  /**
   * An ASCII character that ends the body, such as the NUL of STOMP. With a terminator, a message may have no length: its
   * body then ends at the first terminator.
   *
   * @default None: each message needs a length.
   */
  terminator?: string;
  /**
   * The maximum length of a body, in bytes, in both directions: 1 to 2^30.
   *
   * @default {8388608}
   */
  maxLength?: number;
  /**
   * The maximum length of everything before the body, in bytes, in both directions: 1 to 2^30.
   *
   * @default {65536}
   */
  maxHeaderLength?: number;
  /**
   * Called with the length, in bytes, of a body that exceeds `maxLength` according to its header: the message is dropped,
   * and reading goes on with the next one. If it throws, its error ends the input. Without it, such a body is a
   * `FrameTooLargeError`.
   */
  onTooLong?: (length: number) => void;
}

const OPTIONS: Known<HeaderPrefixedOptions> = {
  startLine: checkBoolean,
  lengthHeader: elsewhere,
  ending: elsewhere,
  separator: elsewhere,
  terminator: elsewhere,
  maxLength: elsewhere,
  maxHeaderLength: elsewhere,
  onTooLong: checkFunction,
};

/** A message with headers, to be sent. */
export interface HeadedMessageInit {
  /** The line before the headers, if the protocol has one. */
  startLine?: string;
  /** Names and values. The length is added to them. */
  headers?: Iterable<readonly [name: string, value: string]>;
  /** The body. Text is sent as UTF-8. */
  body?: Uint8Array | string;
}

const encoder = new TextEncoder();

/**
 * Messages with headers: lines of `Name: value`, an empty line, and a body whose length is in one of the headers. LSP, SIP
 * and STOMP use this format. The guide on codecs has their options.
 *
 * @param options The format of the headers, and the limits.
 * @returns The codec. Its decoder throws `FrameTooLargeError`, and `MalformedFrameError` for an invalid or folded header,
 * for a length that is missing, occurs twice or is not a number, and for invalid UTF-8.
 * @throws {TypeError | RangeError} If an option is invalid.
 *
 * @example
 * ```ts
 * import { headerPrefixed } from "@parley/tcp/codecs";
 * import { Session } from "@parley/tcp/session";
 * import { memoryPair } from "@parley/tcp/transport";
 * import { assertEquals } from "@std/assert";
 *
 * const [left, right] = memoryPair();
 * const [a, b] = [new Session(left), new Session(right)];
 * await a.send('Content-Length: 17\r\n\r\n{"jsonrpc":"2.0"}');
 * const message = await b.frames(headerPrefixed()).read();
 * assertEquals(new TextDecoder().decode(message?.body), '{"jsonrpc":"2.0"}');
 * await Promise.all([a.close(), b.close()]);
 * ```
 */
export function headerPrefixed(
  options: HeaderPrefixedOptions = {},
): Codec<HeadedMessage, HeadedMessageInit> {
  checkOptions(options, OPTIONS);
  const { startLine = false, lengthHeader = "Content-Length", ending = "\r\n", separator = ": " } =
    options;
  checkOneOf("ending", ending, ["\r\n", "\n"]);
  checkOneOf("separator", separator, [": ", ":"]);
  const lengthNames = typeof lengthHeader === "string" ? [lengthHeader] : [...lengthHeader];
  if (lengthNames.length === 0) throw new TypeError("lengthHeader must name a header");
  for (const name of lengthNames) checkName(name);
  const rules: HeaderRules = {
    hasStartLine: startLine,
    lengthNames: lengthNames.map((name) => name.toLowerCase()),
    isStrict: ending === "\r\n",
    trims: separator === ": ",
    terminator: options.terminator === undefined ? undefined : codeOf(options.terminator),
    maxLength: checkInteger("maxLength", options.maxLength ?? 8 * 1024 * 1024, 1, 2 ** 30),
    maxHeaderLength: checkInteger(
      "maxHeaderLength",
      options.maxHeaderLength ?? 64 * 1024,
      1,
      2 ** 30,
    ),
    onTooLong: options.onTooLong,
  };
  return {
    decoder: () => new HeaderPrefixedDecoder(rules),
    encode(message, out): void {
      const body = bytesOf(message.body ?? "");
      const head = headOf(message, rules, separator, ending) +
        `${lengthNames[0]}${separator}${body.length}${ending}${ending}`;
      encodeMessage(head, body, rules, out);
    },
  };
}

/**
 * The first value of a header.
 *
 * @param message The message.
 * @param name The name, in any case.
 * @returns The value, or `undefined` if there is no such header.
 *
 * @example
 * ```ts
 * import { headerOf } from "@parley/tcp/codecs";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(headerOf({ headers: [["Via", "a"], ["Via", "b"]] }, "via"), "a");
 * ```
 */
export function headerOf(
  message: Pick<HeadedMessage, "headers">,
  name: string,
): string | undefined {
  const wanted = name.toLowerCase();
  return message.headers.find(([name]) => name.toLowerCase() === wanted)?.[1];
}

function codeOf(terminator: string): number {
  if (typeof terminator === "string" && /^[\0-\x7f]$/.test(terminator)) {
    return terminator.charCodeAt(0);
  }
  throw new TypeError(`terminator must be one character of ASCII, got ${shown(terminator)}`);
}

function bytesOf(body: Uint8Array | string): Uint8Array {
  return typeof body === "string" ? encoder.encode(body) : checkBytes("a body", body);
}

/** The start line and the headers, without the length. */
function headOf(
  { startLine, headers = [] }: HeadedMessageInit,
  rules: HeaderRules,
  separator: string,
  ending: string,
): string {
  if (rules.hasStartLine !== (startLine !== undefined)) {
    throw new TypeError(`a message must have ${rules.hasStartLine ? "a" : "no"} start line`);
  }
  let head = "";
  if (startLine !== undefined) {
    if (startLine === "") throw new TypeError("a start line must not be empty");
    checkText("a start line", startLine);
    head = startLine + ending;
  }
  for (const [name, value] of headers) {
    checkName(name);
    checkText(`the value of ${name}`, value);
    if (rules.lengthNames.includes(name.toLowerCase())) {
      throw new TypeError(`${name} is added to each message: leave it out`);
    }
    head += name + separator + value + ending;
  }
  return head;
}

/** A name must be visible ASCII without a colon. With a space in a name, the length could be hidden from other programs. */
function checkName(name: string): void {
  if (typeof name === "string" && /^[!-9;-~]+$/.test(name)) return;
  throw new TypeError(`a header's name must be visible ASCII without a colon, got ${show(name)}`);
}

function checkText(what: string, text: string): void {
  if (typeof text !== "string") throw new TypeError(`${what} must be a string, got ${shown(text)}`);
  if (/[\r\n\0]/.test(text)) throw new TypeError(`${what} must not contain CR, LF or NUL`);
}

function show(name: unknown): string {
  return typeof name === "string" ? JSON.stringify(name) : shown(name);
}

function encodeMessage(head: string, body: Uint8Array, rules: HeaderRules, out: FrameWriter): void {
  const { maxLength, maxHeaderLength, terminator } = rules;
  if (body.length > maxLength) throw new FrameTooLargeError(maxLength, body.length);
  const length = utf8Length(head);
  if (length > maxHeaderLength) throw new FrameTooLargeError(maxHeaderLength, length);
  out.text(head);
  out.bytes(body);
  if (terminator !== undefined) out.uint(terminator, 1);
}
