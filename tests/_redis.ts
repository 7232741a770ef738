// Redis from outside: the real server and its tools where they are installed, and a client that shows raw replies.

import { Buffer } from "node:buffer";
import { canNet } from "./_permissions.ts";
import { isInstalled } from "./_programs.ts";
import { makeTempDir } from "./_temp_dir.ts";

export const hasRedisServer: boolean = canNet && await isInstalled("redis-server", "--version");
export const hasRedisTools: boolean = canNet && await isInstalled("redis-cli", "--version") &&
  await isInstalled("redis-benchmark", "--version");

/** Bytes as a string of as many characters, and back. */
export function fromBytes(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}

export function toBytes(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "latin1"));
}

/** A command as clients send it. */
export function command(words: readonly string[]): string {
  return `*${words.length}\r\n` +
    words.map((word) => `$${word.length}\r\n${word}\r\n`).join("");
}

/** A client that knows where a reply ends, and leaves it as it is. */
export class RawClient implements Disposable {
  readonly #connection: Deno.Conn;
  readonly #buffer = new Uint8Array(64 * 1024);
  #unread = "";

  constructor(connection: Deno.Conn) {
    this.#connection = connection;
  }

  async send(text: string): Promise<void> {
    let rest = toBytes(text);
    while (rest.length > 0) rest = rest.subarray(await this.#connection.write(rest));
  }

  /** The bytes of one reply, whatever is nested in it. */
  async reply(): Promise<string> {
    const line = await this.#line();
    const count = Number(line.slice(1, -2));
    switch (line[0]) {
      case "$":
      case "=":
        return count < 0 ? line : line + await this.#take(count + 2);
      case "*":
      case "~":
      case ">":
      case "%": {
        let all = line;
        for (let left = line[0] === "%" ? count * 2 : count; left > 0; left--) {
          all += await this.reply();
        }
        return all;
      }
      default:
        return line;
    }
  }

  /** Sends a command and takes its reply. */
  async ask(...words: readonly string[]): Promise<string> {
    await this.send(command(words));
    return await this.reply();
  }

  /** What comes until the server closes. */
  async rest(): Promise<string> {
    while (await this.#fill());
    return this.#unread;
  }

  [Symbol.dispose](): void {
    this.#connection.close();
  }

  async #line(): Promise<string> {
    let end: number;
    while ((end = this.#unread.indexOf("\r\n")) < 0) await this.#mustFill();
    return await this.#take(end + 2);
  }

  async #take(count: number): Promise<string> {
    while (this.#unread.length < count) await this.#mustFill();
    const taken = this.#unread.slice(0, count);
    this.#unread = this.#unread.slice(count);
    return taken;
  }

  async #mustFill(): Promise<void> {
    if (!await this.#fill()) {
      throw new Error(`the server left after ${JSON.stringify(this.#unread)}`);
    }
  }

  async #fill(): Promise<boolean> {
    const count = await this.#connection.read(this.#buffer);
    if (count === null) return false;
    this.#unread += fromBytes(this.#buffer.subarray(0, count));
    return true;
  }
}

/** A real Redis server with nothing in it. */
export interface RealRedis extends AsyncDisposable {
  /** Where it listens. */
  readonly path: string;
  dial(): Promise<RawClient>;
}

/** Starts one on a Unix socket, so that it takes no port. */
export async function startRedis(): Promise<RealRedis> {
  const directory = await makeTempDir();
  const path = `${directory.path}/redis.sock`;
  const process = new Deno.Command("redis-server", {
    args: [
      "--port",
      "0",
      "--unixsocket",
      path,
      "--dir",
      directory.path,
      "--save",
      "",
      "--enable-debug-command",
      "yes",
    ],
    stdin: "null",
    stdout: "piped",
  }).spawn();
  const decoder = new TextDecoder();
  let log = "";
  const reader = process.stdout.getReader();
  while (!log.includes("ready to accept connections")) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`redis-server did not start: ${log}`);
    log += decoder.decode(value, { stream: true });
  }
  reader.releaseLock();
  return {
    path,
    dial: async () => new RawClient(await Deno.connect({ transport: "unix", path })),
    async [Symbol.asyncDispose](): Promise<void> {
      process.kill("SIGTERM");
      await process.stdout.pipeTo(new WritableStream());
      await process.status;
      await directory[Symbol.asyncDispose]();
    },
  };
}
