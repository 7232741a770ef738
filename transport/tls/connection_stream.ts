import { Buffer } from "node:buffer";
import { Duplex } from "node:stream";
import { systemErrors } from "../../_internal/system_error_classes.ts";
import type { Connection } from "../connection.ts";

/** The first read is so large, and later ones grow up to this size while they come back full. */
const MIN_READ = 4 * 1024;
const MAX_READ = 64 * 1024;

/** Whom a stream tells what becomes of the connection. */
export interface StreamOwner {
  /** Nothing more comes: the peer has finished (`undefined`), or reading has failed. */
  onInputEnd(error: unknown): void;
  /** A write or the half-close has failed. */
  onWriteError(error: unknown): void;
  /** All that the TLS layer has written so far is taken by the connection. */
  onWritten(): void;
  /** The connection is half-closed. */
  onHalfClosed(): void;
}

/**
 * A connection as the stream that `node:tls` runs over.
 *
 * The TLS layer learns neither of the end of the connection nor of an error: it would drop what it still holds, and it
 * takes an end without close_notify for one with it. The owner learns of both. Nor does the layer close the connection:
 * an alert may still be on its way.
 */
export class ConnectionStream extends Duplex {
  /** Told what happens. */
  owner: StreamOwner;
  /** Whether anything has come. */
  hasHeard = false;
  readonly #connection: Connection;
  #readSize = MIN_READ;
  #isReading = false;
  #writing: Promise<void> | undefined;

  constructor(connection: Connection, owner: StreamOwner) {
    super({ allowHalfOpen: true });
    this.#connection = connection;
    this.owner = owner;
  }

  /** Resolves once the write that is under way has ended. */
  async written(): Promise<void> {
    await this.#writing;
  }

  /** Writes past the TLS layer, which must not be writing. Resolves also if that fails, which the owner is told. */
  say(bytes: Uint8Array): Promise<void> {
    return this.#writing = this.#writeAll(bytes).catch((error) => this.owner.onWriteError(error));
  }

  override _read(): void {
    if (this.#isReading) return;
    this.#isReading = true;
    this.#readOnce().catch((error) => this.owner.onInputEnd(error));
  }

  override _write(bytes: Uint8Array, _encoding: unknown, onDone: () => void): void {
    this.#writing = this.#writeAll(bytes).then(() => {
      onDone();
      if (this.writableLength === 0) this.owner.onWritten();
    }, (error) => this.owner.onWriteError(error));
  }

  override _final(onDone: () => void): void {
    this.#connection.closeWrite().then(() => {
      onDone();
      this.owner.onHalfClosed();
    }, (error) => this.owner.onWriteError(error));
  }

  async #readOnce(): Promise<void> {
    const buffer = Buffer.allocUnsafeSlow(this.#readSize);
    const count = await this.#connection.read(buffer);
    if (count === null) return this.owner.onInputEnd(undefined); // and nothing is read any more
    this.#isReading = false;
    this.hasHeard = true;
    const grown = Math.min(MAX_READ, 4 * this.#readSize);
    this.#readSize = count === buffer.length ? grown : MIN_READ;
    this.push(buffer.subarray(0, count));
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const count = await this.#connection.write(bytes.subarray(at));
      if (count === 0) throw new systemErrors.WriteZero("the connection took no bytes");
      at += count;
    }
  }
}
