import { type Codec, type Decoder, MORE } from "../codecs/codec.ts";
import type { ReadOptions } from "./options.ts";
import type { Reader } from "./reader.ts";
import { turn } from "./turn.ts";
import { type END, isEnd, isMore, type Waiting } from "./waiting.ts";

interface ReadingOptions {
  signal?: AbortSignal | undefined;
  timeout?: number | undefined;
  limit?: number | undefined;
  drains?: boolean;
}

const ENDED: IteratorReturnResult<undefined> = { done: true, value: undefined };

/**
 * One way of reading a session, written by hand because an async generator cannot be left while it waits.
 *
 * `return()` only settles a waiting `next()`; the next loop over the same object goes on where this one left.
 */
export class Reading<Frame>
  implements AsyncIterableIterator<Frame, undefined, void>, Waiting<Frame> {
  decoder: Decoder<Frame>;
  partial = false;
  readonly #codec: Pick<Codec<Frame>, "decoder">;
  readonly limit: number | undefined;
  readonly #reader: Reader;
  readonly #loopDrains: boolean;
  readonly #loopSignal: AbortSignal | undefined;
  readonly #loopTimeout: number | undefined;
  drains = false;
  timeout: number | undefined;
  #single = false;
  #signal: AbortSignal | undefined;
  #onAbort: (() => void) | undefined;
  #resolve!: (result: never) => void;
  #reject!: (error: unknown) => void;

  constructor(
    reader: Reader,
    codec: Pick<Codec<Frame>, "decoder">,
    options: ReadingOptions = {},
  ) {
    this.decoder = codec.decoder();
    this.#codec = codec;
    this.limit = options.limit;
    this.#reader = reader;
    this.#loopDrains = options.drains ?? false;
    this.#loopSignal = options.signal;
    this.#loopTimeout = options.timeout;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The next frame of a loop. */
  next(): Promise<IteratorResult<Frame, undefined>> {
    try {
      const frame = this.#pull(this.#loopSignal);
      if (isMore(frame)) return this.#wait(false, this.#loopSignal, this.#loopTimeout);
      if (isEnd(frame)) return Promise.resolve(ENDED);
      return Promise.resolve({ done: false, value: frame });
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** One frame, or `undefined` at the end of input. */
  read({ signal, timeout }: ReadOptions = {}): Promise<Frame | undefined> {
    try {
      const frame = this.#pull(signal);
      if (isMore(frame)) return this.#wait(true, signal, timeout);
      return Promise.resolve(isEnd(frame) ? undefined : frame);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  return(): Promise<IteratorReturnResult<undefined>> {
    if (this.#reader.waiting === this) {
      this.#reader.wasGivenUp = true;
      this.#release();
      this.#resolve((this.#single ? undefined : ENDED) as never);
    }
    return Promise.resolve(ENDED);
  }

  wake(): void {
    let frame;
    try {
      frame = this.#reader.pull(this);
    } catch (error) {
      return this.reject(error);
    }
    if (isMore(frame)) return;
    this.#release();
    if (this.#single) this.#resolve((isEnd(frame) ? undefined : frame) as never);
    else this.#resolve((isEnd(frame) ? ENDED : { done: false, value: frame }) as never);
  }

  renew(): void {
    this.decoder = this.#codec.decoder();
    this.partial = false;
  }

  reject(error: unknown): void {
    this.#reader.wasGivenUp = true;
    this.#release();
    this.#reject(error);
  }

  #pull(signal: AbortSignal | undefined): Frame | typeof MORE | typeof END {
    this.#reader.checkFree();
    if (signal !== undefined) signal.throwIfAborted();
    turn.count();
    return turn.isOver && this.#reader.defer() ? MORE : this.#reader.pull(this);
  }

  #wait<Result>(
    single: boolean,
    signal: AbortSignal | undefined,
    timeout: number | undefined,
  ): Promise<Result> {
    this.#single = single;
    this.timeout = timeout;
    this.drains = this.#loopDrains && !single;
    const promise = new Promise<Result>((resolve, reject) => { // V8 makes no closure of this once it is compiled
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#reader.wait(this);
    if (signal !== undefined && this.#reader.waiting === this) {
      this.#signal = signal;
      this.#onAbort = () => this.reject(signal.reason);
      signal.addEventListener("abort", this.#onAbort);
    }
    return promise;
  }

  #release(): void {
    if (this.#reader.waiting === this) this.#reader.waiting = undefined;
    if (this.#signal === undefined) return;
    this.#signal.removeEventListener("abort", this.#onAbort!);
    this.#signal = this.#onAbort = undefined;
  }
}
