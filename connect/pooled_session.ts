import type { Lifecycle } from "../session/lifecycle.ts";
import type { Reading } from "../session/options.ts";
import type { Session } from "../session.ts";
import type { SessionLease } from "./pool_options.ts";

/** A session of a pool: lent to a caller, or idle. */
export class PooledSession {
  readonly session: Session;
  readonly life: Lifecycle;
  /** The address of the peer, for messages. */
  readonly address: string;
  /** Since when it has been idle, by `performance.now()`. */
  idleSince = 0;
  /** Whether a caller has it. */
  isLent = false;
  #watch: Reading<Uint8Array> | undefined;

  constructor(session: Session, life: Lifecycle, address: string) {
    this.session = session;
    this.life = life;
    this.address = address;
  }

  /** Begins an idle time. Calls `onInput` if the peer leaves or sends anything before `endIdle()`. */
  beginIdle(onInput: () => void): void {
    this.idleSince = performance.now();
    const watch = this.#watch = this.session.bytes();
    const onSettled = () => {
      if (this.#watch === watch) onInput();
    };
    watch.next().then(onSettled, onSettled);
  }

  endIdle(): void {
    const watch = this.#watch;
    this.#watch = undefined;
    watch?.return();
  }

  /** Whether no reply is to be expected any more, as far as can be known here. */
  get isAnswered(): boolean {
    const { output, reader } = this.life;
    return output.buffered === 0 && !output.isUnanswered && !reader.wasGivenUp;
  }

  /** Lends the session. `onReturn` is called once, when it is given back. */
  lend(onReturn: () => void): SessionLease {
    this.life.output.isUnanswered = this.life.reader.wasGivenUp = false;
    this.isLent = true;
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
