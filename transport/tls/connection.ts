/** TLS over any connection: both sides, certificates, STARTTLS. This module: a connection over TLS. */

import { systemErrors } from "../../_internal/system_error_classes.ts";
import { closeQuietly, resetQuietly } from "../../_internal/close_quietly.ts";
import type { Address, Connection, ProxyHeader, TlsInfo } from "../connection.ts";
import { explainLive } from "./errors.ts";
import type { TlsRecords } from "./records.ts";

/** The most that one write takes: three full records, which the TLS layer of Deno 2.9.6 encrypts at once. */
const MAX_WRITE = 48 * 1024;
/** Encrypted bytes are read into the caller's buffer, unless it is smaller than this. */
const MIN_READ = 512;

/**
 * A connection over TLS, after the handshake.
 *
 * The raw connection is read only while a read waits, and into the caller's buffer, where the decrypted bytes then
 * replace the encrypted ones. So an idle connection has no buffer, and at most what one raw read has brought is kept.
 * A write resolves once the raw connection has taken all of it.
 */
export class TlsConnection implements Connection {
  readonly remoteAddr: Address;
  readonly localAddr: Address;
  readonly tls: TlsInfo;
  readonly proxy?: ProxyHeader;
  readonly #raw: Connection;
  readonly #records: TlsRecords;
  #reader: PromiseWithResolvers<number | null> | undefined;
  #buffer: Uint8Array | undefined;
  /** The buffer of the raw read that waits. */
  #rawBuffer: Uint8Array | undefined;
  #readFault: unknown;
  #hasFailed = false;
  #writer: PromiseWithResolvers<number> | undefined;
  #writeCount = 0;
  #writeFault: unknown;
  /** The encrypted bytes that are being written. */
  #output: Uint8Array | undefined;
  /** The encrypted bytes that follow. */
  #outputs: Uint8Array[] = [];
  #halfClosing: PromiseWithResolvers<void> | undefined;
  #isHalfClosed = false;
  #isClosed = false;

  /**
   * @param raw The connection under TLS.
   * @param records The TLS side, after the handshake.
   * @param tls What the handshake has negotiated.
   */
  constructor(raw: Connection, records: TlsRecords, tls: TlsInfo) {
    this.remoteAddr = raw.remoteAddr;
    this.localAddr = raw.localAddr;
    this.tls = tls;
    if (raw.proxy !== undefined) this.proxy = raw.proxy;
    this.#raw = raw;
    this.#records = records;
    this.#receive(EMPTY);
  }

  read(buffer: Uint8Array): Promise<number | null> {
    if (this.#isClosed) return Promise.reject(new systemErrors.BadResource(CLOSED));
    if (this.#reader !== undefined) {
      return Promise.reject(new systemErrors.Busy("a read waits already"));
    }
    this.#reader = Promise.withResolvers();
    const { promise } = this.#reader;
    this.#buffer = buffer;
    if (!this.#settleRead()) this.#readRaw();
    return promise;
  }

  write(data: Uint8Array): Promise<number> {
    if (this.#isClosed) return Promise.reject(new systemErrors.BadResource(CLOSED));
    if (this.#writer !== undefined) {
      return Promise.reject(new systemErrors.Busy("a write waits already"));
    }
    if (this.#writeFault !== undefined) return Promise.reject(this.#writeFault);
    if (this.#halfClosing !== undefined) {
      return Promise.reject(new systemErrors.BrokenPipe("cannot write after closeWrite()"));
    }
    if (data.length === 0) return Promise.resolve(0);
    const chunk = data.length > MAX_WRITE ? data.subarray(0, MAX_WRITE) : data;
    this.#writeCount = chunk.length;
    const writer = this.#writer = Promise.withResolvers();
    const encrypted = this.#records.send(chunk);
    this.#send(encrypted);
    // Once the keys of TLS 1.2 are used up, the layer encrypts nothing and sends close_notify.
    if (encrypted.length <= chunk.length) {
      this.#failWrites(new systemErrors.ConnectionAborted("the keys of TLS are used up"));
    }
    return writer.promise;
  }

  /** Sends close_notify (RFC 8446 §6.1), then half-closes the raw connection. */
  closeWrite(): Promise<void> {
    if (this.#isClosed) return Promise.reject(new systemErrors.BadResource(CLOSED));
    if (this.#halfClosing !== undefined) return this.#halfClosing.promise;
    if (this.#writeFault !== undefined) return Promise.reject(this.#writeFault);
    this.#halfClosing = Promise.withResolvers();
    this.#send(this.#records.end());
    return this.#halfClosing.promise;
  }

  /** Sends no close_notify. Without `closeWrite()` before, the peer can tell that data may be missing. */
  close(): void {
    this.#close(closeQuietly);
  }

  /** Closes, and resets the raw connection if it can. */
  reset(): void {
    this.#close(resetQuietly);
  }

  #close(closeRaw: (raw: Connection) => void): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#records.destroy();
    closeRaw(this.#raw);
    this.#settleClosed();
  }

  setNoDelay(noDelay?: boolean): void {
    this.#raw.setNoDelay?.(noDelay);
  }

  setKeepAlive(keepAlive?: boolean | number): void {
    this.#raw.setKeepAlive?.(keepAlive);
  }

  /** Settles the read that waits, if there is data, an error or the end. Returns whether it did. */
  #settleRead(): boolean {
    const { hasPlaintext, hasEnded } = this.#records;
    if (hasPlaintext) this.#reader!.resolve(this.#records.take(this.#buffer!));
    else if (this.#readFault !== undefined) {
      this.#reader!.reject(this.#readFault);
      this.#readFault = undefined;
    } else if (hasEnded || this.#hasFailed) this.#reader!.resolve(null);
    else return false;
    this.#reader = this.#buffer = undefined;
    return true;
  }

  #readRaw(): void {
    const buffer = this.#buffer!;
    this.#rawBuffer = buffer.length < MIN_READ ? new Uint8Array(MIN_READ) : buffer;
    try {
      this.#raw.read(this.#rawBuffer).then(this.#onRead, this.#onReadError);
    } catch (error) {
      this.#onReadError(error);
    }
  }

  readonly #onRead = (count: number | null): void => {
    const buffer = this.#rawBuffer!;
    this.#rawBuffer = undefined;
    if (this.#isClosed) return this.#settleClosed();
    if (count === null) this.#failReads(new systemErrors.UnexpectedEof(CUT));
    else this.#receive(buffer.subarray(0, count));
    if (!this.#settleRead()) this.#readRaw();
  };

  readonly #onReadError = (error: unknown): void => {
    this.#rawBuffer = undefined;
    if (this.#isClosed) return this.#settleClosed();
    this.#failReads(error);
    this.#settleRead();
  };

  /** Decrypts received bytes, and answers if TLS requires it. */
  #receive(encrypted: Uint8Array): void {
    this.#records.receive(encrypted);
    this.#send(this.#records.drain());
    const { fault } = this.#records;
    if (fault === undefined) return;
    const error = explainLive(this.remoteAddr, fault);
    this.#failReads(error);
    this.#failWrites(error);
  }

  /** Fails reads, after those that take the data that came before. */
  #failReads(error: unknown): void {
    this.#hasFailed = true;
    this.#readFault = error;
  }

  #send(encrypted: Uint8Array): void {
    if (encrypted.length === 0 || this.#writeFault !== undefined) return;
    if (this.#output === undefined) this.#write(encrypted);
    else this.#outputs.push(encrypted);
  }

  #write(bytes: Uint8Array): void {
    this.#output = bytes;
    try {
      this.#raw.write(bytes).then(this.#onWritten, this.#onWriteError);
    } catch (error) {
      this.#onWriteError(error);
    }
  }

  readonly #onWritten = (count: number): void => {
    const bytes = this.#output!;
    this.#output = undefined;
    if (this.#isClosed) return this.#settleClosed();
    if (count < bytes.length) {
      if (count > 0) return this.#write(bytes.subarray(count));
      return this.#onWriteError(new systemErrors.WriteZero("the connection took no bytes"));
    }
    const next = this.#outputs.shift();
    if (next !== undefined) return this.#write(next);
    this.#writer?.resolve(this.#writeCount);
    this.#writer = undefined;
    if (this.#halfClosing !== undefined) this.#halfClose(this.#halfClosing);
  };

  readonly #onWriteError = (error: unknown): void => {
    this.#output = undefined;
    if (this.#isClosed) return this.#settleClosed();
    this.#outputs = [];
    this.#failWrites(error);
  };

  #failWrites(error: unknown): void {
    this.#writeFault ??= error;
    this.#writer?.reject(error);
    this.#writer = undefined;
    if (!this.#isHalfClosed) this.#halfClosing?.reject(error);
  }

  #halfClose({ resolve, reject }: PromiseWithResolvers<void>): void {
    if (this.#isHalfClosed) return;
    this.#isHalfClosed = true;
    this.#raw.closeWrite().then(resolve, reject);
  }

  /** Settles what waits, once the connection is closed and no raw operation holds the descriptor any more. */
  #settleClosed(): void {
    if (this.#rawBuffer !== undefined || this.#output !== undefined) return;
    const error = new systemErrors.Interrupted("the connection was closed");
    this.#reader?.reject(error);
    this.#writer?.reject(error);
    if (!this.#isHalfClosed) this.#halfClosing?.reject(error);
  }
}

const EMPTY = new Uint8Array(0);
const CLOSED = "the connection is closed";
export const CUT = "the connection was cut: it ended without close_notify (RFC 8446 §6.1)";
