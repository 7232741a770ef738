/** The standard streams: on Deno its own, elsewhere by `node:*`. */

import { Buffer } from "node:buffer";
import fs from "node:fs";
import process from "node:process";
import { isatty } from "node:tty";
import { systemErrors } from "../mod.ts";

/** Standard input. */
export interface StandardInput {
  read(buffer: Uint8Array): Promise<number | null>;
  isTerminal(): boolean;
}

/** Standard output, or standard error. */
export interface StandardOutput {
  write(bytes: Uint8Array): Promise<number>;
  writeSync(bytes: Uint8Array): number;
  isTerminal(): boolean;
}

export const isDeno: boolean = "Deno" in globalThis;

/** How long a write waits that a stream does not take at once, in milliseconds. */
const RETRY = 10;

/** Reads by `process.stdin`, which reads no more than is wanted and a little. */
class NodeInput {
  #isEnded = false;
  #fault: Error | undefined;
  #wake: () => void = () => {};

  constructor() {
    process.stdin.on("readable", () => this.#wake());
    process.stdin.on("end", () => this.#end());
    process.stdin.on("error", (error: Error) => this.#end(error));
  }

  async read(buffer: Uint8Array): Promise<number | null> {
    for (;;) {
      if (this.#fault !== undefined) throw this.#fault;
      const chunk: Uint8Array | null = process.stdin.read();
      if (chunk !== null) {
        const count = Math.min(chunk.length, buffer.length);
        buffer.set(chunk.subarray(0, count));
        if (count < chunk.length) process.stdin.unshift(Buffer.from(chunk.subarray(count)));
        return count;
      }
      if (this.#isEnded) return null;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  #end(fault?: Error): void {
    this.#isEnded = true;
    this.#fault = fault;
    this.#wake();
  }
}

/** Writes to a descriptor. Where it waits for a reader, it does so in another thread. */
class NodeOutput implements StandardOutput {
  readonly #descriptor: number;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  async write(bytes: Uint8Array): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    fs.write(this.#descriptor, bytes, (error, count) => {
      if (error) reject(error);
      else resolve(count);
    });
    try {
      return await promise;
    } catch (error) {
      if (codeOf(error) !== "EAGAIN") throw explained(error);
      await new Promise((resolve) => setTimeout(resolve, RETRY));
      return 0;
    }
  }

  writeSync(bytes: Uint8Array): number {
    try {
      return fs.writeSync(this.#descriptor, bytes);
    } catch (error) {
      if (codeOf(error) === "EAGAIN") return 0;
      throw explained(error);
    }
  }

  isTerminal(): boolean {
    return isatty(this.#descriptor);
  }
}

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown }).code;
}

function explained(error: unknown): unknown {
  if (codeOf(error) !== "EPIPE") return error;
  return new systemErrors.BrokenPipe("nobody reads any more", { cause: error });
}

/** Made when it is first read: Node begins to read then. */
let nodeInput: NodeInput | undefined;

export const stdin: StandardInput = isDeno ? Deno.stdin : {
  read: (buffer) => (nodeInput ??= new NodeInput()).read(buffer),
  isTerminal: () => isatty(0),
};
export const stdout: StandardOutput = isDeno ? Deno.stdout : new NodeOutput(1);
export const stderr: StandardOutput = isDeno ? Deno.stderr : new NodeOutput(2);

/** Whether colours are turned off, see no-color.org. */
export function isColourless(): boolean {
  return isDeno ? Deno.noColor : Boolean(process.env.NO_COLOR);
}
