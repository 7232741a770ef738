/** Output of the programs to standard error: in order, and without waiting for its reader. */

import { printable, systemErrors } from "../mod.ts";
import { stderr } from "./standard_streams.ts";

/** How many characters may wait to be written. Further texts are omitted. */
const MAX_WAITING = 1024 * 1024;
/** How many characters are written at once. */
const MIN_WRITE = 4096;
/** How long to wait before a failed write is tried again, in milliseconds. */
const RETRY = 100;
/** How long to wait at the end for a reader that takes nothing, and in all, in milliseconds. */
const PATIENCE = 1_000;
const MAX_PATIENCE = 10_000;

/**
 * Texts that wait to be written. If a pipe is not read, or a terminal is stopped, writing blocks. Here, it blocks only a
 * thread of the runtime.
 */
export class TextQueue {
  /** Called with the number of omitted texts, at their place. */
  onOmission: (count: number) => void = (count) => this.push(`${count} lines were omitted\n`);
  readonly #output: { write(bytes: Uint8Array): Promise<number> };
  #texts: string[] = [];
  /** The length of the texts that wait, including the one that is being written. */
  #waiting = 0;
  #omitted = 0;
  #written = 0;
  #writing: Promise<void> | undefined;

  constructor(output: { write(bytes: Uint8Array): Promise<number> }) {
    this.#output = output;
  }

  /** Adds a text, unless too many wait. */
  push(text: string): void {
    if (this.#omitted > 0 || this.#waiting + text.length > MAX_WAITING) this.#omitted++;
    else {
      this.#texts.push(text);
      this.#waiting += text.length;
    }
    this.#writing ??= this.#write();
  }

  /** Resolves when everything is written, or the reader takes nothing. */
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
    await undefined; // joins other texts of this turn
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
        if (error instanceof systemErrors.BrokenPipe) return; // the reader is gone
        await new Promise((resolve) => setTimeout(resolve, RETRY)); // a full disk, a pipe that does not block
      }
    }
  }

  /** Until half of the texts are written, all new ones are omitted, so that there is one gap. */
  #tellOmission(): void {
    const count = this.#omitted;
    if (count === 0 || this.#waiting > MAX_WAITING / 2) return;
    this.#omitted = 0;
    this.onOmission(count);
  }
}

/** The texts of this program. */
export const standardError: TextQueue = new TextQueue(stderr);

/** Writes a line to standard error. Control characters in it are escaped. */
export function say(line: string): void {
  standardError.push(`${printable(line)}\n`);
}

/** Resolves when a promise has resolved, or after a number of milliseconds. */
async function settledWithin(promise: Promise<void>, duration: number): Promise<void> {
  const { promise: timeout, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, duration);
  await Promise.race([promise, timeout]);
  clearTimeout(timer);
}
