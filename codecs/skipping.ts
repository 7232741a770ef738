import { TruncatedFrameError } from "../errors.ts";
import type { DecoderInput } from "./codec.ts";

/** What is told of the length of a frame that is dropped. */
export type OnTooLong = (length: number) => void;

/**
 * A frame of a known length that is dropped as it comes, but for the last byte that has come: so that the session knows
 * of a frame which is not complete.
 */
export class Skipping {
  #total = 0;
  #rest = 0;

  get isDone(): boolean {
    return this.#rest === 0;
  }

  begin(total: number): void {
    this.#total = this.#rest = total;
  }

  /** Drops what has come. Returns whether that was all. */
  goOn(input: DecoderInput): boolean {
    input.need(0);
    const unread = input.end - input.start;
    const count = this.#rest <= unread ? this.#rest : Math.max(0, unread - 1);
    input.consume(count);
    this.#rest -= count;
    return this.#rest === 0;
  }

  /** Called at the end of input. */
  finish(input: DecoderInput): void {
    if (this.isDone) return;
    const received = this.#total - this.#rest + input.end - input.start;
    throw new TruncatedFrameError(received, this.#total);
  }
}
