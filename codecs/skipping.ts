import { MalformedFrameError, TruncatedFrameError } from "../errors.ts";
import type { DecoderInput } from "./codec.ts";

/** Called with the length of a frame that is dropped. */
export type OnTooLong = (length: number) => void;

/**
 * Drops a frame of a known length as it comes. While the frame is not complete, one byte stays unread, so that the session
 * knows that a frame has begun.
 */
export class Skipping {
  #total = 0;
  #remaining = 0;
  #trailer: number | undefined;

  get isDone(): boolean {
    return this.#remaining === 0 && this.#trailer === undefined;
  }

  /** Begins to drop `total` bytes, and then the trailer, if any. */
  begin(total: number, trailer?: number): void {
    this.#total = this.#remaining = total;
    this.#trailer = trailer;
  }

  /** Drops what has come. Returns whether the frame is complete. */
  goOn(input: DecoderInput): boolean {
    input.need(0);
    const unread = input.end - input.start;
    const count = this.#remaining <= unread ? this.#remaining : Math.max(0, unread - 1);
    input.consume(count);
    this.#remaining -= count;
    if (this.#remaining > 0) return false;
    if (this.#trailer === undefined) return true;
    if (input.end === input.start) return false;
    checkTrailer(input.buffer[input.start]!, this.#trailer, this.#total);
    input.consume(1);
    this.#trailer = undefined;
    return true;
  }

  /** Called at the end of input. */
  finish(input: DecoderInput): void {
    if (this.isDone) return;
    const received = this.#total - this.#remaining + input.end - input.start;
    throw new TruncatedFrameError(received, this.#total + (this.#trailer === undefined ? 0 : 1));
  }
}

/** Throws unless a frame ends with its trailer. */
export function checkTrailer(byte: number, trailer: number, offset: number): void {
  if (byte === trailer) return;
  const name = trailer === 0 ? "a NUL" : JSON.stringify(String.fromCharCode(trailer));
  throw new MalformedFrameError(`${name} must end the frame`, offset);
}
