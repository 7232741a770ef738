import { Duplex } from "node:stream";
import type { Connection } from "../connection.ts";
import type { TlsRecords } from "./records.ts";

/** The first read is so large, and later ones grow up to this size while they come back full. */
const MIN_READ = 2 * 1024;
const MAX_READ = 64 * 1024;
/** So many reads in a row that fill less than a quarter make the next ones smaller. */
const SMALL_READS = 8;

/** Whom a duplex serves: a handshake, then the connection that comes of it. */
export interface DuplexOwner {
  /** Asked after each chunk: whether the TLS layer is to have another. */
  wantsInput(): boolean;
  /** The peer has finished its side of the raw connection. */
  onEnd(): void;
  /** A read has failed. */
  onReadError(error: unknown): void;
  /** The TLS layer has thrown at what it was given. */
  onFault(error: unknown): void;
  /** A write has failed. */
  onWriteError(error: unknown): void;
  /** All that the TLS layer has given out so far is taken by the raw connection. */
  onWritten(): void;
}

type Taken = () => void;

/**
 * A connection as the stream that `node:tls` runs over.
 *
 * The TLS layer of Deno 2.9.6 cannot be held back: it takes in what it is given, whether its own data are read or
 * not. So there is a gate: the connection is read only when the owner wants input.
 *
 * Nor may the TLS layer end the connection. It destroys its stream in the same turn in which it fails or has ended
 * both ways, and would lose what it has to say then: an alert, a close_notify. The owner closes.
 *
 * Chunks go past the queues that streams have, in which there would be one at most: that saves 1 µs a message.
 */
export class ConnectionDuplex extends Duplex {
  /** Told what happens. */
  owner: DuplexOwner;
  /** The TLS layer itself, once what comes is to go past the stream. */
  records: TlsRecords | undefined;
  readonly #connection: Connection;
  #buffer: Uint8Array | undefined;
  #readSize = MIN_READ;
  #smallReads = 0;
  #isReading = false;
  #hasEnded = false;
  #isLetGo = false;
  /** What is being written, and what comes after it. */
  #output: Uint8Array | undefined;
  #onTaken: Taken | undefined;
  #outputs: [bytes: Uint8Array, onTaken: Taken | undefined][] = [];
  #isClosed = false;
  #onClosed: (() => void) | undefined;

  constructor(connection: Connection, owner: DuplexOwner) {
    super({ allowHalfOpen: true });
    this.#connection = connection;
    this.owner = owner;
  }

  /** Whether a write is under way. */
  get isWriting(): boolean {
    return this.#output !== undefined;
  }

  /** Reads one chunk, unless that is under way. */
  pull(): void {
    if (this.#isReading || this.#hasEnded || this.#isLetGo || this.#isClosed) return;
    this.#isReading = true;
    this.#buffer ??= new Uint8Array(this.#readSize);
    try {
      this.#connection.read(this.#buffer).then(this.#onRead, this.#onReadError);
    } catch (error) {
      this.#onReadError(error);
    }
  }

  /** Closes the connection; calls `done` once no read and no write holds it any more. */
  close(done: () => void): void {
    this.#onClosed = done;
    if (!this.#isClosed) this.#closeConnection();
    this.#isClosed = true;
    super.destroy();
    this.#settle();
  }

  /** Called by the TLS layer when it wants no more input. Why, it tells in a later turn. */
  override destroy(): this {
    this.#isLetGo = true;
    return this;
  }

  override write(bytes: Uint8Array, encoding?: unknown, taken?: unknown): boolean {
    const onTaken = (typeof encoding === "function" ? encoding : taken) as Taken | undefined;
    if (this.#output === undefined) this.#write(bytes, onTaken);
    else this.#outputs.push([bytes, onTaken]);
    return false;
  }

  override _read(): void {} // see pull()

  /** Writes what there is. */
  send(bytes: Uint8Array): void {
    if (bytes.length > 0) this.write(bytes);
  }

  #write(bytes: Uint8Array, onTaken: Taken | undefined): void {
    if (this.#isClosed) return;
    this.#output = bytes;
    this.#onTaken = onTaken;
    try {
      this.#connection.write(bytes).then(this.#onWritten, this.#onWriteError);
    } catch (error) {
      this.#onWriteError(error);
    }
  }

  #closeConnection(): void {
    try {
      this.#connection.close();
    } catch { /* it is closed already */ }
  }

  #settle(): void {
    if (this.#isReading || this.#output !== undefined) return;
    this.#onClosed?.();
    this.#onClosed = undefined;
  }

  readonly #onRead = (count: number | null): void => {
    this.#isReading = false;
    if (this.#isClosed) return this.#settle();
    if (count === null) {
      this.#hasEnded = true;
      return this.owner.onEnd();
    }
    const buffer = this.#buffer!;
    try {
      const chunk = buffer.subarray(0, count);
      if (this.records !== undefined) this.send(this.records.receive(chunk));
      else if (this.readableFlowing) this.emit("data", chunk);
      else {
        this.#buffer = undefined;
        this.push(chunk);
      }
    } catch (error) { // so some certificates make Deno 2.9.6 do while it looks at them
      return this.owner.onFault(error);
    }
    this.#learn(count, buffer.length);
    if (this.owner.wantsInput()) this.pull();
  };

  readonly #onReadError = (error: unknown): void => {
    this.#isReading = false;
    if (this.#isClosed) return this.#settle();
    const { Interrupted, BadResource } = Deno.errors;
    if (error instanceof Interrupted || error instanceof BadResource) this.#isClosed = true;
    this.owner.onReadError(error);
  };

  readonly #onWritten = (count: number): void => {
    const bytes = this.#output!;
    const onTaken = this.#onTaken;
    this.#output = undefined;
    if (this.#isClosed) return this.#settle();
    if (count < bytes.length) {
      if (count > 0) return this.#write(bytes.subarray(count), onTaken);
      return this.#onWriteError(new Deno.errors.WriteZero("the connection took no bytes"));
    }
    const next = this.#outputs.shift();
    if (next !== undefined) this.#write(...next);
    onTaken?.();
    if (this.#output === undefined) this.owner.onWritten();
  };

  readonly #onWriteError = (error: unknown): void => {
    this.#output = undefined;
    if (this.#isClosed) return this.#settle();
    this.owner.onWriteError(error);
  };

  /** Fits the size of the reads to what they bring. */
  #learn(count: number, size: number): void {
    if (count === size) {
      this.#readSize = Math.min(MAX_READ, size * 4);
      this.#smallReads = 0;
    } else if (count * 4 >= size) this.#smallReads = 0;
    else if (++this.#smallReads >= SMALL_READS) {
      this.#readSize = Math.max(MIN_READ, size / 4);
      this.#smallReads = 0;
    }
    if (this.#readSize !== size) this.#buffer = undefined;
  }
}
