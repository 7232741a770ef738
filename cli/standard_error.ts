/** How the programs write to standard error: in order, and without waiting for its reader. */

import { printable } from "../mod.ts";

/** The most that may wait to be written, in characters. What comes then is left out. */
const MAX_WAITING = 1024 * 1024;
/** So many characters are written at once, if there are more. */
const MIN_WRITE = 4096;
/** A write that has failed is tried again after so long, in milliseconds. */
const RETRY = 100;
/** At the end, a reader that takes nothing for so long is waited for no more; in all, it is for the second. */
const PATIENCE = 1_000;
const MAX_PATIENCE = 10_000;

/**
 * Texts that wait to be written. Where nobody reads a pipe, or a terminal is stopped, writing blocks until somebody
 * does: here that blocks a thread of the runtime, and nobody else.
 */
export class TextQueue {
  /** Says that so many texts are missing at this place. */
  onOmission: (count: number) => void = (count) => this.push(`${count} lines were left out\n`);
  readonly #output: { write(bytes: Uint8Array): Promise<number> };
  #texts: string[] = [];
  /** How long those are, and the one that is being written. */
  #waiting = 0;
  #omitted = 0;
  #written = 0;
  #writing: Promise<void> | undefined;

  constructor(output: { write(bytes: Uint8Array): Promise<number> }) {
    this.#output = output;
  }

  /** Takes a text, unless too many wait. */
  push(text: string): void {
    if (this.#omitted > 0 || this.#waiting + text.length > MAX_WAITING) this.#omitted++;
    else {
      this.#texts.push(text);
      this.#waiting += text.length;
    }
    this.#writing ??= this.#write();
  }

  /** Resolves when all is written, or nobody takes it. */
  async finish(): Promise<void> {
    const end = performance.now() + MAX_PATIENCE;
    let before: number;
    do {
      if (this.#writing === undefined) return;
      before = this.#written;
      await settledWithin(this.#writing, PATIENCE);
    } while (this.#written > before && performance.now() < end);
  }

  async #write(): Promise<void> {
    await undefined; // what else is said in this turn goes along
    for (;;) {
      this.#tellOmission();
      if (this.#texts.length === 0) break;
      let count = 0;
      let length = 0;
      while (length < MIN_WRITE && count < this.#texts.length) {
        length += this.#texts[count++]!.length;
      }
      await this.#writeAll(new TextEncoder().encode(this.#texts.splice(0, count).join("")));
      this.#waiting -= length;
    }
    this.#writing = undefined;
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    while (bytes.length > 0) {
      try {
        const count = await this.#output.write(bytes);
        bytes = bytes.subarray(count);
        this.#written += count;
      } catch (error) {
        if (error instanceof Deno.errors.BrokenPipe) return; // nobody wants to read it
        await new Promise((resolve) => setTimeout(resolve, RETRY)); // a full disk, a pipe that does not block
      }
    }
  }

  /** Until half of them are written, all are left out: so it is one gap that is told of. */
  #tellOmission(): void {
    const count = this.#omitted;
    if (count === 0 || this.#waiting > MAX_WAITING / 2) return;
    this.#omitted = 0;
    this.onOmission(count);
  }
}

/** The program's. */
export const standardError: TextQueue = new TextQueue(Deno.stderr);

/** Says a line on standard error, whatever somebody else has put into it. */
export function say(line: string): void {
  standardError.push(`${printable(line)}\n`);
}

/** Resolves when a promise that does not reject has settled, or after so many milliseconds. */
async function settledWithin(promise: Promise<void>, duration: number): Promise<void> {
  const { promise: timeout, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, duration);
  await Promise.race([promise, timeout]);
  clearTimeout(timer);
}
