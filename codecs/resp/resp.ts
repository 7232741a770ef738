/** RESP, the protocol of Redis: {@linkcode respClient} and {@linkcode respServer}. */

import { checkInteger, checkOneOf } from "../../_internal/checks.ts";
import { checkOptions, elsewhere, type Known } from "../../_internal/options.ts";
import type { Codec, Decoder, FrameWriter } from "../codec.ts";
import { CommandDecoder, type CommandLimits } from "./command_decoder.ts";
import { encodeCommand, encodeValue, type RespVersion } from "./encode.ts";
import { CODERS, type RespEncoding, type TextCoder } from "./encoding.ts";
import { ValueDecoder } from "./value_decoder.ts";
import type { RespCommand, RespValue } from "./values.ts";

const MIB = 1024 * 1024;
const MOST = 2 ** 30;

/** Options of {@linkcode respServer}. */
export interface RespServerOptions {
  /**
   * What strings are: text in UTF-8, or bytes, each of them a character from U+0000 to U+00FF, so that nothing is lost.
   *
   * @default {"utf-8"}
   */
  encoding?: RespEncoding;
  /**
   * The maximum size of one argument, in bytes: 1 to 2^30.
   *
   * @default {8388608}
   */
  maxBulkLength?: number;
  /**
   * The maximum number of arguments of a command, including its name: 1 to 2^30.
   *
   * @default {1048576}
   */
  maxArguments?: number;
  /**
   * The maximum size of a whole command, in bytes: 1 to 2^30.
   *
   * @default {67108864}
   */
  maxCommandLength?: number;
}

/** Options of {@linkcode respClient}. */
export interface RespClientOptions {
  /**
   * What strings are: text in UTF-8, or bytes, each of them a character from U+0000 to U+00FF, so that nothing is lost.
   *
   * @default {"utf-8"}
   */
  encoding?: RespEncoding;
  /**
   * The maximum size of one string, in bytes: 1 to 2^30.
   *
   * @default {8388608}
   */
  maxBulkLength?: number;
  /**
   * The maximum number of elements of one list, map or set: 1 to 2^30.
   *
   * @default {1048576}
   */
  maxItems?: number;
  /**
   * How deep lists may be nested: 1 to 1000.
   *
   * @default {32}
   */
  maxDepth?: number;
  /**
   * The maximum size of a whole reply, in bytes: 1 to 2^30.
   *
   * @default {67108864}
   */
  maxReplyLength?: number;
}

const SERVER_OPTIONS: Known<RespServerOptions> = {
  encoding: elsewhere,
  maxBulkLength: elsewhere,
  maxArguments: elsewhere,
  maxCommandLength: elsewhere,
};

const CLIENT_OPTIONS: Known<RespClientOptions> = {
  encoding: elsewhere,
  maxBulkLength: elsewhere,
  maxItems: elsewhere,
  maxDepth: elsewhere,
  maxReplyLength: elsewhere,
};

/** The codec of a server's session. Each session needs its own, since the client chooses the version. */
export interface RespServer extends Codec<RespCommand, RespValue> {
  /** The version of the replies: 2 at first. Set it to 3 if the client asks for that by `HELLO`. */
  version: RespVersion;
}

/**
 * The server's side of RESP, versions 2 and 3. It reads commands, also as people type them into telnet, and sends replies.
 *
 * @param options The encoding of strings, and the limits.
 * @returns The codec, one for each session. Its decoder throws {@linkcode RespProtocolError}. The reply for it is
 * `ERR Protocol error: ` and its `problem`.
 * @throws {TypeError | RangeError} If an option is invalid.
 *
 * @example
 * ```ts
 * import { connect, type NetAddr, serve } from "@parley/tcp";
 * import { respClient, RespError, respServer, respStatus } from "@parley/tcp/codecs";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = serve({ port: 0 }, async (session) => {
 *   const commands = session.frames(respServer());
 *   for await (const [name, ...words] of commands) {
 *     if (name === "PING") await commands.send(respStatus("PONG"));
 *     else if (name === "ECHO") await commands.send(words);
 *     else if (name !== undefined) await commands.send(new RespError(`ERR unknown command '${name}'`));
 *   }
 * });
 *
 * await using session = await connect({ port: (server.addr as NetAddr).port });
 * const replies = session.frames(respClient());
 * await replies.send(["PING"]);
 * assertEquals(await replies.read(), "PONG");
 * ```
 */
export function respServer(options: RespServerOptions = {}): RespServer {
  checkOptions(options, SERVER_OPTIONS);
  return new Server({
    maxBulkLength: checkInteger("maxBulkLength", options.maxBulkLength ?? 8 * MIB, 1, MOST),
    maxArguments: checkInteger("maxArguments", options.maxArguments ?? MIB, 1, MOST),
    maxCommandLength: checkInteger(
      "maxCommandLength",
      options.maxCommandLength ?? 64 * MIB,
      1,
      MOST,
    ),
  }, coderOf(options.encoding));
}

class Server implements RespServer {
  version: RespVersion = 2;
  readonly #limits: CommandLimits;
  readonly #coder: TextCoder;

  constructor(limits: CommandLimits, coder: TextCoder) {
    this.#limits = limits;
    this.#coder = coder;
  }

  decoder(): Decoder<RespCommand> {
    return new CommandDecoder(this.#limits, this.#coder);
  }

  encode(reply: RespValue, out: FrameWriter): void {
    encodeValue(reply, this.version, this.#coder, out);
  }
}

/**
 * The client's side of RESP, versions 2 and 3. It sends commands and reads replies. An error of the server is a reply: a
 * {@linkcode RespError}. Attributes, which contain information about a reply, are dropped.
 *
 * @param options The encoding of strings, and the limits.
 * @returns The codec. Its decoder throws {@linkcode RespProtocolError}, and `FrameTooLargeError` for a reply over
 * `maxReplyLength`.
 * @throws {TypeError | RangeError} If an option is invalid.
 *
 * @example
 * ```ts
 * import { respClient } from "@parley/tcp/codecs";
 * import { Session } from "@parley/tcp/session";
 * import { memoryPair } from "@parley/tcp/transport";
 * import { assertEquals } from "@std/assert";
 *
 * const [left, right] = memoryPair();
 * const [a, b] = [new Session(left), new Session(right)];
 * await a.send("*2\r\n$4\r\nrose\r\n:7\r\n");
 * assertEquals(await b.frames(respClient()).read(), ["rose", 7]);
 * await Promise.all([a.close(), b.close()]);
 * ```
 */
export function respClient(options: RespClientOptions = {}): Codec<RespValue, RespCommand> {
  checkOptions(options, CLIENT_OPTIONS);
  const coder = coderOf(options.encoding);
  const limits = {
    maxBulkLength: checkInteger("maxBulkLength", options.maxBulkLength ?? 8 * MIB, 1, MOST),
    maxItems: checkInteger("maxItems", options.maxItems ?? MIB, 1, MOST),
    maxDepth: checkInteger("maxDepth", options.maxDepth ?? 32, 1, 1000),
    maxReplyLength: checkInteger("maxReplyLength", options.maxReplyLength ?? 64 * MIB, 1, MOST),
  };
  return {
    decoder: () => new ValueDecoder(limits, coder),
    encode: (command, out) => encodeCommand(command, coder, out),
  };
}

function coderOf(encoding: RespEncoding = "utf-8"): TextCoder {
  checkOneOf("encoding", encoding, Object.keys(CODERS));
  return CODERS[encoding];
}
