import type { SessionEnd } from "../errors.ts";
import type { Connection, InputBorrower } from "./connection.ts";
import { PrefixedConnection } from "./prefixed.ts";

/** Sees what passes through a connection, and how the session over it ends. Bytes are valid only during the call. */
export interface Tap {
  /** Input has arrived. */
  onInput(bytes: Uint8Array): void;
  /** The input has ended, or reading has failed with `error`. */
  onInputEnd(error?: unknown): void;
  /** Output was written. */
  onOutput(bytes: Uint8Array): void;
  /** The connection was half-closed. */
  onOutputEnd(): void;
  /** The connection was closed or, with `isReset`, cut off. */
  onClose(isReset: boolean): void;
  /** The session has ended, and its descriptor is free. */
  onGone(end: SessionEnd): void;
}

/** A connection that shows a tap what passes through it. */
export class TappedConnection extends PrefixedConnection {
  /** The connection below all taps. */
  readonly bare: Connection;
  declare readonly reset?: () => void;
  declare readonly readLent?: (size: number, borrower: InputBorrower) => void;
  declare readonly writeNow?: (data: Uint8Array) => number | Promise<number>;
  readonly #tap: Tap;

  constructor(inner: Connection, tap: Tap) {
    super(inner, undefined);
    this.bare = bareOf(inner);
    this.#tap = tap;
    if (inner.reset !== undefined) {
      this.reset = () => {
        tap.onClose(true);
        inner.reset!();
      };
    }
    if (inner.readLent !== undefined) {
      this.readLent = (size, borrower) => inner.readLent!(size, new LentTap(borrower, tap));
    }
    if (inner.writeNow !== undefined) {
      this.writeNow = (data) => {
        const taken = inner.writeNow!(data);
        if (typeof taken !== "number") return this.#written(taken, data);
        tap.onOutput(data.subarray(0, taken));
        return taken;
      };
    }
  }

  override async read(buffer: Uint8Array): Promise<number | null> {
    try {
      const count = await super.read(buffer);
      if (count === null) this.#tap.onInputEnd();
      else this.#tap.onInput(buffer.subarray(0, count));
      return count;
    } catch (error) {
      this.#tap.onInputEnd(error);
      throw error;
    }
  }

  override write(data: Uint8Array): Promise<number> {
    return this.#written(super.write(data), data);
  }

  override async closeWrite(): Promise<void> {
    await super.closeWrite();
    this.#tap.onOutputEnd();
  }

  override close(): void {
    this.#tap.onClose(false);
    super.close();
  }

  /** The same taps over another connection, such as TLS that has begun on this one. */
  over(connection: Connection): TappedConnection {
    const { inner } = this;
    return new TappedConnection(
      inner instanceof TappedConnection ? inner.over(connection) : connection,
      this.#tap,
    );
  }

  /** The session over this connection has ended. */
  gone(end: SessionEnd): void {
    if (this.inner instanceof TappedConnection) this.inner.gone(end);
    this.#tap.onGone(end);
  }

  async #written(writing: Promise<number>, data: Uint8Array): Promise<number> {
    const count = await writing;
    this.#tap.onOutput(data.subarray(0, count));
    return count;
  }
}

/** A connection without its taps. */
export function bareOf(connection: Connection): Connection {
  return connection instanceof TappedConnection ? connection.bare : connection;
}

class LentTap implements InputBorrower {
  readonly #borrower: InputBorrower;
  readonly #tap: Tap;

  constructor(borrower: InputBorrower, tap: Tap) {
    this.#borrower = borrower;
    this.#tap = tap;
  }

  onInput(bytes: Uint8Array): void {
    this.#tap.onInput(bytes);
    this.#borrower.onInput(bytes);
  }

  onEnd(error?: unknown): void {
    this.#tap.onInputEnd(error);
    this.#borrower.onEnd(error);
  }
}
