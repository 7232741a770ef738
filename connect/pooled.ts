import type { Lifecycle } from "../session/lifecycle.ts";
import type { Reading } from "../session/options.ts";
import type { Session } from "../session.ts";
import type { SessionLease } from "./pool_options.ts";

/** One session of a pool: lent to somebody, or at rest. */
export class Pooled {
  readonly session: Session;
  readonly life: Lifecycle;
  /** Where it leads to. */
  readonly address: string;
  /** Since when it has been at rest, by `performance.now()`. */
  restsSince = 0;
  #watch: Reading<Uint8Array> | undefined;

  constructor(session: Session, life: Lifecycle, address: string) {
    this.session = session;
    this.life = life;
    this.address = address;
  }

  /** Calls `onNews` if the peer leaves or says anything before `wake()`: nobody has asked. */
  rest(onNews: () => void): void {
    this.restsSince = performance.now();
    const watch = this.#watch = this.session.bytes();
    const tell = () => {
      if (this.#watch === watch) onNews();
    };
    watch.next().then(tell, tell);
  }

  wake(): void {
    const watch = this.#watch;
    this.#watch = undefined;
    watch?.return();
  }

  /** Whether no reply can come any more, as far as can be seen from here. */
  get isAnswered(): boolean {
    const { output, reader } = this.life;
    return output.buffered === 0 && !output.isUnanswered && !reader.wasGivenUp;
  }

  /** Lends the session, until it is given back once. */
  lend(onReturn: () => void): SessionLease {
    this.life.output.isUnanswered = this.life.reader.wasGivenUp = false;
    return new Lease(this.session, onReturn);
  }
}

class Lease implements SessionLease {
  readonly #session: Session;
  #onReturn: (() => void) | undefined;

  constructor(session: Session, onReturn: () => void) {
    this.#session = session;
    this.#onReturn = onReturn;
  }

  get session(): Session {
    if (this.#onReturn !== undefined) return this.#session;
    throw new TypeError("the session was given back to its pool");
  }

  release(): void {
    const onReturn = this.#onReturn;
    this.#onReturn = undefined;
    onReturn?.();
  }

  abort(reason?: unknown): void {
    if (this.#onReturn === undefined) return;
    this.#session.abort(reason);
    this.release();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.release();
    return Promise.resolve();
  }
}
