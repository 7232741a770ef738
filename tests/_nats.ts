// A real NATS server, and the part of its protocol that the tests need.

import { Buffer } from "node:buffer";
import { type Codec, MORE } from "../codecs/mod.ts";
import { MalformedFrameError } from "../errors.ts";
import { canNet, canRun } from "./_permissions.ts";
import { Program } from "./_programs.ts";

export const hasNats: boolean = canNet && await isInstalled();

async function isInstalled(): Promise<boolean> {
  if (!await canRun("nats-server")) return false;
  try {
    return (await new Deno.Command("nats-server", { args: ["--version"] }).output()).success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Starts a server on a port, by default any that is free. With a directory, it keeps streams there. */
export async function startNats(
  port?: number,
  directory?: string,
): Promise<{ program: Program; port: number }> {
  const args = ["-a", "127.0.0.1", "-p", `${port ?? -1}`];
  if (directory !== undefined) args.push("-js", "-sd", directory);
  const program = new Program("nats-server", args);
  const [, taken] = await program.stderr.until(/client connections on 127\.0\.0\.1:(\d+)/);
  await program.stderr.until(/Server is ready/);
  return { program, port: Number(taken) };
}

/** What a server sends: the words of a line, and the payload of a message. */
export interface NatsFrame {
  words: string[];
  payload?: string;
}

/** What a client sends. */
export interface NatsCommand {
  line: string;
  payload?: string;
  /** The subject of its reply. */
  inbox?: string;
}

/** A command that publishes a request. */
export function askFor(subject: string, inbox: string, payload: string): NatsCommand {
  return { line: `PUB ${subject} ${inbox} ${Buffer.byteLength(payload)}`, payload, inbox };
}

export const nats: Codec<NatsFrame, NatsCommand> = {
  decoder: () => ({
    maxBuffered: 1024 * 1024,
    decode(input): NatsFrame | typeof MORE {
      const bytes = Buffer.from(input.buffer.buffer, input.buffer.byteOffset).subarray(
        input.start,
        input.end,
      );
      const end = bytes.indexOf("\r\n");
      if (end < 0) return MORE;
      const words = bytes.toString("utf8", 0, end).split(" ");
      if (words[0] !== "MSG") {
        input.consume(end + 2);
        return { words };
      }
      const length = Number(words.at(-1));
      if (!(length >= 0)) throw new MalformedFrameError("a message without a length", 0);
      const total = end + 2 + length + 2;
      if (bytes.length < total) {
        input.need(total);
        return MORE;
      }
      const payload = bytes.toString("utf8", end + 2, end + 2 + length);
      input.consume(total);
      return { words, payload };
    },
  }),
  encode({ line, payload }, out): void {
    out.text(payload === undefined ? `${line}\r\n` : `${line}\r\n${payload}\r\n`);
  },
};
