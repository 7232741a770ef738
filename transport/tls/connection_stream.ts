import { Buffer } from "node:buffer";
import type { Duplex } from "node:stream";
import { systemErrors } from "../../_internal/system_error_classes.ts";
import type { Connection, InputBorrower } from "../connection.ts";
import { lazy } from "../lazy.ts";

/** The size of the first read. Each read that fills its buffer makes the next one larger. */
const MIN_READ = 4 * 1024;
const MAX_READ = 64 * 1024;

/** The callbacks of a stream. */
export interface StreamOwner {
  /** The input has ended: the peer has finished (`undefined`), or reading has failed. */
  onInputEnd(error: unknown): void;
  /** A write or the half-close has failed. */
  onWriteError(error: unknown): void;
  /** The connection has taken everything that the TLS layer has written so far. */
  onWritten(): void;
  /** The connection is half-closed. */
  onHalfClosed(): void;
}

/**
 * A connection as a stream, for `node:tls`.
 *
 * The end of the connection and its errors are reported to the owner and hidden from the TLS layer. The layer would drop
 * the data that it still holds, and it treats an end without close_notify like one with it. Nor can the layer close the
 * connection: an alert may still have to be sent.
 */
export class ConnectionStream implements InputBorrower {
  /** The stream itself. This class does not extend it, since its module would then be loaded without need. */
  readonly duplex: Duplex;
  owner: StreamOwner;
  /** Whether any bytes were received. */
  hasReceived = false;
  readonly #connection: Connection;
  #readSize = MIN_READ;
  #isReading = false;
  #writing: Promise<void> | undefined;

  constructor(connection: Connection, owner: StreamOwner) {
    this.#connection = connection;
    this.owner = owner;
    this.duplex = new lazy.stream.Duplex({
      allowHalfOpen: true,
      read: () => this.#read(),
      write: (bytes, _encoding, onDone) => this.#write(bytes, onDone),
      final: (onDone) => this.#end(onDone),
    });
  }

  /** Resolves when the current write has ended. */
  async written(): Promise<void> {
    await this.#writing;
  }

  /** Writes unencrypted bytes, while the TLS layer writes nothing. Never rejects: an error is reported to the owner. */
  writeRaw(bytes: Uint8Array): Promise<void> {
    return this.#writing = this.#writeAll(bytes).catch((error) => this.owner.onWriteError(error));
  }

  #read(): void {
    if (this.#isReading) return;
    this.#isReading = true;
    // On Node, each other buffer that is read into takes memory until the connection is closed.
    if (this.#connection.readLent !== undefined) this.#connection.readLent(MAX_READ, this);
    else this.#readOnce().catch((error) => this.onEnd(error));
  }

  #write(bytes: Uint8Array, onDone: () => void): void {
    this.#writing = this.#writeAll(bytes).then(() => {
      onDone();
      if (this.duplex.writableLength === 0) this.owner.onWritten();
    }, (error) => this.owner.onWriteError(error));
  }

  #end(onDone: () => void): void {
    this.#connection.closeWrite().then(() => {
      onDone();
      this.owner.onHalfClosed();
    }, (error) => this.owner.onWriteError(error));
  }

  onInput(bytes: Uint8Array): void {
    this.#push(Buffer.from(bytes));
  }

  /** `#isReading` stays true, so nothing more is read. */
  onEnd(error?: unknown): void {
    this.owner.onInputEnd(error);
  }

  async #readOnce(): Promise<void> {
    const buffer = Buffer.allocUnsafeSlow(this.#readSize);
    const count = await this.#connection.read(buffer);
    if (count === null) return this.onEnd();
    const grown = Math.min(MAX_READ, 4 * this.#readSize);
    this.#readSize = count === buffer.length ? grown : MIN_READ;
    this.#push(buffer.subarray(0, count));
  }

  #push(bytes: Buffer): void {
    this.#isReading = false;
    this.hasReceived = true;
    this.duplex.push(bytes);
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const count = await this.#connection.write(bytes.subarray(at));
      if (count === 0) throw new systemErrors.WriteZero("the connection took no bytes");
      at += count;
    }
  }
}
